/** The keyboard: which keys do what, wherever on the page one is, and the list of them. */

import { byId, make } from "./dom.js";

/** Keys as people read them, and the text that says what they do. */
export const SHORTCUTS = Object.freeze(
  /** @type {const} */ ([
    ["key.next", ["↓", "↑", "J", "K"]],
    ["key.listen", ["Enter"]],
    ["key.add", ["Shift+Enter"]],
    ["key.talk", ["T"]],
    ["key.mute", ["M", "N"]],
    ["key.search", ["/"]],
    ["key.stop-all", ["Esc"]],
    ["key.views", ["1", "2"]],
    ["key.wall", ["W"]],
    ["key.help", ["?"]],
  ]),
);

/**
 * @typedef {object} Does
 * @property {() => boolean} wanted whether single keys are; who dictates, or presses keys by mistake, wants none
 * @property {(step: number) => void} move
 * @property {() => void} add listen to the call that the keyboard is at, too
 * @property {() => void} press
 * @property {() => void} release
 * @property {(track: "inbound" | "outbound") => void} mute
 * @property {() => void} search
 * @property {() => void} escape
 * @property {(view: "calls" | "system") => void} view
 * @property {() => void} wall
 * @property {() => void} help
 */

/** @param {EventTarget | null} target whether somebody is writing there */
function isField(target) {
  return target instanceof HTMLElement && target.matches("input:not([type=radio], [type=checkbox], [type=range]), textarea");
}

/** @param {Does} does */
export function listenToKeys(does) {
  /** @type {Record<string, () => void>} */
  const presses = {
    j: () => does.move(1),
    k: () => does.move(-1),
    m: () => does.mute("inbound"),
    n: () => does.mute("outbound"),
    "/": does.search,
    1: () => does.view("calls"),
    2: () => does.view("system"),
    w: does.wall,
    "?": does.help,
  };
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    if (key === "Escape") does.escape();
    else if (key === "Enter" && event.shiftKey && target instanceof Element && target.closest(".row")) {
      event.preventDefault();
      does.add();
    } else if (isField(target) || !does.wanted()) return;
    else if (key.toLowerCase() === "t") {
      if (!event.repeat) does.press();
    } else if (presses[key.toLowerCase()]) {
      event.preventDefault(); // a slash would open the browser's own search
      presses[key.toLowerCase()]();
    }
  });
  document.addEventListener("keyup", ({ key }) => key.toLowerCase() === "t" && does.release());
}

/** Show what there is. @param {import("./i18n.js").Language} language */
export function showShortcuts(language) {
  const items = SHORTCUTS.map(([text, keys]) => {
    const named = (/** @type {string} */ key) => (language.has(`keyname.${key}`) ? language.t(`keyname.${key}`) : key);
    const shown = keys.map((key) => make("kbd", {}, named(key)));
    return make("div", {}, make("dt", {}, ...shown), make("dd", {}, language.t(text)));
  });
  byId("help-list").replaceChildren(...items);
  /** @type {HTMLDialogElement} */ (byId("help-dialog")).showModal();
}
