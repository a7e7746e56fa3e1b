/** Talking while a button, or a key, is held: what it says while it is pressed, and how loud one is. */

import { icon, ICONS, make, mark, write } from "./dom.js";

/** @typedef {import("../patchbay.js").Talk} Talk */

export class TalkButton {
  #begin;
  #language;
  #allowed;
  #words = make("span", {});
  #hint = make("span", { className: "hint" });
  #meter = make("span", { className: "meter", attributes: { "aria-hidden": "true" } });
  /** @type {Talk | null} */
  #talk = null;
  #held = false;

  /**
   * @param {() => Talk | null} begin talk; null: it can't be, and that was said
   * @param {import("./i18n.js").Language} language
   * @param {boolean} allowed whether the token grants it
   */
  constructor(begin, language, allowed) {
    this.#begin = begin;
    this.#language = language;
    this.#allowed = allowed;
    this.element = make("button", { type: "button", className: "talk", disabled: !allowed });
    this.element.append(this.#meter, icon(ICONS.microphone), this.#words, this.#hint);
    this.#listen(this.element);
    this.show();
  }

  /** Whether somebody talks with it, or is about to. */
  get talking() {
    return this.#talk !== null;
  }

  press() {
    if (this.#held || !this.#allowed) return;
    this.#held = true;
    const talk = this.#begin();
    this.#talk = talk;
    void talk?.ended.then(() => {
      if (this.#talk === talk) this.#talk = null;
      this.show();
    });
    this.show();
  }

  release() {
    this.#held = false;
    void this.#talk?.stop();
  }

  /** The microphone's level, ten times a second. @param {number} level 0..1 */
  hear(level) {
    if (!this.#talk) return;
    this.#meter.style.transform = `scaleX(${Math.min(1, Math.sqrt(level) * 1.2).toFixed(2)})`;
    this.show();
  }

  show() {
    const t = this.#language.t.bind(this.#language);
    const state = !this.#talk ? "idle" : this.#talk.live ? "live" : "starting";
    const words = !this.#allowed ? t("forbidden", { right: "talk" }) : t(state === "idle" ? "talk" : `talk-${state}`);
    write(this.#words, words);
    write(this.#hint, state === "idle" && this.#allowed ? t("talk-key", { key: "T" }) : "");
    mark(this.element, "data-state", state);
    mark(this.element, "aria-pressed", String(state !== "idle"));
    if (state === "idle") this.#meter.style.transform = "scaleX(0)";
  }

  /** @param {HTMLButtonElement} button */
  #listen(button) {
    button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      this.press();
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) {
      button.addEventListener(name, () => this.release());
    }
    button.addEventListener("contextmenu", (event) => event.preventDefault()); // what a long touch means elsewhere
    button.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      if (!event.repeat) this.press();
    });
    button.addEventListener("keyup", (event) => {
      if (event.key === " " || event.key === "Enter") this.release();
    });
  }
}
