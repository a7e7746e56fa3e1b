/**
 * Packet-loss concealment after the idea of G.711 Appendix I: goes on with the last pitch period, ever more quietly. Pure.
 *
 * Also what joins any two pieces of sound that don't belong together: the first is continued for a few milliseconds under
 * the second, so that nothing clicks.
 */

const HISTORY_S = 0.04;
const LAG_MIN_S = 0.005;
const LAG_MAX_S = 0.015;
const MATCH_S = 0.01;
const HOLD_S = 0.01; // full level for so long
const FADE_END_S = 0.06; // silent from here on
const CORRECT_S = 0.003; // over which a step at the beginning is smoothed out
const JOIN_S = 0.005;

/** The recent past of one channel at one rate. */
export class Concealer {
  #history;
  #template;
  #period = 0;
  #made = 0; // samples since the loss began; 0: no loss
  #correction = 0;
  #silent = true; // nothing has been heard yet

  /** @param {number} rate Hz */
  constructor(rate) {
    this.rate = rate;
    this.#history = new Float32Array(Math.ceil(HISTORY_S * rate));
    this.#template = new Float32Array(Math.ceil(LAG_MAX_S * rate) + 2);
  }

  /** Whether a loss is being concealed. */
  get running() {
    return this.#made > 0;
  }

  /** Whether what it makes can be heard. */
  get audible() {
    return !this.#silent && this.concealed < FADE_END_S;
  }

  /** Seconds concealed since the loss began. */
  get concealed() {
    return this.#made / this.rate;
  }

  /** Silence came before. */
  reset() {
    this.#history.fill(0);
    this.#made = 0;
    this.#silent = true;
  }

  /**
   * Sound that will be heard next. Where it follows on a loss or a cut, its beginning is blended with what went before.
   * @param {Float32Array} samples changed in place
   * @param {number} count
   * @param {boolean} [cut] it does not follow on what came before
   */
  hear(samples, count, cut = false) {
    if (cut || this.running) this.#join(samples, count);
    this.#made = 0;
    this.#silent = false;
    const history = this.#history;
    const length = history.length;
    if (count >= length) {
      for (let i = 0; i < length; i++) history[i] = samples[count - length + i];
    } else {
      history.copyWithin(0, count);
      for (let i = 0; i < count; i++) history[length - count + i] = samples[i];
    }
  }

  /**
   * Sound for where there is none.
   * @param {Float32Array} out
   * @param {number} count
   */
  conceal(out, count) {
    if (this.#silent) {
      out.fill(0, 0, count);
      this.#made += count;
      return;
    }
    if (!this.running) this.#begin();
    const hold = HOLD_S * this.rate;
    const end = FADE_END_S * this.rate;
    const correctOver = CORRECT_S * this.rate;
    for (let i = 0; i < count; i++) {
      const at = this.#made + i;
      const level = at < hold ? 1 : at >= end ? 0 : (end - at) / (end - hold);
      const corrected = at < correctOver ? this.#correction * (0.5 + 0.5 * Math.cos((Math.PI * at) / correctOver)) : 0;
      out[i] = level * (this.#template[at % this.#period] + corrected);
    }
    this.#made += count;
  }

  /** @param {Float32Array} samples @param {number} count */
  #join(samples, count) {
    const length = Math.min(count, Math.ceil(JOIN_S * this.rate), JOIN_MAX);
    this.conceal(joint, length);
    for (let i = 0; i < length; i++) {
      const share = (i + 1) / (length + 1);
      samples[i] = samples[i] * share + joint[i] * (1 - share);
    }
  }

  /** Cut the last period out of the past, made so that its end leads into its beginning. */
  #begin() {
    const history = this.#history;
    const end = history.length;
    const period = this.#findPeriod();
    const blend = period >> 2;
    for (let i = 0; i < period; i++) this.#template[i] = history[end - period + i];
    for (let i = 0; i < blend; i++) {
      const share = (i + 1) / (blend + 1);
      const at = period - blend + i;
      this.#template[at] = this.#template[at] * (1 - share) + history[end - period - blend + i] * share;
    }
    this.#period = period;
    const expected = 2 * history[end - 1] - history[end - 2];
    this.#correction = Math.max(-1, Math.min(1, expected)) - this.#template[0];
  }

  /** The lag at which the past resembles itself most: coarsely first where the rate is high. */
  #findPeriod() {
    const stride = Math.max(1, Math.floor(this.rate / 8000));
    const from = Math.floor(LAG_MIN_S * this.rate);
    const to = Math.floor(LAG_MAX_S * this.rate);
    const coarse = this.#bestLag(from, to, stride, stride);
    return stride === 1 ? coarse : this.#bestLag(Math.max(from, coarse - stride), Math.min(to, coarse + stride), 1, stride);
  }

  /** @param {number} from @param {number} to @param {number} step of the lags @param {number} stride of the samples */
  #bestLag(from, to, step, stride) {
    const history = this.#history;
    const end = history.length;
    const length = Math.floor(MATCH_S * this.rate);
    let best = from;
    let bestScore = -Infinity;
    for (let lag = from; lag <= to; lag += step) {
      let product = 0;
      let energy = 1e-9;
      for (let i = end - length; i < end; i += stride) {
        const before = history[i - lag];
        product += history[i] * before;
        energy += before * before;
      }
      const score = product / Math.sqrt(energy);
      if (score > bestScore) {
        bestScore = score;
        best = lag;
      }
    }
    return best;
  }
}

const JOIN_MAX = 1024;
const joint = new Float32Array(JOIN_MAX); // shared: used within one call
