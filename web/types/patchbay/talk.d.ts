/**
 * What a talk needs of the client.
 * @typedef {object} TalkContext
 * @property {import("./microphone.js").Microphone} microphone
 * @property {import("./audio-output.js").AudioOutput} output
 * @property {() => Promise<Connection>} connected the connection once it is open; rejects with a PatchbayError
 * @property {(given: import("./notices.js").Notice) => void} notify
 */
export class Talk {
    /** @param {TalkContext} context @param {string} callId */
    constructor(context: TalkContext, callId: string);
    /** Resolves, with why, when the talk is over: "stopped", or the code of a notice. @type {Promise<string>} */
    ended: Promise<string>;
    /** Whether what is said goes out. */
    get live(): boolean;
    /** Take the floor and begin. Rejects with a PatchbayError, and the talk is over; so it is after `stop()` meanwhile. */
    start(): Promise<this>;
    /** The last frame goes out, the floor is free. */
    stop(): Promise<void>;
    /** The server, or the machine, has ended it. @param {import("./notices.js").Notice} why */
    lose(why: import("./notices.js").Notice): Promise<void>;
    #private;
}
export type Connection = import("./connection.js").Connection | import("./legacy.js").LegacyConnection;
/**
 * What a talk needs of the client.
 */
export type TalkContext = {
    microphone: import("./microphone.js").Microphone;
    output: import("./audio-output.js").AudioOutput;
    /**
     * the connection once it is open; rejects with a PatchbayError
     */
    connected: () => Promise<Connection>;
    notify: (given: import("./notices.js").Notice) => void;
};
