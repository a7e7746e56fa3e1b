/**
 * @typedef {object} PatchbayOptions
 * @property {string | URL} [url] of the server: "https://calls.example", "wss://…/api/audio-stream"; default: the page's own
 * @property {string | (() => string | Promise<string>)} [token] access token, or what gives one; asked before each connection
 * @property {"auto" | "v1" | "legacy"} [protocol] auto (default): `patchbay.v1` where the server speaks it
 * @property {"json" | "binary"} [legacyFormat] of audio from older servers; json (default) carries numbers and both tracks
 * @property {Partial<typeof import("./audio-output.js").WORKLETS>} [worklets] URLs of the worklets, where a bundler moves them
 * @property {typeof WebSocket} [WebSocket] instead of the browser's
 */
export class Patchbay extends Emitter {
    /** @param {PatchbayOptions} [options] */
    constructor(options?: PatchbayOptions);
    /** @type {import("./reconnect.js").SocketState | "idle"} */
    state: import("./reconnect.js").SocketState | "idle";
    /** Whether the server is older and speaks only the first protocol. */
    legacy: boolean;
    /** Whether sound comes out; when not, `start()` in a click. */
    get audible(): boolean;
    /** The AudioContext that everything is played in. */
    get audioContext(): AudioContext;
    /** A call, known or not, live or not. @param {string} id call_control_id */
    call(id: string): Call;
    /** Have nothing more to do with a call; for pages that see many come and go. @param {string} id call_control_id */
    forget(id: string): void;
    /** Hear a call; see `Call.listen`. @param {string} id call_control_id @param {import("./call.js").ListenOptions} [options] */
    listen(id: string, options?: import("./call.js").ListenOptions): Promise<Call>;
    /**
     * Talk into a call until `stop()` of the result. One at a time: another talk of this page ends.
     * @param {string} id call_control_id
     * @returns {Promise<Talk>} rejects with a PatchbayError
     */
    talk(id: string): Promise<Talk>;
    /** Talk while something is held: `stop()` it on the release, however soon. @param {string} id call_control_id */
    pushToTalk(id: string): Talk;
    /**
     * What happens to calls: see `CallEvents`.
     * @param {object} [options]
     * @param {string[]} [options.calls] only of these
     * @param {number | string} [options.since] begin after this offset
     */
    events({ calls, since }?: {
        calls?: string[] | undefined;
        since?: string | number | undefined;
    }): CallEvents;
    /** Have the browser play; in the handler of a click. */
    start(): Promise<void>;
    /** Connect, and load what plays, so that the first click is heard at once. Rejects with a PatchbayError. */
    prepare(): Promise<void>;
    /** Speakers and microphones, for a choice. Names are there once the microphone was allowed. */
    devices(): Promise<{
        speakers: Device[];
        microphones: Device[];
    }>;
    /** @param {string} deviceId a speaker's; "" for the default. Rejects with a PatchbayError where that can't be chosen */
    setSpeaker(deviceId: string): Promise<void>;
    /** @param {string} deviceId a microphone's; "" for the default. Counts from the next talk */
    setMicrophone(deviceId: string): void;
    /** End everything. The object is of no use after. */
    close(): Promise<void>;
    #private;
}
export type PatchbayOptions = {
    /**
     * of the server: "https://calls.example", "wss://…/api/audio-stream"; default: the page's own
     */
    url?: string | URL | undefined;
    /**
     * access token, or what gives one; asked before each connection
     */
    token?: string | (() => string | Promise<string>) | undefined;
    /**
     * auto (default): `patchbay.v1` where the server speaks it
     */
    protocol?: "auto" | "legacy" | "v1" | undefined;
    /**
     * of audio from older servers; json (default) carries numbers and both tracks
     */
    legacyFormat?: "json" | "binary" | undefined;
    /**
     * URLs of the worklets, where a bundler moves them
     */
    worklets?: Partial<Readonly<{
        playout: string;
        capture: string;
    }>> | undefined;
    /**
     * instead of the browser's
     */
    WebSocket?: {
        new (url: string | URL, protocols?: string | string[]): WebSocket;
        prototype: WebSocket;
        readonly CONNECTING: 0;
        readonly OPEN: 1;
        readonly CLOSING: 2;
        readonly CLOSED: 3;
    } | undefined;
};
import { Emitter } from "./typed-events.js";
import { Call } from "./call.js";
import { Talk } from "./talk.js";
import { CallEvents } from "./call-events.js";
