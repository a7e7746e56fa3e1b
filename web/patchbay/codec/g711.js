/**
 * G.711 (ITU-T G.711, tables as in G.191): µ-law and A-law to samples and back. Pure.
 *
 * Decoding is a table of 256; encoding is exact for all 65,536 values of 16 bit, rounding as G.191's reference does (µ-law
 * looks at the upper 14 bits, A-law at the upper 13).
 */

/** Silence, as one byte. */
export const SILENCE = Object.freeze({ PCMU: 0xff, PCMA: 0xd5 });

const ULAW_BIAS = 33; // of 14 bits: 0x84 of 16
const ULAW_CLIP = 8158; // with the bias, the last value of the last segment

/**
 * One µ-law byte as a 16-bit value.
 * @param {number} code 0..255
 */
export function ulawToLinear(code) {
  const inverted = ~code & 0xff;
  const magnitude = ((((inverted & 0x0f) << 3) + 0x84) << ((inverted & 0x70) >> 4)) - 0x84;
  return inverted & 0x80 ? 0 - magnitude : magnitude; // no -0
}

/**
 * One A-law byte as a 16-bit value.
 * @param {number} code 0..255
 */
export function alawToLinear(code) {
  const even = code ^ 0x55;
  const segment = (even & 0x70) >> 4;
  let magnitude = ((even & 0x0f) << 4) + 8;
  if (segment > 0) magnitude += 0x100;
  if (segment > 1) magnitude <<= segment - 1;
  return even & 0x80 ? magnitude : -magnitude;
}

/**
 * A 16-bit value as a µ-law byte.
 * @param {number} value -32768..32767, whole
 */
export function linearToUlaw(value) {
  let magnitude = value >> 2;
  const mask = magnitude < 0 ? 0x7f : 0xff;
  magnitude = Math.min(Math.abs(magnitude), ULAW_CLIP) + ULAW_BIAS;
  const segment = 26 - Math.clz32(magnitude); // 0x3f is the end of the first one
  return ((segment << 4) | ((magnitude >> (segment + 1)) & 0x0f)) ^ mask;
}

/**
 * A 16-bit value as an A-law byte.
 * @param {number} value -32768..32767, whole
 */
export function linearToAlaw(value) {
  const upper = value >> 3;
  const mask = upper < 0 ? 0x55 : 0xd5;
  const magnitude = upper < 0 ? -upper - 1 : upper;
  const segment = Math.max(0, 27 - Math.clz32(magnitude)); // 0x1f is the end of the first one
  const step = segment < 2 ? (magnitude >> 1) & 0x0f : (magnitude >> segment) & 0x0f;
  return ((segment << 4) | step) ^ mask;
}

/** @param {(code: number) => number} toLinear */
function table(toLinear) {
  return Float32Array.from({ length: 256 }, (_, code) => toLinear(code) / 32768);
}

const TABLES = { PCMU: table(ulawToLinear), PCMA: table(alawToLinear) };

/**
 * Decode into `out`; returns how many samples that are.
 * @param {"PCMU" | "PCMA"} codec
 * @param {Uint8Array} payload
 * @param {Float32Array} out at least as long, gets -1..1
 */
export function decodeG711(codec, payload, out) {
  const samples = TABLES[codec];
  const count = payload.length;
  for (let i = 0; i < count; i++) out[i] = samples[payload[i]];
  return count;
}

/**
 * One sample of -1..1 as a byte. What is louder is clipped; what is no number is silence.
 * @param {"PCMU" | "PCMA"} codec
 * @param {number} sample
 */
export function encodeSample(codec, sample) {
  const scaled = Math.round(sample * 32768) || 0;
  const value = scaled > 32767 ? 32767 : scaled < -32768 ? -32768 : scaled;
  return codec === "PCMA" ? linearToAlaw(value) : linearToUlaw(value);
}
