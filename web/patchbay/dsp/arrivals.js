/**
 * How evenly frames arrive, and how long the buffer should therefore be. Pure; times are seconds of the listener's clock.
 *
 * Of each frame, arrival time minus media time is kept for 5 s. The least of these is the fastest way here; what a frame
 * has more is its lateness. The target covers the lateness of 95 % and a frame more; an underrun raises it, and that
 * wears off.
 */

const WINDOW = 256; // frames: 5 s
const PERCENTILE = 0.95;
const MARGIN_S = 0.02;
const TARGET_MIN_S = 0.04;
const TARGET_MAX_S = 0.4;
const TARGET_FIRST_S = 0.06;
const ESTIMATE_EVERY = 25; // frames
const ENOUGH = 50; // frames from which on an estimate can be trusted to lower the target

const UNDERRUN_FACTOR = 1.25;
const WEAR_PER_S = 0.005; // 5 % each 10 s
const WEAR_FAST_PER_S = 0.03; // while even the latest frame of the last 5 s would have had time to spare
const TO_SPARE_S = 0.04;

const SETTLE_S = 0.3; // after a start, what arrives faster than real time was waiting somewhere, and is no jitter
const SETTLE_DROP_S = 0.005;
const JUMP_S = 0.1; // so much faster than the fastest so far: the clock or the way has changed

export class Arrivals {
  #seen = new Float64Array(WINDOW);
  #sorted = new Float64Array(WINDOW);
  #count = 0;
  #sinceEstimate = 0;
  #settlesUntil = -Infinity;
  #estimate = TARGET_FIRST_S;
  #worst = TARGET_MAX_S; // lateness of the latest frame in the window
  #floor = 0;
  #floorAt = 0;

  /** Arrival minus media time of the fastest frame; NaN before the first one. */
  fastest = NaN;

  /** How long audio should wait between its arrival, had it come the fastest way, and being played; seconds. */
  get target() {
    return Math.min(TARGET_MAX_S, Math.max(TARGET_MIN_S, this.#estimate, this.#floor));
  }

  /**
   * Frames are going to start, or to start again: what was waiting for that is let pass without being counted as jitter.
   * @param {number} now
   */
  settle(now) {
    this.#forget();
    this.#settlesUntil = now + SETTLE_S;
  }

  /** Whether a start is so recent that frames may still come in a heap. @param {number} now */
  settling(now) {
    return now < this.#settlesUntil;
  }

  /**
   * A frame has come.
   * @param {number} now
   * @param {number} media media time of the frame, seconds
   */
  add(now, media) {
    const difference = now - media;
    const drop = this.fastest - difference;
    if (drop > (this.settling(now) ? SETTLE_DROP_S : JUMP_S)) this.#forget();
    if (!(difference > this.fastest)) this.fastest = difference;
    this.#seen[this.#count++ % WINDOW] = difference;
    if (++this.#sinceEstimate >= ESTIMATE_EVERY) {
      this.#sinceEstimate = 0;
      this.#renew();
    }
  }

  /** The buffer ran empty. @param {number} now */
  underrun(now) {
    this.#floor = Math.min(TARGET_MAX_S, this.target * UNDERRUN_FACTOR);
    this.#floorAt = now;
  }

  /** Time passes: an underrun's effect wears off. @param {number} now */
  wear(now) {
    const passed = now - this.#floorAt;
    if (passed < 0.5) return;
    const wear = this.#floor > this.#worst + TO_SPARE_S ? WEAR_FAST_PER_S : WEAR_PER_S;
    this.#floor *= Math.max(0, 1 - wear * passed);
    this.#floorAt = now;
  }

  #forget() {
    this.#count = 0;
    this.#sinceEstimate = 0;
    this.fastest = NaN;
  }

  #renew() {
    const count = Math.min(this.#count, WINDOW);
    const sorted = this.#sorted.subarray(0, count);
    sorted.set(this.#seen.subarray(0, count));
    sorted.sort();
    this.fastest = sorted[0];
    this.#worst = count >= ENOUGH ? sorted[count - 1] - sorted[0] : TARGET_MAX_S;
    const late = sorted[Math.min(count - 1, Math.floor(count * PERCENTILE))] - sorted[0];
    const wanted = late + MARGIN_S;
    if (wanted > this.#estimate || count >= ENOUGH) this.#estimate = wanted;
  }
}
