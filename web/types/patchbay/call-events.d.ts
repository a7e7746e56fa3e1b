/**
 * @typedef {object} CallEvent
 * @property {string} type Telnyx's event type, or ours: "stream.started" and the like
 * @property {string} id
 * @property {string} occurred_at
 * @property {any} payload
 * @property {number} [offset] for `since`
 */
export class CallEvents extends Emitter {
    /**
     * @param {import("./connection.js").Access & {calls: string[]}} access
     * @param {string | number | undefined} since
     * @param {() => void} onClose
     */
    constructor(access: import("./connection.js").Access & {
        calls: string[];
    }, since: string | number | undefined, onClose: () => void);
    /** Events that a slow `for await` has not seen. */
    dropped: number;
    close(): void;
    /** @returns {AsyncGenerator<CallEvent, void, void>} */
    [Symbol.asyncIterator](): AsyncGenerator<CallEvent, void, void>;
    #private;
}
export type CallEvent = {
    /**
     * Telnyx's event type, or ours: "stream.started" and the like
     */
    type: string;
    id: string;
    occurred_at: string;
    payload: any;
    /**
     * for `since`
     */
    offset?: number | undefined;
};
import { Emitter } from "./typed-events.js";
