/** @param {Uint8Array} bytes */
export function toBase64(bytes: Uint8Array): string;
/** Bytes of base64; none where it is not base64. @param {unknown} text @returns {Uint8Array<ArrayBuffer>} */
export function fromBase64(text: unknown): Uint8Array<ArrayBuffer>;
/**
 * A whole RTP packet (RFC 3550 §5.1) of 20 ms of G.711.
 * @param {Uint8Array} payload @param {number} sequence from 0 for each talk
 * @param {"PCMU" | "PCMA"} codec @param {number} ssrc
 */
export function rtpPacket(payload: Uint8Array, sequence: number, codec: "PCMU" | "PCMA", ssrc: number): Uint8Array<ArrayBuffer>;
/** Numbers for the streams and frames of one socket, going on over its reconnects. */
export class Numbering {
    /** Another socket. Without chunk numbers nobody knows what was missed: leave a number out, so that the seam is concealed. */
    reconnected(): void;
    /**
     * The number of a stream: a new one has a higher number than all before.
     * @param {string} streamId
     */
    startStream(streamId: string): any;
    /**
     * The number of a frame.
     * @param {number} track
     * @param {unknown} chunk as Telnyx says it: digits, or nothing
     */
    number(track: number, chunk: unknown): number;
    #private;
}
