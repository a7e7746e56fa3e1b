/**
 * One decoder for each codec a call can have: bytes in, samples of -1..1 out, into a buffer of the caller's. Pure.
 */

import { decodeG711 } from "./g711.js";
import { G722Decoder } from "./g722.js";

/**
 * @typedef {object} Decoder
 * @property {number} rate samples a second that come out
 * @property {(payload: Uint8Array) => number} samples how many a payload will give
 * @property {(payload: Uint8Array, out: Float32Array) => number} decode returns the number of samples written
 */

/** Codecs that `createDecoder` knows, by the names in Telnyx's `media_format`. */
export const CODECS = Object.freeze(["PCMU", "PCMA", "G722", "L16"]);

/**
 * Make the decoder of one stream and track; it may have a state. Null for a codec that is not known.
 * @param {string} codec one of CODECS
 * @param {number} sampleRate as in `media_format`: G.722's is called 8000 though its audio has 16,000 (RFC 3551 §4.5.2)
 * @returns {Decoder | null}
 */
export function createDecoder(codec, sampleRate) {
  if (codec === "PCMU" || codec === "PCMA") {
    return {
      rate: sampleRate,
      samples: (payload) => payload.length,
      decode: (payload, out) => decodeG711(codec, payload, out),
    };
  }
  if (codec === "G722") {
    const g722 = new G722Decoder();
    return {
      rate: 16000,
      samples: (payload) => payload.length * 2,
      decode: (payload, out) => g722.decode(payload, out),
    };
  }
  if (codec === "L16") {
    return { rate: sampleRate, samples: (payload) => payload.length >> 1, decode: decodeL16 };
  }
  return null;
}

/**
 * Little endian. Read byte by byte: a payload may begin at an odd address, where an Int16Array can't.
 * @param {Uint8Array} payload
 * @param {Float32Array} out
 */
function decodeL16(payload, out) {
  const count = payload.length >> 1;
  for (let i = 0; i < count; i++) {
    const value = payload[2 * i] | (payload[2 * i + 1] << 8);
    out[i] = ((value << 16) >> 16) / 32768;
  }
  return count;
}
