/**
 * How loud both sides of a call were lately: what waveforms are drawn from. Pure.
 *
 * A level is a byte on the scale of docs/protocol-v1.md: 255 is full, 85 is 20 dB. Levels come by the handful, twice a
 * second; `advance` lets them out one after the other, so that what is drawn moves evenly.
 */

export const STEP_MS = 100;
const KEPT = 512; // columns: 51 s
const BEHIND_MAX = 16; // columns that may wait; more is a page that slept
const AHEAD = 2; // columns kept waiting, for when the next come a little late

export class Peaks {
  #sides = [new Uint8Array(KEPT), new Uint8Array(KEPT)];
  #written = 0;
  #shown = 0;

  /** How many columns have been shown, ever. */
  get shown() {
    return this.#shown;
  }

  /**
   * Take levels of both sides, oldest first.
   * @param {ArrayLike<number>} inbound may be empty: silent
   * @param {ArrayLike<number>} outbound
   */
  push(inbound, outbound) {
    const count = Math.min(Math.max(inbound.length, outbound.length), KEPT);
    for (let i = 0; i < count; i++) {
      const at = (this.#written + i) % KEPT;
      this.#sides[0][at] = inbound[i] ?? 0;
      this.#sides[1][at] = outbound[i] ?? 0;
    }
    this.#written += count;
    if (this.#written - this.#shown > BEHIND_MAX) this.#shown = this.#written - AHEAD;
  }

  /**
   * Time goes on: show so many columns more, of those that are there.
   * @param {number} columns
   * @returns {boolean} whether there is anything new to be drawn
   */
  advance(columns) {
    const waiting = this.#written - this.#shown;
    const step = Math.min(waiting, columns);
    this.#shown += step;
    return step > 0;
  }

  /** A level, `back` columns before the newest that is shown. @param {number} side 0 inbound, 1 outbound @param {number} back */
  at(side, back) {
    const column = this.#shown - 1 - back;
    return column < 0 || back >= KEPT - BEHIND_MAX ? 0 : this.#sides[side][column % KEPT];
  }

  /** How loud it is just now: the louder side of the last few columns, 0..255. */
  get loudness() {
    let most = 0;
    for (let back = 0; back < 3; back++) most = Math.max(most, this.at(0, back), this.at(1, back));
    return most;
  }
}

/** A level of a sample's size, for what is heard here. @param {number} sample 0..1 */
export function levelOf(sample) {
  return sample <= 0 ? 0 : Math.max(0, Math.min(255, Math.round(255 + 85 * Math.log10(sample))));
}

const QUIETEST = 85; // what is less is noise of the line

/** How high a level is drawn, 0..1. @param {number} level */
export function height(level) {
  return level <= QUIETEST ? 0 : ((level - QUIETEST) / (255 - QUIETEST)) ** 2;
}
