/** The events of one call: what was before, from the journal, and then what comes; the newest first. */

import { make } from "./dom.js";
import { eventKind, eventTime, eventWords } from "./event-words.js";
import { server } from "./server.js";

const SHOWN_MAX = 200;
const ASKED = 50;

export class CallLog {
  #language;
  #list = make("ol", { className: "events" });
  #note = make("p", { className: "none" });
  /** @type {any[]} */
  #events = [];
  /** @type {Set<string>} */
  #known = new Set();
  /** @type {import("../patchbay.js").CallEvents | null} */
  #live = null;
  #closed = false;
  #away = false;

  /**
   * @param {string} call
   * @param {(options: {calls: string[], since?: number}) => import("../patchbay.js").CallEvents | null} follow null: it can't be
   * @param {import("./i18n.js").Language} language
   */
  constructor(call, follow, language) {
    this.#language = language;
    this.element = make("div", { className: "log", tabIndex: 0, attributes: { role: "log", "aria-live": "off" } });
    this.element.append(this.#note, this.#list);
    this.relabel();
    void this.#begin(call, follow);
  }

  /** The language has changed. */
  relabel() {
    this.element.setAttribute("aria-label", this.#language.t("events"));
    this.#list.replaceChildren(...this.#events.map((event) => this.#item(event)));
    this.#showNote();
  }

  close() {
    this.#closed = true;
    this.#live?.close();
  }

  /**
   * @param {string} call
   * @param {(options: {calls: string[], since?: number}) => import("../patchbay.js").CallEvents | null} follow
   */
  async #begin(call, follow) {
    const { status, value } = await server.events(call, ASKED);
    if (this.#closed) return;
    this.#away = status !== 200;
    for (const event of value?.events ?? []) this.#take(event);
    this.#showNote();
    const since = Number.isFinite(value?.next) ? value.next : 0; // 0: what was before comes this way, then
    this.#live = follow({ calls: [call], since });
    this.#live?.on("event", (event) => this.#take(event));
  }

  /** @param {any} event */
  #take(event) {
    if (typeof event?.type !== "string" || !event.id || this.#known.has(event.id)) return;
    this.#known.add(event.id);
    const at = this.#events.findIndex((other) => eventTime(other) <= eventTime(event));
    const place = at < 0 ? this.#events.length : at;
    this.#events.splice(place, 0, event);
    this.#list.insertBefore(this.#item(event), this.#list.children[place] ?? null);
    if (this.#events.length > SHOWN_MAX) {
      this.#known.delete(this.#events.pop()?.id);
      this.#list.lastElementChild?.remove();
    }
    this.#showNote();
  }

  /** @param {any} event */
  #item(event) {
    const when = eventTime(event);
    const dateTime = Number.isFinite(when) ? new Date(when).toISOString() : "";
    const time = make("time", { dateTime }, this.#language.time(when));
    return make("li", { data: { kind: eventKind(event) }, title: event.type }, time, eventWords(event, this.#language));
  }

  #showNote() {
    this.#note.hidden = this.#events.length > 0;
    this.#note.textContent = this.#language.t(this.#away ? "events-away" : "events-none");
  }
}
