/**
 * Make the decoder of one stream and track; it may have a state. Null for a codec that is not known.
 * @param {string} codec one of CODECS
 * @param {number} sampleRate as in `media_format`: G.722's is called 8000 though its audio has 16,000 (RFC 3551 §4.5.2)
 * @returns {Decoder | null}
 */
export function createDecoder(codec: string, sampleRate: number): Decoder | null;
/**
 * @typedef {object} Decoder
 * @property {number} rate samples a second that come out
 * @property {(payload: Uint8Array) => number} samples how many a payload will give
 * @property {(payload: Uint8Array, out: Float32Array) => number} decode returns the number of samples written
 */
/** Codecs that `createDecoder` knows, by the names in Telnyx's `media_format`. */
export const CODECS: readonly string[];
export type Decoder = {
    /**
     * samples a second that come out
     */
    rate: number;
    /**
     * how many a payload will give
     */
    samples: (payload: Uint8Array) => number;
    /**
     * returns the number of samples written
     */
    decode: (payload: Uint8Array, out: Float32Array) => number;
};
