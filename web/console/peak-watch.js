/**
 * The levels of all live calls: asks the server for them, keeps them, and lets them out at an even beat. Where the server
 * sends none, a call that is heard draws its own (see `deck.js`).
 */

import { Peaks, STEP_MS } from "./peaks.js";

const SILENT_AFTER_MS = 900; // nothing of a call for so long: it is silent
const SILENT_COLUMNS = 512; // then there is nothing left to move

/**
 * @typedef {object} Watched
 * @property {Peaks} peaks
 * @property {(() => void) | null} off
 * @property {number} at when levels came, ms
 * @property {number} silent columns of silence so far
 */

export class PeakWatch {
  #patchbay;
  /** @type {Map<string, Watched>} */
  #calls = new Map();
  #allowed = false;
  #come = false; // the server has sent some: it says nothing of calls that are silent

  /** @param {import("../patchbay.js").Patchbay} patchbay */
  constructor(patchbay) {
    this.#patchbay = patchbay;
  }

  /** @param {string} id @returns {Peaks} */
  peaksOf(id) {
    return this.#entry(id).peaks;
  }

  /** Whether the server sends levels. */
  get sent() {
    return this.#come && !this.#patchbay.legacy;
  }

  /** Ask for the levels of a call, and of all others, from when it is allowed. @param {string} id */
  watch(id) {
    const entry = this.#entry(id);
    if (!this.#allowed || entry.off) return;
    const call = this.#patchbay.call(id);
    const off = call.on("peaks", ({ inbound = [], outbound = [] }) => this.#take(entry, inbound, outbound));
    entry.off = off;
    call.watchPeaks(true);
  }

  /** @param {string} id */
  drop(id) {
    this.#calls.get(id)?.off?.();
    this.#calls.delete(id);
    this.#patchbay.forget(id);
  }

  /** There is a token now, or none is needed. */
  allow() {
    this.#allowed = true;
    for (const id of this.#calls.keys()) this.watch(id);
  }

  /** Time has gone on by so many columns. @param {number} columns */
  beat(columns) {
    const now = performance.now();
    for (const entry of this.#calls.values()) {
      if (entry.peaks.advance(columns) || entry.silent > SILENT_COLUMNS) continue;
      if (!this.sent || now - entry.at < SILENT_AFTER_MS) continue;
      entry.silent += columns;
      entry.peaks.push(new Uint8Array(columns), []);
      entry.peaks.advance(columns);
    }
  }

  /** @param {string} id */
  #entry(id) {
    let entry = this.#calls.get(id);
    if (!entry) {
      entry = { peaks: new Peaks(), off: null, at: -Infinity, silent: SILENT_COLUMNS + 1 };
      this.#calls.set(id, entry);
    }
    return entry;
  }

  /** @param {Watched} entry @param {number[]} inbound @param {number[]} outbound */
  #take(entry, inbound, outbound) {
    this.#come = true;
    entry.at = performance.now();
    entry.silent = 0;
    entry.peaks.push(inbound, outbound);
  }
}

/** How many columns a beat of so many ms is. @param {number} ms */
export const columnsOf = (ms) => Math.round(ms / STEP_MS);
