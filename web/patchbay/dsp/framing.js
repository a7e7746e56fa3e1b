/**
 * A microphone's samples to frames of G.711: 8 kHz, exactly 20 ms each. Pure.
 *
 * The resampler is the anti-alias filter: without one, what is above 4 kHz would come back as chirps.
 */

import { encodeSample, SILENCE } from "../codec/g711.js";
import { Resampler } from "./resampler.js";

/** Bytes in a frame of 20 ms. */
export const FRAME_BYTES = 160;
const RATE = 8000;
const CUTOFF = 0.95; // of 4 kHz

export class Framer {
  #resampler;
  #samples = new Float32Array(FRAME_BYTES);
  #frame = new Uint8Array(FRAME_BYTES);
  #filled = 0;
  #emit;

  /** The loudest sample since this was last set to 0. */
  peak = 0;
  /** @type {"PCMU" | "PCMA"} */
  codec = "PCMU";

  /**
   * @param {number} inRate Hz
   * @param {(frame: Uint8Array<ArrayBuffer>) => void} emit gets each frame, a new array that it may keep
   */
  constructor(inRate, emit) {
    this.#resampler = new Resampler(inRate, RATE, { cutoff: CUTOFF });
    this.#emit = emit;
  }

  /** @param {Float32Array} samples of one channel, at the input's rate */
  push(samples) {
    this.#resampler.write(samples, samples.length);
    for (;;) {
      const made = this.#resampler.read(this.#samples, 0, FRAME_BYTES - this.#filled);
      for (let i = 0; i < made; i++) this.#encode(this.#samples[i]);
      if (this.#filled < FRAME_BYTES) return;
      this.#emit(this.#frame.slice());
      this.#filled = 0;
    }
  }

  /** The talk is over: the last frame, filled up with silence; and forget all, so that the next talk begins clean. */
  flush() {
    if (this.#filled > 0) this.#emit(this.#frame.slice().fill(SILENCE[this.codec], this.#filled));
    this.#filled = 0;
    this.#resampler.reset();
  }

  /** @param {number} sample */
  #encode(sample) {
    this.peak = Math.max(this.peak, Math.abs(sample));
    this.#frame[this.#filled++] = encodeSample(this.codec, sample);
  }
}
