/**
 * `<patchbay-call call="v3:…" token="…" url="https://calls.example">`: a call that a person can hear and talk into, in any
 * page. Importing this file defines it. Attributes: `call`, `token`, `url`, `layout` ("mixed" or "split"), `talk` ("off" hides
 * talking). Elements with the same url and token share a connection. Events: "notice", "change" (both bubble).
 */

import { Patchbay } from "./patchbay.js";

const STYLE = `
  :host { display: inline-grid; gap: .5rem; padding: .75rem; border: 1px solid #8886; border-radius: .5rem; font: inherit; }
  div { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
  button { font: inherit; padding: .4rem .8rem; border-radius: .4rem; border: 1px solid #8889; }
  button { cursor: pointer; touch-action: none; }
  button[aria-pressed="true"] { background: #0b7a5b; color: #fff; border-color: #0b7a5b; }
  button.talk[aria-pressed="true"] { background: #b3261e; border-color: #b3261e; }
  label { display: inline-flex; gap: .4rem; align-items: center; }
  input { inline-size: 7rem; }
  p { margin: 0; min-block-size: 1.3em; }
  [hidden] { display: none; }
`;
const SIDES = /** @type {const} */ ([["inbound", "Caller"], ["outbound", "Our side"]]);

/** @type {Map<string, {patchbay: Patchbay, users: number}>} */
const shared = new Map();

/** @param {string} url @param {string} token */
function acquire(url, token) {
  const key = `${url} ${token}`;
  const entry = shared.get(key) ?? { patchbay: new Patchbay({ ...(url && { url }), token }), users: 0 };
  entry.users++;
  shared.set(key, entry);
  const release = () => {
    if (--entry.users > 0) return;
    shared.delete(key);
    void entry.patchbay.close();
  };
  return { patchbay: entry.patchbay, release };
}

/** @param {string} tag @param {Record<string, any>} properties @param {(Node | string)[]} children */
function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export class PatchbayCallElement extends HTMLElement {
  static observedAttributes = ["call", "token", "url", "layout", "talk"];

  #listen = /** @type {HTMLButtonElement} */ (make("button", { type: "button" }, "Listen"));
  #talk = /** @type {HTMLButtonElement} */ (make("button", { type: "button", className: "talk" }, "Hold to talk"));
  #status = make("p", { role: "status" });
  #sides = SIDES.map(([track, name]) => {
    const range = { type: "range", min: "0", max: "2", step: "0.05", value: "1" };
    const input = /** @type {HTMLInputElement} */ (make("input", range));
    input.oninput = () => this.#call?.setVolume(track, Number(input.value));
    return make("label", {}, name, input);
  });
  /** @type {import("./patchbay.js").Call | null} */
  #call = null;
  /** @type {Patchbay | null} */
  #patchbay = null;
  /** @type {(() => void)[]} */
  #undo = [];
  /** @type {import("./patchbay.js").Talk | null} */
  #talking = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet(); // not a <style>: a page's content security policy may forbid those
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    root.append(make("div", {}, this.#listen, this.#talk), make("div", {}, ...this.#sides), this.#status);
    this.#listen.onclick = () => void this.#toggle();
    this.#talk.onpointerdown = (event) => {
      this.#talk.setPointerCapture(event.pointerId);
      this.#press();
    };
    this.#talk.onpointerup = this.#talk.onpointercancel = this.#talk.onblur = () => this.#release();
    this.#talk.onkeydown = (event) => {
      if (event.key === " " && !event.repeat) this.#press();
      if (event.key === " ") event.preventDefault();
    };
    this.#talk.onkeyup = (event) => event.key === " " && this.#release();
  }

  /** The library's call, for more than this element does; null while it is not in a page. */
  get patchbayCall() {
    return this.#call;
  }

  connectedCallback() {
    this.#begin();
  }

  disconnectedCallback() {
    this.#end();
  }

  /** @param {string} name @param {string | null} before @param {string | null} now */
  attributeChangedCallback(name, before, now) {
    if (!this.isConnected || before === now) return;
    if (name === "layout" || name === "talk") {
      this.#call?.setLayout(this.#layout);
      this.#show();
    } else {
      this.#end();
      this.#begin();
    }
  }

  get #layout() {
    return this.getAttribute("layout") === "split" ? "split" : "mixed";
  }

  #begin() {
    const id = this.getAttribute("call") ?? "";
    const { patchbay, release } = acquire(this.getAttribute("url") ?? "", this.getAttribute("token") ?? "");
    this.#patchbay = patchbay;
    this.#undo = [release, patchbay.on("notice", (given) => this.#notice(given))];
    if (id) {
      this.#call = patchbay.call(id);
      this.#undo.push(this.#call.on("change", () => this.#show()));
    }
    this.#show();
  }

  #end() {
    this.#release();
    this.#call?.stop();
    this.#call = null;
    for (const undo of this.#undo.splice(0).reverse()) undo();
    this.#patchbay = null;
  }

  async #toggle() {
    if (!this.#call) return;
    if (this.#call.listening) return this.#call.stop();
    this.#status.textContent = "";
    const failed = (/** @type {any} */ error) => this.#notice(error.notice ?? { code: "", words: String(error) });
    await this.#call.listen({ layout: this.#layout }).catch(failed);
  }

  #press() {
    if (this.#talking || !this.#call || !this.#patchbay) return;
    this.#status.textContent = "";
    const talk = this.#patchbay.pushToTalk(this.#call.id);
    this.#talking = talk;
    void talk.ended.then(() => {
      if (this.#talking === talk) this.#talking = null;
      this.#show();
    });
    this.#show();
  }

  #release() {
    void this.#talking?.stop();
  }

  /** @param {import("./patchbay.js").Notice} given */
  #notice(given) {
    if (given.call && given.call !== this.#call?.id) return;
    this.#status.textContent = given.words;
    this.dispatchEvent(new CustomEvent("notice", { detail: given, bubbles: true, composed: true }));
  }

  #show() {
    const listening = this.#call?.listening ?? false;
    this.#listen.disabled = this.#talk.disabled = !this.#call;
    this.#listen.setAttribute("aria-pressed", String(listening));
    this.#talk.setAttribute("aria-pressed", String(this.#talking !== null));
    this.#talk.hidden = this.getAttribute("talk") === "off";
    const waiting = listening && this.#call?.state !== "live";
    this.#listen.textContent = listening ? (waiting ? "Waiting for the call" : "Listening") : "Listen";
    this.dispatchEvent(new CustomEvent("change", { bubbles: true, composed: true }));
  }
}

if (!customElements.get("patchbay-call")) customElements.define("patchbay-call", PatchbayCallElement);
