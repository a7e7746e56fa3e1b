/** What people should know, in words that go away by themselves; and what screen readers are told without anything shown. */

import { byId, make, write } from "./dom.js";

const SHOWN_MS = 8000;
const SHOWN_MAX = 4;
const AGAIN_MS = 5000; // the same words within this time are one notice

/** @type {Map<string, number>} */
const lately = new Map();

/** @param {string} words @param {"good" | "bad" | "plain"} [kind] */
export function tell(words, kind = "plain") {
  const now = performance.now();
  if (!words || now - (lately.get(words) ?? -AGAIN_MS) < AGAIN_MS) return;
  lately.set(words, now);
  if (lately.size > 50) lately.delete(/** @type {string} */ (lately.keys().next().value));
  const toast = make("p", { className: "toast", data: { kind } }, words);
  const box = byId("toasts");
  box.append(toast);
  while (box.childElementCount > SHOWN_MAX) box.firstElementChild?.remove();
  setTimeout(() => toast.remove(), SHOWN_MS);
}

/** For screen readers alone. @param {string} words */
export function say(words) {
  write(byId("said"), words);
}

/** What stays as long as it lasts; "" ends it. @param {string} words */
export function trouble(words) {
  const box = byId("trouble");
  if (box.hidden === !words && box.textContent === words) return;
  write(box, words);
  box.hidden = !words;
}
