/**
 * The list of live calls: a row for each, reused as long as its call lasts. What calls say of themselves comes from
 * strangers, and only ever becomes text. One row's button is in the tab order; arrow keys go from row to row.
 */

import { byId, icon, ICONS, make, mark, write } from "./dom.js";
import { codec, duration, phone, shortId } from "./format.js";
import { Waveform } from "./waveform.js";

const ARROW = "M4 10h11m-4-4 4 4-4 4";

/**
 * @typedef {object} Context
 * @property {import("./i18n.js").Language} language
 * @property {import("./store.js").Store} store
 * @property {import("./waveform.js").Waveforms} waveforms
 * @property {import("./waveform.js").Palette} palette
 * @property {(id: string) => import("./peaks.js").Peaks} peaksOf
 * @property {(id: string) => boolean} isHeard
 * @property {(id: string, add: boolean) => void} toggle listen to a call, or stop; `add`: without stopping others
 */

/**
 * @typedef {object} Row
 * @property {HTMLElement} element
 * @property {HTMLButtonElement} button
 * @property {HTMLElement[]} cells from, to, id, duration, codec, listeners, gaps
 * @property {Waveform} waveform
 * @property {boolean} near whether it is on the screen, or nearly
 */

export class CallsList {
  #context;
  #rows = byId("calls");
  /** @type {Map<string, Row>} */
  #byId = new Map();
  /** @type {string[]} */
  #order = [];
  #current = "";
  #near;

  /** @param {Context} context */
  constructor(context) {
    this.#context = context;
    this.#near = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: "200px" });
    this.#rows.addEventListener("click", (event) => this.#clicked(event));
    // With Shift a browser would select text from the last click to this one.
    this.#rows.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault());
    this.#rows.addEventListener("keydown", (event) => this.#pressed(event));
    this.#rows.addEventListener("focusin", ({ target }) => this.#focused(target));
  }

  /** Show what the store has. @param {number} now ms */
  show(now) {
    const { store, language } = this.#context;
    const calls = store.found();
    this.#order = calls.map(({ id }) => id);
    this.#drop();
    calls.forEach((call, index) => this.#place(call, index, now));
    if (!this.#byId.has(this.#current)) this.#makeCurrent(this.#order[0] ?? "");
    const [live, found] = [store.calls.size, calls.length];
    write(byId("calls-count"), language.number(live));
    byId("calls-empty").hidden = live > 0;
    byId("calls-table").hidden = found === 0;
    byId("calls-none").hidden = found > 0 || live === 0;
    write(byId("calls-none"), language.t("none-found", { query: store.query.trim() }));
  }

  /** A second has passed. @param {number} now ms */
  tick(now) {
    for (const [id, row] of this.#byId) {
      const call = this.#context.store.calls.get(id);
      if (row.near && call) write(row.cells[3], duration(this.#context.store.lasted(call, now)));
    }
  }

  /** What is heard has changed, or the language. */
  refresh() {
    for (const [id, row] of this.#byId) {
      const call = this.#context.store.calls.get(id);
      if (call) this.#fill(row, call);
    }
  }

  /** The row that the keyboard is at: a call's id, "" when there is none. */
  get current() {
    return this.#current;
  }

  /** Go so many rows on. @param {number} step */
  move(step) {
    const at = this.#order.indexOf(this.#current);
    const atRow = this.#byId.get(this.#current)?.element.contains(document.activeElement) ?? false;
    const next = this.#order[Math.max(0, Math.min(this.#order.length - 1, atRow ? at + step : at))];
    this.focus(next);
  }

  /** @param {string | undefined} id */
  focus(id) {
    const row = id === undefined ? undefined : this.#byId.get(id);
    if (!row || id === undefined) return;
    this.#makeCurrent(id);
    row.button.focus();
    row.element.scrollIntoView({ block: "nearest" });
  }

  #drop() {
    const wanted = new Set(this.#order);
    for (const [id, row] of this.#byId) {
      if (wanted.has(id)) continue;
      this.#context.waveforms.remove(row.waveform);
      this.#near.unobserve(row.element);
      row.element.remove();
      this.#byId.delete(id);
    }
  }

  /** @param {import("./store.js").CallInfo} call @param {number} index @param {number} now */
  #place(call, index, now) {
    let row = this.#byId.get(call.id);
    if (!row) {
      row = this.#make(call.id);
      this.#byId.set(call.id, row);
      write(row.cells[3], duration(this.#context.store.lasted(call, now)));
    }
    this.#fill(row, call);
    const there = this.#rows.children[index];
    if (there !== row.element) this.#rows.insertBefore(row.element, there ?? null);
  }

  /** @param {string} id @returns {Row} */
  #make(id) {
    const canvas = make("canvas", { attributes: { "aria-hidden": "true" } });
    const button = make("button", { type: "button", className: "listen", tabIndex: -1 });
    button.append(icon(ICONS.play, "play"), icon(ICONS.stop, "stop"));
    const [from, to, name] = [make("b", {}), make("b", {}), make("small", {})];
    const cell = (/** @type {string} */ className, /** @type {Node[]} */ ...children) =>
      make("span", { className, attributes: { role: "cell" } }, ...children);
    const parties = make("span", { className: "parties" }, from, icon(ARROW, "arrow"), to, name);
    const [time, format, gaps] = ["number time", "codec", "number gaps"].map((className) => cell(className));
    const heard = make("span", {});
    const facts = [time, format, cell("number ears", icon(ICONS.ears), heard), gaps];
    const row = { className: "row", data: { key: id }, attributes: { role: "row" } };
    const element = make("div", row, cell("who", button, parties), cell("wave", canvas), ...facts);
    const waveform = new Waveform(canvas, this.#context.peaksOf(id), this.#context.palette);
    this.#context.waveforms.add(waveform);
    this.#near.observe(element);
    return { element, button, cells: [from, to, name, time, format, heard, gaps], waveform, near: false };
  }

  /** @param {Row} row @param {import("./store.js").CallInfo} call */
  #fill({ element, button, cells }, call) {
    const { language, isHeard } = this.#context;
    const heard = isHeard(call.id);
    const parties = { from: phone(call.from) || language.t("unknown"), to: phone(call.to) || language.t("unknown") };
    write(cells[0], parties.from);
    write(cells[1], parties.to);
    write(cells[2], shortId(call.id));
    write(cells[4], codec(call.codec, call.sampleRate));
    write(cells[5], language.number(call.listeners));
    write(cells[6], call.gaps ? language.number(call.gaps) : "–");
    mark(/** @type {Element} */ (cells[5].parentElement), "title", language.count("listeners-of", call.listeners));
    mark(cells[6], "title", language.count("gaps-of", call.gaps));
    element.classList.toggle("has-gaps", call.gaps > 0);
    element.classList.toggle("has-listeners", call.listeners > 0);
    element.classList.toggle("heard", heard);
    mark(button, "aria-label", language.t(heard ? "stop-listening" : "listen-to", parties));
    mark(button, "aria-pressed", String(heard));
  }

  /** @param {string} id */
  #makeCurrent(id) {
    const before = this.#byId.get(this.#current);
    if (before) before.button.tabIndex = -1;
    this.#current = id;
    const now = this.#byId.get(id);
    if (now) now.button.tabIndex = 0;
  }

  /** @param {EventTarget | null} target */
  #idAt(target) {
    return target instanceof Element ? (/** @type {HTMLElement | null} */ (target.closest(".row"))?.dataset.key ?? "") : "";
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const id = this.#idAt(event.target);
    if (!id || (!event.shiftKey && String(getSelection()))) return; // who selects a number does not want to hear it
    this.#makeCurrent(id);
    this.#context.toggle(id, event.shiftKey);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 };
    const step = steps[/** @type {keyof typeof steps} */ (event.key)];
    if (step === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.move(step);
  }

  /** @param {EventTarget | null} target */
  #focused(target) {
    const id = this.#idAt(target);
    if (id) this.#makeCurrent(id);
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #seen(entries) {
    for (const { target, isIntersecting } of entries) {
      const row = this.#byId.get(this.#idAt(target));
      if (row) row.near = isIntersecting;
    }
  }
}
