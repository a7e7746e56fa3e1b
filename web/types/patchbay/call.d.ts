/** @typedef {import("./protocol.js").Track} Track */
/** @typedef {"unknown" | "waiting" | "live" | "ended"} CallState */
/**
 * @typedef {object} ListenOptions
 * @property {Track[]} [tracks] which sides; both by default
 * @property {import("./player.js").Layout} [layout] "mixed" (default), or "split": far party left, near party right
 */
/**
 * What a call needs of its client.
 * @typedef {object} CallContext
 * @property {import("./audio-output.js").AudioOutput} output
 * @property {() => import("./connection.js").Connection | import("./legacy.js").LegacyConnection} connection
 * @property {(callId: string) => Promise<import("./talk.js").Talk>} talk
 * @property {(given: import("./notices.js").Notice) => void} notify
 */
export class Call extends Emitter {
    /** @param {CallContext} context @param {string} id call_control_id */
    constructor(context: CallContext, id: string);
    /** @type {CallState} */
    state: CallState;
    /** The codec and rate of its stream, when there is one. @type {{codec: string, sampleRate: number} | null} */
    format: {
        codec: string;
        sampleRate: number;
    } | null;
    /** Telnyx's `start` object of the stream. @type {any} */
    start: any;
    /** Who may talk: null, or `{you, sub}`. @type {{you: boolean, sub?: string} | null} */
    floor: {
        you: boolean;
        sub?: string;
    } | null;
    id: string;
    /** Whether it is listened to. */
    get listening(): boolean;
    /** How each track is played just now, by index in TRACKS. */
    get report(): import("./player.js").TrackReport[];
    /** What the server calls the connection that it is heard through, in lists of listeners; "" when that is not known. */
    get connectionName(): string;
    /** The worklet node, with an output for each track; null while it is not listened to. */
    get node(): AudioWorkletNode | null;
    /**
     * Hear it. Called in the handler of a click it is heard at once; else a notice may ask for one. A call that is not there
     * yet is waited for. Again with other options: changes them. Rejects with a PatchbayError.
     * @param {ListenOptions} [options]
     */
    listen({ tracks, layout }?: ListenOptions): Promise<void>;
    /** Hear it no more. */
    stop(): void;
    /** For the client: nobody wants anything of it any more. */
    close(): void;
    /** Have the server send how loud it is ("peaks" events), which needs no audio. @param {boolean} wanted */
    watchPeaks(wanted: boolean): void;
    /**
     * Talk into it, until `stop()` of the result. Rejects with a PatchbayError when that can't be.
     * @returns {Promise<import("./talk.js").Talk>}
     */
    talk(): Promise<import("./talk.js").Talk>;
    /** @param {Track} track @param {number} volume 0..1, and up to 4 for quiet lines */
    setVolume(track: Track, volume: number): void;
    /** @param {Track} track @param {boolean} muted */
    setMuted(track: Track, muted: boolean): void;
    /** @param {import("./player.js").Layout} layout */
    setLayout(layout: import("./player.js").Layout): void;
    /** For the client: a frame has come. @param {import("./connection.js").Frame} frame */
    takeAudio(frame: import("./connection.js").Frame): void;
    /** For the client: there is another connection. */
    resubscribe(): void;
    /** For the client: stream numbers begin anew. */
    renumber(): void;
    /** For the client: news of this call. @param {any} message */
    takeMessage(message: any): void;
    /** For the client: something for the user. @param {import("./notices.js").Notice} given */
    tell(given: import("./notices.js").Notice): void;
    #private;
}
export type Track = import("./protocol.js").Track;
export type CallState = "unknown" | "waiting" | "live" | "ended";
export type ListenOptions = {
    /**
     * which sides; both by default
     */
    tracks?: import("./protocol.js").Track[] | undefined;
    /**
     * "mixed" (default), or "split": far party left, near party right
     */
    layout?: import("./player.js").Layout | undefined;
};
/**
 * What a call needs of its client.
 */
export type CallContext = {
    output: import("./audio-output.js").AudioOutput;
    connection: () => import("./connection.js").Connection | import("./legacy.js").LegacyConnection;
    talk: (callId: string) => Promise<import("./talk.js").Talk>;
    notify: (given: import("./notices.js").Notice) => void;
};
import { Emitter } from "./typed-events.js";
