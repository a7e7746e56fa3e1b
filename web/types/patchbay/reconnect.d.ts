/**
 * How long to wait before a try: anything up to a bound that doubles each time ("full jitter").
 * @param {number} failures so far
 * @param {() => number} random
 * @returns {number} seconds
 */
export function backoff(failures: number, random: () => number): number;
/** @typedef {"connecting" | "open" | "waiting" | "closed"} SocketState */
/**
 * @typedef {object} SocketOptions
 * @property {() => Promise<{url: string, protocols: string[]}>} address asked before each try
 * @property {(socket: WebSocket) => void} [onOpen]
 * @property {(data: string | ArrayBuffer) => void} onMessage
 * @property {(state: SocketState, detail: {code: number, reason: string, notice: string}) => void} [onState]
 * @property {() => boolean} [onUnopened] a try ended before it was open; true: make no other
 * @property {number} [failures] tries that others have made in vain: the first one here waits accordingly
 * @property {number} [silence_s] without any message for so long the connection counts as dead; 0: never
 * @property {() => void} [ask] has the other side send something
 * @property {typeof WebSocket} [WebSocket]
 * @property {() => number} [random]
 */
export class ReconnectingSocket {
    /** @param {SocketOptions} options */
    constructor(options: SocketOptions);
    /** @type {SocketState} */
    state: SocketState;
    /** Bytes that wait to be sent. */
    get bufferedAmount(): number;
    /**
     * Send, when it is open. Returns whether it is.
     * @param {string | ArrayBuffer} data
     */
    send(data: string | ArrayBuffer): boolean;
    /** End it for good. */
    close(): void;
    /** End this connection as dead, and come back. */
    restart(): void;
    #private;
}
export type SocketState = "connecting" | "open" | "waiting" | "closed";
export type SocketOptions = {
    /**
     * asked before each try
     */
    address: () => Promise<{
        url: string;
        protocols: string[];
    }>;
    onOpen?: ((socket: WebSocket) => void) | undefined;
    onMessage: (data: string | ArrayBuffer) => void;
    onState?: ((state: SocketState, detail: {
        code: number;
        reason: string;
        notice: string;
    }) => void) | undefined;
    /**
     * a try ended before it was open; true: make no other
     */
    onUnopened?: (() => boolean) | undefined;
    /**
     * tries that others have made in vain: the first one here waits accordingly
     */
    failures?: number | undefined;
    /**
     * without any message for so long the connection counts as dead; 0: never
     */
    silence_s?: number | undefined;
    /**
     * has the other side send something
     */
    ask?: (() => void) | undefined;
    WebSocket?: {
        new (url: string | URL, protocols?: string | string[]): WebSocket;
        prototype: WebSocket;
        readonly CONNECTING: 0;
        readonly OPEN: 1;
        readonly CLOSING: 2;
        readonly CLOSED: 3;
    } | undefined;
    random?: (() => number) | undefined;
};
