/** The live calls as the page knows them: what the server tells, when it does; found by a search. Pure: no DOM, no clock. */

import { text } from "./format.js";

const CLOCK_DIFFERENCE_MS = 2000; // less is the second that a Date header is good for, and the way here

/**
 * @typedef {object} CallInfo
 * @property {string} id call_control_id; of a stream that has none, its stream_id
 * @property {string} from
 * @property {string} to
 * @property {string} codec
 * @property {number} sampleRate
 * @property {number} startedAt ms since 1970 by the server's clock
 * @property {number} listeners
 * @property {number} gaps
 * @property {string | null} talker a connection that has the floor
 * @property {any} told as it came
 */

/** @param {any} told one entry of /api/calls @returns {CallInfo} */
export function callInfo(told) {
  return {
    id: text(told.call_control_id || told.stream_id),
    from: text(told.from),
    to: text(told.to),
    codec: text(told.codec),
    sampleRate: Number(told.sample_rate) || 0,
    startedAt: Date.parse(told.started_at),
    listeners: Number(told.listeners) || 0,
    gaps: Number(told.gaps) || 0,
    talker: told.talker === null || told.talker === undefined ? null : text(told.talker),
    told,
  };
}

export class Store {
  /** @type {Map<string, CallInfo>} */
  calls = new Map();
  query = "";
  /** What the server's clock is ahead of ours, in ms. */
  ahead = 0;

  /**
   * Take an answer of /api/calls.
   * @param {unknown} told
   * @returns {{came: CallInfo[], went: CallInfo[]}}
   */
  take(told) {
    const before = this.calls;
    const list = Array.isArray(told) ? told.filter((call) => call !== null && typeof call === "object") : [];
    this.calls = new Map(list.map(callInfo).filter(({ id }) => id).map((call) => [call.id, call]));
    const came = [...this.calls.values()].filter(({ id }) => !before.has(id));
    const went = [...before.values()].filter(({ id }) => !this.calls.has(id));
    return { came, went };
  }

  /** @param {number} server @param {number} ours ms since 1970; NaN where nothing is known */
  compareClocks(server, ours) {
    const ahead = server - ours;
    this.ahead = Math.abs(ahead) > CLOCK_DIFFERENCE_MS ? ahead : 0;
  }

  /** How long a call has lasted, in seconds. @param {CallInfo} call @param {number} now our clock, ms */
  lasted(call, now) {
    return (now + this.ahead - call.startedAt) / 1000;
  }

  /** The calls that the search finds, in the server's order (oldest first). */
  found() {
    const words = fold(this.query).split(/\s+/).filter(Boolean);
    const calls = [...this.calls.values()];
    if (words.length === 0) return calls;
    return calls.filter((call) => {
      const haystack = fold([call.from, call.to, call.id, call.codec].join(" "));
      const digits = haystack.replace(/[^\d]/g, "");
      return words.every((word) => haystack.includes(word) || isIn(word, digits));
    });
  }
}

/** Numbers are found however they are spaced. @param {string} word @param {string} digits */
function isIn(word, digits) {
  const wanted = word.replace(/[^\d]/g, "");
  return wanted.length > 2 && /^[\d+().-]+$/.test(word) && digits.includes(wanted);
}

/** @param {string} value */
function fold(value) {
  return value.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
