/**
 * @typedef {object} AudioMessage
 * @property {number} call the call's number on this connection
 * @property {number} track index in TRACKS
 * @property {number} stream
 * @property {number} sequence
 * @property {number} timestamp ms since the stream began
 * @property {string} codec
 * @property {number} sampleRate
 * @property {boolean} replayed whether it was said before this listener joined
 * @property {Uint8Array<ArrayBuffer>} payload a view into the message
 */
/**
 * Read a binary message; null for what is not audio or of a kind of the future.
 * @param {ArrayBuffer} message
 * @returns {AudioMessage | null}
 */
export function unpackAudio(message: ArrayBuffer): AudioMessage | null;
/**
 * Make a binary message of 20 ms of talk.
 * @param {object} talk
 * @param {number} talk.call the call's number on this connection
 * @param {number} talk.talk the number that `talk.started` gave
 * @param {number} talk.sequence counts the frames of this talk from 0
 * @param {"PCMU" | "PCMA"} talk.codec
 * @param {Uint8Array} talk.payload 160 bytes
 * @returns {ArrayBuffer}
 */
export function packTalk({ call, talk, sequence, codec, payload }: {
    call: number;
    talk: number;
    sequence: number;
    codec: "PCMU" | "PCMA";
    payload: Uint8Array;
}): ArrayBuffer;
/**
 * What a close code asks for. 4000-4499: come back. 4500-4999: do not, unchanged; 4502 with a new token.
 * @param {number} code
 * @returns {ClosePolicy}
 */
export function closePolicy(code: number): ClosePolicy;
/**
 * The wire format of `patchbay.v1`: binary audio with a header of 20 bytes, and what a close code means. Pure.
 * docs/protocol-v1.md has the whole of it. All numbers are little endian.
 */
/** The WebSocket subprotocol. */
export const SUBPROTOCOL: "patchbay.v1";
/** Prefix of the subprotocol entry that carries an access token. */
export const TOKEN_PREFIX: "patchbay.token.";
export const HEADER_BYTES: 20;
/** Tracks by their number on the wire. */
export const TRACKS: readonly ["inbound", "outbound"];
/** @typedef {"inbound" | "outbound"} Track */
/** Codecs by their number on the wire. */
export const WIRE_CODECS: readonly {
    codec: string;
    sampleRate: number;
}[];
export type AudioMessage = {
    /**
     * the call's number on this connection
     */
    call: number;
    /**
     * index in TRACKS
     */
    track: number;
    stream: number;
    sequence: number;
    /**
     * ms since the stream began
     */
    timestamp: number;
    codec: string;
    sampleRate: number;
    /**
     * whether it was said before this listener joined
     */
    replayed: boolean;
    /**
     * a view into the message
     */
    payload: Uint8Array<ArrayBuffer>;
};
export type Track = "inbound" | "outbound";
export type ClosePolicy = {
    /**
     * whether to come back
     */
    again: boolean;
    /**
     * whether at once (a restart), instead of waiting longer each time
     */
    soon: boolean;
    /**
     * code of what to tell the user; "" for nothing
     */
    notice: string;
};
