/** Volume and mute of both sides of a call, and where they are heard: in the middle, or left and right. */

import { icon, ICONS, make, mark, write } from "./dom.js";

/** @typedef {"inbound" | "outbound"} Track */
/** @typedef {"mixed" | "split"} Layout */

const TRACKS = /** @type {const} */ (["inbound", "outbound"]);
const LAYOUTS = /** @type {const} */ (["mixed", "split"]);
const VOLUME_MAX = 2; // for quiet lines
let groups = 0;

export class Sides {
  #call;
  #language;
  #sides;
  #layouts;
  #legend = make("legend", { className: "hidden" });

  /**
   * @param {import("../patchbay.js").Call} call
   * @param {import("./i18n.js").Language} language
   * @param {Layout} layout
   * @param {(layout: Layout) => void} onLayout
   */
  constructor(call, language, layout, onLayout) {
    this.#call = call;
    this.#language = language;
    this.#sides = TRACKS.map((track) => this.#side(track));
    const name = `placement-${++groups}`;
    this.#layouts = LAYOUTS.map((value) => {
      const input = make("input", { type: "radio", name, value, checked: value === layout });
      input.addEventListener("change", () => onLayout(value));
      const words = make("span", {});
      return { value, words, element: make("label", {}, input, words) };
    });
    const placement = make("fieldset", { className: "segments" }, this.#legend);
    placement.append(...this.#layouts.map(({ element }) => element));
    this.element = make("div", { className: "sides" }, ...this.#sides.map(({ element }) => element), placement);
    this.relabel();
  }

  /** Mute a side, or not. @param {Track} track */
  toggle(track) {
    this.#sides[TRACKS.indexOf(track)].mute.click();
  }

  /** The language has changed. */
  relabel() {
    const t = this.#language.t.bind(this.#language);
    for (const { track, name, range, mute } of this.#sides) {
      const side = t(track);
      write(name, side);
      range.setAttribute("aria-label", t("volume", { side }));
      mute.setAttribute("aria-label", t("mute", { side }));
      mute.title = t("mute", { side });
    }
    write(this.#legend, t("placement"));
    for (const { value, words, element } of this.#layouts) {
      write(words, t(value));
      if (value === "split") element.title = t("split-hint");
    }
  }

  /** @param {Track} track */
  #side(track) {
    const name = make("span", { className: "name" });
    const range = make("input", { type: "range", min: "0", max: String(VOLUME_MAX), step: "0.05", value: "1" });
    const mute = make("button", { type: "button", className: "icon mute", attributes: { "aria-pressed": "false" } });
    mute.append(icon(ICONS.speaker, "on"), icon(ICONS.muted, "off"));
    const element = make("div", { className: "side", data: { track } }, name, mute, range);
    range.addEventListener("input", () => this.#call.setVolume(track, Number(range.value)));
    mute.addEventListener("click", () => {
      const muted = mute.getAttribute("aria-pressed") !== "true";
      mark(mute, "aria-pressed", String(muted));
      element.classList.toggle("muted", muted);
      this.#call.setMuted(track, muted);
    });
    return { track, name, range, mute, element };
  }
}
