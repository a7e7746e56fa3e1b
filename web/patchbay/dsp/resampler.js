/**
 * Changes the rate of one channel, piece by piece, by a ratio that may change from piece to piece without a click. Pure.
 *
 * A windowed sinc (Kaiser), tabulated at 256 positions between two samples and interpolated linearly between those. It
 * filters as it goes: nothing above the lower of the two rates' limits comes through, so it is the anti-alias filter of
 * the microphone too. Nothing is allocated after construction.
 */

const PHASES = 256;
const ZERO_CROSSINGS = 16; // to each side, of the slower rate: 80 dB with a transition of 0.15 of the rate
const KAISER_BETA = 7.9;

/** @param {number} x */
function besselI0(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** @type {Map<string, {taps: number, table: Float32Array}>} */
const kernels = new Map();

/**
 * @param {number} scale bandwidth as a part of the input's
 * @param {number} cutoff the -6 dB point as a part of the lower rate's limit
 */
function kernel(scale, cutoff) {
  const key = `${scale} ${cutoff}`;
  let found = kernels.get(key);
  if (!found) {
    found = makeKernel(scale, cutoff);
    kernels.set(key, found);
  }
  return found;
}

/** @param {number} scale @param {number} cutoff */
function makeKernel(scale, cutoff) {
  const half = Math.ceil(ZERO_CROSSINGS / scale);
  const taps = 2 * half;
  const width = scale * cutoff;
  const table = new Float32Array((PHASES + 1) * taps);
  for (let phase = 0; phase <= PHASES; phase++) {
    let sum = 0;
    for (let tap = 0; tap < taps; tap++) {
      const x = tap - half + 1 - phase / PHASES; // distance from the wanted position, in input samples
      const edge = x / half;
      const window = edge * edge < 1 ? besselI0(KAISER_BETA * Math.sqrt(1 - edge * edge)) : 0;
      const value = (x === 0 ? width : Math.sin(Math.PI * width * x) / (Math.PI * x)) * window;
      table[phase * taps + tap] = value;
      sum += value;
    }
    for (let tap = 0; tap < taps; tap++) table[phase * taps + tap] /= sum; // unity at 0 Hz at every position
  }
  return { taps, table };
}

/** Samples go in with `write`, come out with `read`. */
export class Resampler {
  #kernel;
  #step;
  #input;
  #length = 0;
  #position = 0;

  /**
   * @param {number} inRate Hz
   * @param {number} outRate Hz
   * @param {object} [options]
   * @param {number} [options.cutoff] where the filter is at -6 dB, as a part of half the lower rate
   * @param {number} [options.capacity] samples that fit in beside the filter's own
   */
  constructor(inRate, outRate, { cutoff = 1, capacity = 16384 } = {}) {
    this.#kernel = kernel(Math.min(1, outRate / inRate), cutoff);
    this.#step = inRate / outRate;
    this.#input = new Float32Array(capacity + this.#kernel.taps);
    this.reset();
  }

  /** Delay of the filter, in input samples. */
  get delay() {
    return this.#kernel.taps / 2;
  }

  /** Input samples that wait to be used, without those the filter looks back at. */
  get waiting() {
    return Math.max(0, this.#length - Math.floor(this.#position) - this.#kernel.taps);
  }

  /** Forget everything: silence came before. */
  reset() {
    this.#length = this.#kernel.taps - 1;
    this.#position = 0;
    this.#input.fill(0, 0, this.#length);
  }

  /**
   * Take `count` samples in. Returns false, and takes none, when they don't fit.
   * @param {Float32Array} samples
   * @param {number} count
   */
  write(samples, count) {
    if (this.#length + count > this.#input.length) {
      const used = Math.floor(this.#position);
      this.#input.copyWithin(0, used, this.#length);
      this.#length -= used;
      this.#position -= used;
      if (this.#length + count > this.#input.length) return false;
    }
    for (let i = 0; i < count; i++) this.#input[this.#length + i] = samples[i];
    this.#length += count;
    return true;
  }

  /**
   * Make up to `count` samples; returns how many there was input for.
   * @param {Float32Array} out
   * @param {number} offset where in `out` to begin
   * @param {number} count
   * @param {number} [ratio] how much faster than the two rates say the input is used up
   */
  read(out, offset, count, ratio = 1) {
    const { taps, table } = this.#kernel;
    const input = this.#input;
    const last = this.#length - taps;
    const step = this.#step * ratio;
    let position = this.#position;
    let made = 0;
    while (made < count && position < last + 1) {
      const from = Math.floor(position);
      const exact = (position - from) * PHASES;
      const phase = Math.floor(exact);
      const between = exact - phase;
      const row = phase * taps;
      let here = 0;
      let next = 0;
      for (let tap = 0; tap < taps; tap++) {
        const sample = input[from + tap];
        here += sample * table[row + tap];
        next += sample * table[row + taps + tap];
      }
      out[offset + made++] = here + (next - here) * between;
      position += step;
    }
    this.#position = position;
    return made;
  }
}
