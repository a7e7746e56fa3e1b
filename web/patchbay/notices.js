/**
 * Everything that can go wrong for a user, in words. The code is for programs (and for translations), the words for people.
 */

/**
 * @typedef {object} Notice
 * @property {string} code one of the keys below, or "server" with the server's own words
 * @property {string} words what is the matter, and what to do about it
 * @property {string} [detail] what the browser or the server said
 * @property {string} [call] the call it is about
 */

/** @type {Record<string, string>} */
export const WORDS = Object.freeze({
  audio_blocked: "The browser plays no sound before you click or press a key on this page.",
  audio_interrupted: "Sound is interrupted: another app, or a phone call, uses it. It comes back by itself.",
  audio_failed: "The sound output has failed. Check the speaker or headset; sound comes back when it does.",
  audio_unsupported: "This browser can't play live audio: it has no AudioWorklet.",
  insecure: "Live audio needs a page over https (or localhost).",
  output_gone: "The chosen speaker is not there any more. You hear through the default one now.",
  output_unsupported: "This browser can't choose a speaker. Choose it in the system's settings.",
  microphone_denied: "The microphone is not allowed for this page. Allow it in the browser's address bar, then talk again.",
  microphone_missing: "No microphone was found. Connect one, then talk again.",
  microphone_busy: "The microphone can't be opened: another program uses it, or it has failed.",
  microphone_gone: "The chosen microphone is not there any more. The default one is used now.",
  microphone_unplugged: "The microphone was unplugged, or access to it was taken back. Nobody hears you any more.",
  microphone_muted: "The microphone is muted by its own switch or by the system. Nobody hears you.",
  microphone_failed: "The microphone can't be used.",
  floor_taken: "Somebody else is talking into this call.",
  floor_lost: "Somebody else has taken over talking into this call.",
  talk_lost: "What you say does not reach the call: the connection is too slow or interrupted.",
  offline: "The connection is interrupted. It is tried again by itself.",
  refused: "The server refuses this connection.",
  token_refused: "The access token is missing or not valid. Sign in again.",
  token_expired: "The access token has expired.",
  token_unavailable: "No access token could be had. It is tried again by itself.",
  not_allowed: "You are not allowed to do this with this call.",
  protocol_error: "The server could not understand this page. Reload it.",
  too_many_connections: "There are too many connections from here. Close other tabs, then reload.",
  legacy: "The server is older than this page: some things are not available.",
  unavailable: "The server can't do this.",
});

/**
 * @param {string} code
 * @param {object} [more]
 * @param {string} [more.words] instead of those above
 * @param {string} [more.detail]
 * @param {string} [more.call]
 * @returns {Notice}
 */
export function notice(code, { words, ...more } = {}) {
  return { code, words: words ?? WORDS[code] ?? code, ...more };
}

/** A failure with words for people. */
export class PatchbayError extends Error {
  /** @param {Notice} given */
  constructor(given) {
    super(given.words);
    this.name = "PatchbayError";
    this.code = given.code;
    this.notice = given;
  }
}

/** @type {Record<string, string>} */
const MICROPHONE_ERRORS = {
  NotAllowedError: "microphone_denied",
  SecurityError: "microphone_denied",
  NotFoundError: "microphone_missing",
  NotReadableError: "microphone_busy",
  AbortError: "microphone_busy",
};

/**
 * What `getUserMedia` failed with, in words.
 * @param {unknown} error
 */
export function microphoneError(error) {
  const { name = "", message = String(error) } = error instanceof Error ? error : {};
  return new PatchbayError(notice(MICROPHONE_ERRORS[name] ?? "microphone_failed", { detail: message }));
}
