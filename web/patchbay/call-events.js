/**
 * What happens to calls, as /call-events says it: live, and after an interruption what was missed. Nothing comes twice.
 *
 * `events.on("event", event => …)`, or `for await (const event of events)`; "state" events tell of the connection.
 */

import { ReconnectingSocket } from "./reconnect.js";
import { Emitter } from "./typed-events.js";

const KNOWN_MAX = 2000; // ids remembered
const QUEUE_MAX = 1000; // events kept for a `for await` that does not keep up; then the oldest go

/**
 * @typedef {object} CallEvent
 * @property {string} type Telnyx's event type, or ours: "stream.started" and the like
 * @property {string} id
 * @property {string} occurred_at
 * @property {any} payload
 * @property {number} [offset] for `since`
 */

export class CallEvents extends Emitter {
  #access;
  #socket;
  #onClose;
  /** @type {string | number | undefined} */
  #since;
  /** @type {Set<string>} */
  #known = new Set();
  /** @type {CallEvent[]} */
  #queue = [];
  /** @type {(() => void) | null} */
  #wake = null;
  #closed = false;
  #iterated = false;

  /** Events that a slow `for await` has not seen. */
  dropped = 0;

  /**
   * @param {import("./connection.js").Access & {calls: string[]}} access
   * @param {string | number | undefined} since
   * @param {() => void} onClose
   */
  constructor(access, since, onClose) {
    super();
    this.#access = access;
    this.#since = since;
    this.#onClose = onClose;
    this.#socket = new ReconnectingSocket({
      address: () => this.#address(),
      onMessage: (data) => typeof data === "string" && this.#take(data),
      onState: (state, detail) => queueMicrotask(() => this.emit("state", { state, ...detail })),
      WebSocket: access.WebSocket,
    });
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
    this.#wake?.();
    this.#onClose();
  }

  /** @returns {AsyncGenerator<CallEvent, void, void>} */
  async *[Symbol.asyncIterator]() {
    this.#iterated = true;
    while (!this.#closed || this.#queue.length) {
      const event = this.#queue.shift();
      if (event) yield event;
      else await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
    }
  }

  async #address() {
    const url = new URL(this.#access.url);
    for (const call of this.#access.calls) url.searchParams.append("call_control_id", call);
    if (this.#since !== undefined) url.searchParams.set("since", String(this.#since));
    const token = await this.#access.token();
    if (token) url.searchParams.set("token", token);
    return { url: url.href, protocols: [] };
  }

  /** @param {string} data */
  #take(data) {
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return; // what is not JSON is not for us
    }
    if (event.offset !== undefined) this.#since = event.offset;
    if (event.type === "welcome") return void this.emit("welcome", event);
    if (event.id && this.#isKnown(event.id)) return;
    if (this.#iterated) this.#enqueue(event);
    this.emit("event", event);
  }

  /** @param {string} id */
  #isKnown(id) {
    if (this.#known.has(id)) return true;
    this.#known.add(id);
    if (this.#known.size > KNOWN_MAX) this.#known.delete(/** @type {string} */ (this.#known.values().next().value));
    return false;
  }

  /** @param {CallEvent} event */
  #enqueue(event) {
    this.#queue.push(event);
    if (this.#queue.length > QUEUE_MAX) {
      this.#queue.shift();
      this.dropped++;
    }
    this.#wake?.();
  }
}
