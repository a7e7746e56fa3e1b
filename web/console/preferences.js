/** What the page remembers of its user between visits; where the browser forbids that, for as long as it is open. */

const KEY = "patchbay.console";

/**
 * @typedef {object} Preferences
 * @property {string} language "" as the browser
 * @property {"auto" | "light" | "dark"} theme
 * @property {boolean} wall
 * @property {boolean} several
 * @property {"mixed" | "split"} layout
 * @property {boolean} keys whether single keys do something
 */

/** @type {Preferences} */
const DEFAULTS = Object.freeze({ language: "", theme: "auto", wall: false, several: false, layout: "mixed", keys: true });

/**
 * Those that are kept, with defaults for what is missing or of another kind.
 * @param {string | null} kept as JSON
 * @returns {Preferences}
 */
export function read(kept) {
  /** @type {any} */
  let found = {};
  try {
    found = JSON.parse(kept ?? "{}") ?? {};
  } catch {
    // somebody else's, or cut short: the defaults will do
  }
  const known = Object.entries(DEFAULTS).map(([name, value]) => {
    return [name, typeof found[name] === typeof value ? found[name] : value];
  });
  const made = Object.fromEntries(known);
  if (!["auto", "light", "dark"].includes(made.theme)) made.theme = DEFAULTS.theme;
  if (!["mixed", "split"].includes(made.layout)) made.layout = DEFAULTS.layout;
  return made;
}

/** @returns {Preferences} */
export function load() {
  try {
    return read(localStorage.getItem(KEY));
  } catch {
    return { ...DEFAULTS };
  }
}

/** @param {Preferences} preferences */
export function save(preferences) {
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch {
    // not allowed, or full: remembered while the page is open
  }
}
