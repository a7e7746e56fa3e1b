/**
 * One µ-law byte as a 16-bit value.
 * @param {number} code 0..255
 */
export function ulawToLinear(code: number): number;
/**
 * One A-law byte as a 16-bit value.
 * @param {number} code 0..255
 */
export function alawToLinear(code: number): number;
/**
 * A 16-bit value as a µ-law byte.
 * @param {number} value -32768..32767, whole
 */
export function linearToUlaw(value: number): number;
/**
 * A 16-bit value as an A-law byte.
 * @param {number} value -32768..32767, whole
 */
export function linearToAlaw(value: number): number;
/**
 * Decode into `out`; returns how many samples that are.
 * @param {"PCMU" | "PCMA"} codec
 * @param {Uint8Array} payload
 * @param {Float32Array} out at least as long, gets -1..1
 */
export function decodeG711(codec: "PCMU" | "PCMA", payload: Uint8Array, out: Float32Array): number;
/**
 * One sample of -1..1 as a byte. What is louder is clipped; what is no number is silence.
 * @param {"PCMU" | "PCMA"} codec
 * @param {number} sample
 */
export function encodeSample(codec: "PCMU" | "PCMA", sample: number): number;
/**
 * G.711 (ITU-T G.711, tables as in G.191): µ-law and A-law to samples and back. Pure.
 *
 * Decoding is a table of 256; encoding is exact for all 65,536 values of 16 bit, rounding as G.191's reference does (µ-law
 * looks at the upper 14 bits, A-law at the upper 13).
 */
/** Silence, as one byte. */
export const SILENCE: Readonly<{
    PCMU: 255;
    PCMA: 213;
}>;
