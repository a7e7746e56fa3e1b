/**
 * The page's token. The server keeps it in a cookie that scripts can't read, which is enough to look; WebSockets take the
 * token itself, so this tab keeps it too, for as long as it is open.
 */

import { byId, write } from "./dom.js";
import { server } from "./server.js";

const KEY = "patchbay.token";

/** The token that this tab has seen; "" when none. */
export function token() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return unkept;
  }
}

let unkept = ""; // where the browser keeps nothing

/** @param {string} value "" forgets it */
export function keepToken(value) {
  unkept = value;
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // remembered while the page is open
  }
}

/** A token in the address has done its work: it is kept here, and must not be seen or passed on. */
export function takeTokenOfAddress() {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given === null) return;
  keepToken(given);
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}

/** @type {Promise<boolean> | null} */
let asking = null;

/**
 * Ask for a token until one is good; false when that is cancelled.
 * @param {import("./i18n.js").Language} language
 * @param {string} words why
 */
export function askForToken(language, words) {
  asking ??= ask(language, words).finally(() => (asking = null));
  return asking;
}

/** @param {import("./i18n.js").Language} language @param {string} words @returns {Promise<boolean>} */
function ask(language, words) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("token-dialog"));
  const field = /** @type {HTMLInputElement} */ (byId("token"));
  write(byId("token-words"), words);
  write(byId("token-error"), "");
  field.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const done = (/** @type {boolean} */ good) => {
      byId("token-form").removeEventListener("submit", submit);
      dialog.removeEventListener("cancel", cancel);
      byId("token-cancel").removeEventListener("click", cancel);
      dialog.close();
      resolve(good);
    };
    const cancel = () => done(false);
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      const given = field.value.trim();
      const { status, words: refusal } = await server.signIn(given);
      if (status === 200) {
        keepToken(given);
        done(true);
      } else write(byId("token-error"), language.t("token-refused", { words: refusal || language.t("lost-connection") }));
    };
    byId("token-form").addEventListener("submit", submit);
    dialog.addEventListener("cancel", cancel);
    byId("token-cancel").addEventListener("click", cancel);
  });
}
