/** The actors: how they are, and, for administrators, buttons that restart and roll them. */

import { byId, make, mark, write } from "./dom.js";
import { duration, mebibytes, text } from "./format.js";
import { server } from "./server.js";

const FACTS = /** @type {const} */ (["up", "memory", "restarts", "pid"]);
const ACTIONS = /** @type {const} */ (["roll", "restart"]);

/** @typedef {{name: string, index: number, pid: number | null, state: string, generation: number, restarts: number, uptime_s: number | null, memory_bytes: number | null, last_exit: string | null}} ActorInfo */

/**
 * @typedef {object} Card
 * @property {HTMLElement} element
 * @property {HTMLElement} name
 * @property {HTMLElement} state
 * @property {HTMLElement} exit
 * @property {Record<typeof FACTS[number], {name: HTMLElement, value: HTMLElement}>} facts
 * @property {HTMLButtonElement[]} buttons
 */

/** @param {ActorInfo} actor "fanout.0" */
const instance = (actor) => `${text(actor.name)}.${actor.index ?? 0}`;

export class ActorsView {
  #language;
  #may;
  #tell;
  /** @type {Map<string, Card>} */
  #cards = new Map();
  /** @type {ActorInfo[]} */
  #actors = [];
  /** @type {Set<string>} */
  #busy = new Set();
  #answered = true;

  /**
   * @param {import("./i18n.js").Language} language
   * @param {(right: string) => boolean} may
   * @param {(words: string, kind: "good" | "bad") => void} tell
   */
  constructor(language, may, tell) {
    this.#language = language;
    this.#may = may;
    this.#tell = tell;
  }

  /** @param {import("./server.js").Answer} answer */
  take(answer) {
    this.#answered = answer.status === 200;
    this.#actors = this.#answered && Array.isArray(answer.value?.actors) ? answer.value.actors : [];
    this.show();
  }

  show() {
    byId("actors-none").hidden = this.#actors.length > 0;
    this.#showHealth();
    const keys = this.#actors.map((actor) => `${instance(actor)}/${actor.generation}`);
    for (const [key, card] of this.#cards) {
      if (keys.includes(key)) continue;
      card.element.remove();
      this.#cards.delete(key);
    }
    this.#actors.forEach((actor, index) => this.#place(keys[index], actor, index));
  }

  /** Texts that depend on the language only. */
  relabel() {
    for (const card of this.#cards.values()) card.element.remove();
    this.#cards.clear();
    this.show();
  }

  #showHealth() {
    const dot = byId("health");
    const ready = new Map();
    for (const actor of this.#actors) {
      ready.set(instance(actor), ready.get(instance(actor)) || actor.state === "READY");
    }
    const missing = [...ready].filter(([, is]) => !is).map(([name]) => name);
    const state = ready.size === 0 ? "away" : missing.length ? "not-ready" : "ready";
    const t = this.#language.t.bind(this.#language);
    const words =
      state === "away" ? t("no-supervisor") : missing.length ? t("not-ready", { names: missing.join(", ") }) : t("all-ready");
    mark(dot, "data-state", state);
    mark(dot, "title", words);
    mark(dot, "role", "img");
    mark(dot, "aria-label", words);
  }

  /** @param {string} key @param {ActorInfo} actor @param {number} index */
  #place(key, actor, index) {
    let card = this.#cards.get(key);
    if (!card) {
      card = this.#make(instance(actor));
      this.#cards.set(key, card);
    }
    this.#fill(card, actor);
    const list = byId("actors");
    if (list.children[index] !== card.element) list.insertBefore(card.element, list.children[index] ?? null);
  }

  /** @param {string} name @returns {Card} */
  #make(name) {
    const fact = (/** @type {string} */ key) => {
      const title = key === "memory" ? this.#language.t("memory-hint") : "";
      return { name: make("dt", { title }, this.#language.t(key)), value: make("dd", {}) };
    };
    const facts = { up: fact("up"), memory: fact("memory"), restarts: fact("restarts"), pid: fact("pid") };
    const list = make("dl", {}, ...FACTS.map((key) => make("div", {}, facts[key].name, facts[key].value)));
    const [title, state, exit] = [make("h3", {}), make("span", { className: "state" }), make("p", { className: "exit" })];
    const buttons = ACTIONS.map((action) => {
      const label = this.#language.t(`${action}-label`, { name });
      const button = make("button", { type: "button", attributes: { "aria-label": label } }, this.#language.t(action));
      button.addEventListener("click", () => void this.#act(name, action));
      return button;
    });
    const head = make("div", { className: "actor-head" }, title, state);
    const element = make("li", { className: "actor" }, head, list, exit, make("div", { className: "buttons" }, ...buttons));
    return { element, name: title, state, exit, facts, buttons };
  }

  /** @param {Card} card @param {ActorInfo} actor */
  #fill(card, actor) {
    const language = this.#language;
    const state = text(actor.state);
    mark(card.element, "data-state", state);
    write(card.name, actor.index ? instance(actor) : text(actor.name));
    write(card.state, language.has(`state.${state}`) ? language.t(`state.${state}`) : state);
    const memory = mebibytes(actor.memory_bytes);
    write(card.facts.up.value, actor.uptime_s === null ? "–" : duration(actor.uptime_s));
    write(card.facts.memory.value, memory === null ? "–" : language.t("mib", { value: memory }));
    write(card.facts.restarts.value, language.number(actor.restarts));
    write(card.facts.pid.value, actor.pid === null ? "–" : String(actor.pid));
    const ended = state !== "READY" && actor.last_exit ? text(actor.last_exit) : "";
    write(card.exit, ended);
    card.exit.hidden = !ended;
    for (const button of card.buttons) {
      button.hidden = !this.#may("admin");
      button.disabled = this.#busy.has(instance(actor));
    }
  }

  /** @param {string} name @param {"restart" | "roll"} action */
  async #act(name, action) {
    if (!(await this.#confirmed(name, action))) return;
    this.#busy.add(name);
    this.show();
    const { status, words } = await server.act(name, action);
    this.#busy.delete(name);
    const t = this.#language.t.bind(this.#language);
    if (status === 200) this.#tell(t(`${action}-done`, { name }), "good");
    else if (status === 202 || status === 0) this.#tell(t("action-begun", { name }), "good"); // the console itself
    else this.#tell(t("action-failed", { name, words: words.slice(0, 300) }), "bad");
    this.show();
  }

  /** @param {string} name @param {"restart" | "roll"} action @returns {Promise<boolean>} */
  #confirmed(name, action) {
    const t = this.#language.t.bind(this.#language);
    const dialog = /** @type {HTMLDialogElement} */ (byId("confirm-dialog"));
    const key = action === "roll" ? "roll-words" : `restart-words.${name.split(".")[0]}`;
    write(byId("confirm-title"), t(`${action}-title`, { name }));
    write(byId("confirm-words"), t(key));
    write(byId("confirm-yes"), t(action));
    dialog.returnValue = "no";
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    });
  }
}
