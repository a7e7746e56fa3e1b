/** Whose page this is: what the token allows, and what is to be done when there is none. */

import { byId, write } from "./dom.js";
import { server } from "./server.js";
import { askForToken, keepToken, token } from "./token.js";

/** @typedef {{authentication: boolean, sub: string | null, can: string[], expires_at: number | null,
 *   anonymous_networks?: string[]}} SessionInfo */

export class Session {
  #language;
  /** @type {SessionInfo | null} */
  #info = null;

  /** @param {import("./i18n.js").Language} language */
  constructor(language) {
    this.#language = language;
  }

  get known() {
    return this.#info !== null;
  }

  /** Whether this tab has what a WebSocket needs. */
  get audible() {
    return this.#info !== null && (!this.#info.authentication || token() !== "");
  }

  /** Whether the token grants it; while nothing is known, the server will say. @param {string} right */
  may(right) {
    return this.#info ? this.#info.can.includes(right) : right !== "admin";
  }

  /** Ask the server. */
  async open() {
    const { status, value } = await server.session();
    if (status === 200 && Array.isArray(value?.can)) this.#info = value;
    this.show();
  }

  /** Whether calls can be heard; asks for the token where this tab has not seen it. */
  async mayHear() {
    if (!this.known) await this.open();
    return !this.known || this.audible || (await this.ask("token-for-audio"));
  }

  /** Ask for a token. @param {string} why a text's key */
  async ask(why) {
    const good = await askForToken(this.#language, this.#language.t(why));
    if (good) location.reload(); // everything that was opened without it, or with another one, begins anew
    return false;
  }

  /** Forget the token, here and on the server. */
  async end() {
    await server.signOut();
    keepToken("");
    location.reload();
  }

  show() {
    const info = this.#info;
    byId("sign-out").hidden = !info?.authentication;
    if (!info) return;
    const until = this.#language.time((info.expires_at ?? NaN) * 1000);
    const of = () => this.#language.t("session-of", { sub: info.sub ?? "", until });
    const networks = info.anonymous_networks?.join(", ") ?? "";
    byId("anonymous").hidden = !networks;
    write(byId("anonymous"), networks && this.#language.t("anonymous", { networks }));
    write(byId("session"), info.authentication ? of() : this.#language.t("session-open"));
  }
}
