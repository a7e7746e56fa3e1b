/**
 * A WebSocket that comes back: full jitter between tries, at once when the network or the page does, never after a close
 * code that says not to. Knows nothing of what is said over it.
 */

import { closePolicy } from "./protocol.js";

const FIRST_S = 0.5;
const LONGEST_S = 20;
const SOON_S = 0.3; // spreads those who all lost the same server
const OPEN_TIMEOUT_S = 10;
const STABLE_S = 5; // open for so long forgets earlier failures
const ANSWER_S = 3;
const NO_ANSWER = 4001;

/**
 * How long to wait before a try: anything up to a bound that doubles each time ("full jitter").
 * @param {number} failures so far
 * @param {() => number} random
 * @returns {number} seconds
 */
export function backoff(failures, random) {
  return random() * Math.min(LONGEST_S, FIRST_S * 2 ** Math.min(failures, 16));
}

/** @typedef {"connecting" | "open" | "waiting" | "closed"} SocketState */

/**
 * @typedef {object} SocketOptions
 * @property {() => Promise<{url: string, protocols: string[]}>} address asked before each try
 * @property {(socket: WebSocket) => void} [onOpen]
 * @property {(data: string | ArrayBuffer) => void} onMessage
 * @property {(state: SocketState, detail: {code: number, reason: string, notice: string}) => void} [onState]
 * @property {() => boolean} [onUnopened] a try ended before it was open; true: make no other
 * @property {number} [failures] tries that others have made in vain: the first one here waits accordingly
 * @property {number} [silence_s] without any message for so long the connection counts as dead; 0: never
 * @property {() => void} [ask] has the other side send something
 * @property {typeof WebSocket} [WebSocket]
 * @property {() => number} [random]
 */

export class ReconnectingSocket {
  #options;
  #random;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #silence;
  #failures = 0;
  #openedAt = 0;
  #heardAt = 0;
  #wake = () => this.#comeBackNow();

  /** @type {SocketState} */
  state = "connecting";

  /** @param {SocketOptions} options */
  constructor(options) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    this.#failures = options.failures ?? 0;
    if (this.#failures) this.#retry(1006, "", "offline", false);
    else void this.#try();
  }

  /** Bytes that wait to be sent. */
  get bufferedAmount() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /**
   * Send, when it is open. Returns whether it is.
   * @param {string | ArrayBuffer} data
   */
  send(data) {
    if (this.state !== "open" || !this.#socket) return false;
    this.#socket.send(data);
    return true;
  }

  /** End it for good. */
  close() {
    this.#stop();
    this.#enter("closed", 1000, "", "");
    this.#drop(1000, "");
  }

  /** End this connection as dead, and come back. */
  restart() {
    this.#drop(NO_ANSWER, "no answer");
    this.#ended(1006, "no answer");
  }

  async #try() {
    clearTimeout(this.#timer);
    this.#enter("connecting", 0, "", "");
    let address;
    try {
      address = await this.#options.address();
    } catch (error) {
      if (this.state !== "closed") this.#retry(1006, String(error), "token_unavailable", false);
      return;
    }
    if (this.state !== "connecting" || this.#socket) return; // closed while it was asked for
    const Socket = this.#options.WebSocket ?? WebSocket;
    const socket = new Socket(address.url, address.protocols);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#listenTo(socket);
    this.#timer = setTimeout(() => this.restart(), OPEN_TIMEOUT_S * 1000);
  }

  /** @param {WebSocket} socket */
  #listenTo(socket) {
    const mine = () => socket === this.#socket;
    socket.onopen = () => {
      if (!mine()) return;
      clearTimeout(this.#timer);
      this.#openedAt = this.#heardAt = performance.now();
      this.#watchSilence();
      this.#enter("open", 0, "", "");
      this.#options.onOpen?.(socket);
    };
    socket.onmessage = ({ data }) => {
      if (!mine()) return;
      this.#heardAt = performance.now();
      this.#options.onMessage(data);
    };
    socket.onclose = ({ code, reason }) => {
      if (mine()) this.#ended(code, reason);
    };
  }

  /** @param {number} code @param {string} reason */
  #ended(code, reason) {
    if (this.state === "closed") return;
    this.#socket = null;
    clearTimeout(this.#silence);
    const opened = this.#openedAt > 0;
    if (opened && performance.now() - this.#openedAt > STABLE_S * 1000) this.#failures = 0;
    this.#openedAt = 0;
    if (!opened && this.#options.onUnopened?.()) {
      this.state = "closed";
      return this.#stop();
    }
    const { again, soon, notice } = closePolicy(code);
    if (!again) {
      this.#stop();
      this.#enter("closed", code, reason, notice);
    } else {
      this.#retry(code, reason, notice || (opened || this.#failures ? "offline" : ""), soon && opened);
    }
  }

  /** @param {number} code @param {string} reason @param {string} notice @param {boolean} soon */
  #retry(code, reason, notice, soon) {
    const wait = soon && this.#failures === 0 ? this.#random() * SOON_S : backoff(this.#failures, this.#random);
    this.#failures++;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#try(), wait * 1000);
    this.#enter("waiting", code, reason, notice);
  }

  /** The network is back, or somebody looks at the page again: no reason to wait any longer. */
  #comeBackNow() {
    if (globalThis.document?.hidden) return;
    if (this.state === "waiting") this.#try();
    else if (this.state === "open" && this.#options.ask) this.#askWhetherThere(this.#options.ask);
  }

  /** After a sleep, or a time in the background, timers say nothing: ask, and give it a moment. @param {() => void} ask */
  #askWhetherThere(ask) {
    const asked = performance.now();
    const socket = this.#socket;
    ask();
    setTimeout(() => {
      if (socket === this.#socket && this.state === "open" && this.#heardAt < asked) this.restart();
    }, ANSWER_S * 1000);
  }

  #watchSilence() {
    const limit = this.#options.silence_s ?? 0;
    if (limit > 0) this.#silence = setTimeout(() => this.#checkSilence() || this.#watchSilence(), limit * 500);
  }

  /** True when it was dead, and is being opened again. */
  #checkSilence() {
    const limit = this.#options.silence_s ?? 0;
    if (globalThis.document?.hidden) return false; // its timers, and so its questions, come seldom
    if (!limit || this.state !== "open" || performance.now() - this.#heardAt < limit * 1000) return false;
    this.restart();
    return true;
  }

  #stop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
  }

  /** @param {number} code @param {string} reason */
  #drop(code, reason) {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(code, reason);
  }

  /** @param {SocketState} state @param {number} code @param {string} reason @param {string} notice */
  #enter(state, code, reason, notice) {
    this.state = state;
    this.#options.onState?.(state, { code, reason, notice });
  }
}
