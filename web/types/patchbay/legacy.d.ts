/** @typedef {{sockets: ReconnectingSocket[], tracks: string}} Listening */
export class LegacyConnection {
    /**
     * @param {import("./connection.js").Access} access
     * @param {import("./connection.js").Handlers} handlers
     * @param {"json" | "binary"} format
     */
    constructor(access: import("./connection.js").Access, handlers: import("./connection.js").Handlers, format: "json" | "binary");
    /** Frames of talk that were left out since the network was too slow. */
    talkDropped: number;
    /** The first protocol tells none. */
    name: string;
    /** @param {string} callId @param {import("./connection.js").Subscription} wanted */
    subscribe(callId: string, { tracks }: import("./connection.js").Subscription): void;
    /** @param {string} callId */
    unsubscribe(callId: string): void;
    /** @param {string} callId @returns {Promise<{talk: number, codec: "PCMU" | "PCMA"}>} */
    startTalk(callId: string): Promise<{
        talk: number;
        codec: "PCMU" | "PCMA";
    }>;
    /** @param {string} callId @param {{sequence: number, codec: "PCMU" | "PCMA", payload: Uint8Array}} frame */
    sendTalk(callId: string, { sequence, codec, payload }: {
        sequence: number;
        codec: "PCMU" | "PCMA";
        payload: Uint8Array;
    }): boolean;
    /** @param {string} callId */
    stopTalk(callId: string): void;
    /** There is nobody to report to. */
    report(): void;
    /** End it for good. */
    close(): void;
    #private;
}
export type Listening = {
    sockets: ReconnectingSocket[];
    tracks: string;
};
import { ReconnectingSocket } from "./reconnect.js";
