/** Light or dark: as the system has it, or as chosen. */

import { byId } from "./dom.js";

const NEXT = /** @type {const} */ ({ auto: "dark", dark: "light", light: "auto" });

/** @typedef {keyof typeof NEXT} Theme */

/** @param {Theme} theme */
export const nextTheme = (theme) => NEXT[theme];

/** @param {Theme} theme @param {import("./i18n.js").Language} language */
export function applyTheme(theme, language) {
  document.documentElement.dataset.theme = theme;
  const words = language.t("theme", { theme: language.t(`theme.${theme}`) });
  byId("theme").setAttribute("aria-label", words);
  byId("theme").title = words;
}

/** Be told when the system changes its mind. @param {() => void} changed */
export function onSystemTheme(changed) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
