/**
 * An error of the server's, in its own words where it has any.
 * @param {any} message `{code, title, detail}`
 */
export function serverNotice({ code, title, detail }: any): import("./notices.js").Notice;
/**
 * @typedef {object} Subscription
 * @property {import("./protocol.js").Track[]} tracks whose audio is wanted; may be none
 * @property {boolean} peaks whether the server is to send how loud it is
 */
/**
 * @typedef {object} Frame
 * @property {number} track @property {number} stream @property {number} sequence
 * @property {string} codec @property {number} sampleRate @property {Uint8Array<ArrayBuffer>} payload
 */
/**
 * What a connection, of this kind or the legacy one, tells its owner.
 * @typedef {object} Handlers
 * @property {(callId: string, frame: Frame) => void} audio
 * @property {(callId: string | null, message: any) => void} message
 * @property {(state: import("./reconnect.js").SocketState, notice: string, reason: string) => void} state
 * @property {() => void} renumbered the server's stream numbers begin anew
 */
/**
 * @typedef {object} Access
 * @property {string} url of /audio-stream, as ws: or wss:
 * @property {() => Promise<string>} token "" for none
 * @property {typeof WebSocket} [WebSocket]
 */
export class Connection {
    /**
     * @param {Access} access
     * @param {Handlers} handlers
     * @param {() => boolean} onUnopened a try failed before it was open: perhaps the server does not know the protocol;
     *   true: this connection is not to try again
     * @param {number} failures tries that were made in vain before this one
     */
    constructor(access: Access, handlers: Handlers, onUnopened: () => boolean, failures: number);
    /** Frames of talk that were left out since the network was too slow. */
    talkDropped: number;
    /** What the server calls it, in lists of listeners; "" while that is not known. */
    name: string;
    /** @param {string} callId @param {Subscription} wanted instead of what was wanted of this call before */
    subscribe(callId: string, wanted: Subscription): void;
    /** @param {string} callId */
    unsubscribe(callId: string): void;
    /**
     * Ask for the floor of a call.
     * @param {string} callId
     * @returns {Promise<{talk: number, codec: "PCMU" | "PCMA"}>} rejects with a PatchbayError
     */
    startTalk(callId: string): Promise<{
        talk: number;
        codec: "PCMU" | "PCMA";
    }>;
    /**
     * @param {string} callId
     * @param {{talk: number, sequence: number, codec: "PCMU" | "PCMA", payload: Uint8Array}} frame
     * @returns {boolean} whether it is on its way
     */
    sendTalk(callId: string, frame: {
        talk: number;
        sequence: number;
        codec: "PCMU" | "PCMA";
        payload: Uint8Array;
    }): boolean;
    /** @param {string} callId */
    stopTalk(callId: string): void;
    /** @param {string} callId @param {object} report what the listener hears; see the protocol's `playout` */
    report(callId: string, report: object): void;
    /** End it for good. */
    close(): void;
    #private;
}
export type Subscription = {
    /**
     * whose audio is wanted; may be none
     */
    tracks: import("./protocol.js").Track[];
    /**
     * whether the server is to send how loud it is
     */
    peaks: boolean;
};
export type Frame = {
    track: number;
    stream: number;
    sequence: number;
    codec: string;
    sampleRate: number;
    payload: Uint8Array<ArrayBuffer>;
};
/**
 * What a connection, of this kind or the legacy one, tells its owner.
 */
export type Handlers = {
    audio: (callId: string, frame: Frame) => void;
    message: (callId: string | null, message: any) => void;
    state: (state: import("./reconnect.js").SocketState, notice: string, reason: string) => void;
    /**
     * the server's stream numbers begin anew
     */
    renumbered: () => void;
};
export type Access = {
    /**
     * of /audio-stream, as ws: or wss:
     */
    url: string;
    /**
     * "" for none
     */
    token: () => Promise<string>;
    WebSocket?: {
        new (url: string | URL, protocols?: string | string[]): WebSocket;
        prototype: WebSocket;
        readonly CONNECTING: 0;
        readonly OPEN: 1;
        readonly CLOSING: 2;
        readonly CLOSED: 3;
    } | undefined;
};
