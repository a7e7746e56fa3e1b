/** The page's language: texts, numbers and times in it. Pure, but for `apply`, which writes into a page. */

import { TEXTS } from "./texts.js";

/** @typedef {keyof typeof TEXTS} LanguageCode */

/**
 * The first of our languages that a browser names.
 * @param {readonly string[]} wanted as navigator.languages
 * @returns {LanguageCode}
 */
export function preferred(wanted) {
  for (const tag of wanted) {
    const code = tag.split("-")[0].toLowerCase();
    if (code in TEXTS) return /** @type {LanguageCode} */ (code);
  }
  return "en";
}

export class Language {
  /** @type {LanguageCode} */
  code = "en";
  #texts = TEXTS.en;
  #numbers = new Intl.NumberFormat("en");
  #times = new Intl.DateTimeFormat("en");
  #plurals = new Intl.PluralRules("en");

  /** @param {LanguageCode} code */
  constructor(code) {
    this.use(code);
  }

  /** @param {LanguageCode} code */
  use(code) {
    this.code = code;
    this.#texts = TEXTS[code];
    this.#numbers = new Intl.NumberFormat(code);
    this.#times = new Intl.DateTimeFormat(code, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
    this.#plurals = new Intl.PluralRules(code);
  }

  /** Whether there is such a text. @param {string} key */
  has(key) {
    return key in this.#texts;
  }

  /**
   * A text, with values put in.
   * @param {string} key
   * @param {Record<string, string | number>} [values] numbers are written as the language does
   */
  t(key, values = {}) {
    const text = this.#texts[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (whole, name) => {
      const value = values[name];
      return typeof value === "number" ? this.number(value) : (value ?? whole);
    });
  }

  /** A text that depends on a count. @param {string} key @param {number} count */
  count(key, count) {
    const form = this.#plurals.select(count);
    return this.t(this.has(`${key}.${form}`) ? `${key}.${form}` : `${key}.other`, { count });
  }

  /** @param {unknown} value a dash for what is no number */
  number(value) {
    return typeof value === "number" && Number.isFinite(value) ? this.#numbers.format(value) : "–";
  }

  /** A length of time, in milliseconds or, where those are many, in seconds. @param {number | null | undefined} ms */
  milliseconds(ms) {
    if (ms === null || ms === undefined) return "–";
    if (ms < 1000) return this.t("ms", { value: Math.round(ms) });
    return this.t("seconds", { value: Math.round(ms / 100) / 10 });
  }

  /** A time of day. @param {number} ms since 1970 */
  time(ms) {
    return Number.isFinite(ms) ? this.#times.format(ms) : "";
  }

  /**
   * Words of the library's, in this language where it is known.
   * @param {{code: string, words: string}} notice
   */
  notice({ code, words }) {
    return this.has(`notice.${code}`) ? this.t(`notice.${code}`) : words;
  }

  /** Write all fixed texts of a page: `data-t` content, `data-label` accessible names, `data-placeholder`. @param {ParentNode} root */
  apply(root) {
    const each = (/** @type {string} */ name, /** @type {(element: HTMLElement, text: string) => void} */ put) => {
      for (const element of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(`[data-${name}]`))) {
        put(element, this.t(element.dataset[name] ?? ""));
      }
    };
    each("t", (element, text) => (element.textContent = text));
    each("label", (element, text) => {
      element.setAttribute("aria-label", text);
      element.title = text;
    });
    each("placeholder", (element, text) => element.setAttribute("placeholder", text));
  }
}
