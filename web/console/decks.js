/** The calls that are listened to: one at a time, or several. The one chosen last is talked into by key. */

import { byId } from "./dom.js";
import { Deck } from "./deck.js";

/**
 * @typedef {import("./deck.js").Context & {
 *   preferences: import("./preferences.js").Preferences,
 *   savePreferences: () => void,
 *   mayHear: () => Promise<boolean>,
 *   changed: () => void,
 *   stopped: (id: string) => void,
 *   failed: (error: unknown) => void,
 *   say: (words: string) => void,
 * }} Context
 */

const narrow = matchMedia("(max-width: 67.99rem)"); // as in deck.css: a deck is a sheet over the list
const roomy = matchMedia("(min-width: 86rem)"); // there, two are side by side

export class Decks {
  #context;
  #list = byId("deck-list");
  /** @type {Map<string, Deck>} */
  #decks = new Map();
  #active = "";
  #held = "";

  /** @param {Context} context */
  constructor(context) {
    this.#context = context;
    const several = /** @type {HTMLInputElement} */ (byId("several"));
    several.checked = context.preferences.several;
    several.addEventListener("change", () => {
      context.preferences.several = several.checked;
      context.savePreferences();
      if (!several.checked) this.#stopOthers(this.#active);
    });
    for (const name of ["pointerdown", "focusin"]) {
      this.#list.addEventListener(name, ({ target }) => this.#chosen(target));
    }
    context.patchbay.on("level", (level) => this.#decks.forEach((deck) => deck.talk.hear(level)));
  }

  /** Whether anything is listened to. */
  get any() {
    return this.#decks.size > 0;
  }

  /** @param {string} id */
  has(id) {
    return this.#decks.has(id);
  }

  /** Listen to a call, or stop. @param {string} id @param {boolean} add without stopping others */
  toggle(id, add) {
    if (this.#decks.has(id)) this.stop(id);
    else void this.#listen(id, add || this.#context.preferences.several);
  }

  /** @param {string} id */
  stop(id) {
    const deck = this.#decks.get(id);
    if (!deck) return;
    const hadFocus = deck.element.contains(document.activeElement);
    this.#end(deck);
    if (this.#active === id) this.#activate([...this.#decks.keys()].at(-1) ?? "");
    this.#changed();
    if (this.#decks.size === 0) this.#context.say(this.#context.language.t("no-longer-listening"));
    if (hadFocus) (this.#decks.get(this.#active)?.element ?? byId("search")).focus();
  }

  stopAll() {
    for (const id of [...this.#decks.keys()]) this.stop(id);
  }

  /** @param {number} now ms */
  tick(now) {
    for (const deck of this.#decks.values()) deck.show(now);
  }

  relabel() {
    for (const deck of this.#decks.values()) deck.relabel();
  }

  /** Begin to talk into the call chosen last, by key. */
  press() {
    this.#held = this.#active;
    const deck = this.#decks.get(this.#active);
    if (deck) deck.talk.press();
    else this.#context.failed({ notice: { code: "", words: this.#context.language.t("talk-which") } });
  }

  release() {
    this.#decks.get(this.#held)?.talk.release();
    this.#held = "";
  }

  /** Whatever is held, nobody holds it any more. */
  releaseAll() {
    for (const deck of this.#decks.values()) deck.talk.release();
  }

  /** @param {import("./sides.js").Track} track */
  toggleMute(track) {
    this.#decks.get(this.#active)?.sides.toggle(track);
  }

  /** @param {string} id @param {boolean} add */
  async #listen(id, add) {
    const { patchbay, preferences, language } = this.#context;
    void patchbay.start(); // in the click, before anything is waited for
    if (!(await this.#context.mayHear()) || this.#decks.has(id)) return;
    if (!add) this.#stopOthers(id);
    const deck = new Deck(id, this.#context, preferences.layout, {
      close: () => this.stop(id),
      layout: (layout) => this.#setLayout(id, layout),
      talk: () => this.#talk(id),
    });
    if (!roomy.matches) for (const other of this.#decks.values()) other.unfold(false);
    this.#decks.set(id, deck);
    deck.unfold(!narrow.matches);
    this.#list.prepend(deck.element);
    this.#activate(id);
    this.#changed();
    this.#context.say(language.t("now-listening", deck.parties));
    try {
      await patchbay.listen(id, { layout: preferences.layout });
    } catch (error) {
      this.#context.failed(error);
      this.stop(id);
    }
  }

  /** @param {string} id */
  #stopOthers(id) {
    for (const deck of [...this.#decks.values()]) if (deck.id !== id) this.#end(deck);
    this.#changed();
  }

  /** @param {Deck} deck */
  #end(deck) {
    deck.end();
    deck.call.stop();
    this.#decks.delete(deck.id);
    this.#context.stopped(deck.id);
  }

  /** @param {string} id */
  #talk(id) {
    const deck = this.#decks.get(id);
    for (const other of this.#decks.values()) if (other !== deck) other.talk.release();
    this.#activate(id);
    const talk = this.#context.patchbay.pushToTalk(id);
    queueMicrotask(() => deck?.show(Date.now()));
    void talk.ended.then(() => deck?.show(Date.now()));
    return talk;
  }

  /** @param {string} id @param {import("./sides.js").Layout} layout */
  #setLayout(id, layout) {
    this.#decks.get(id)?.call.setLayout(layout);
    this.#context.preferences.layout = layout;
    this.#context.savePreferences();
  }

  /** @param {EventTarget | null} target */
  #chosen(target) {
    const element = target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest(".deck")) : null;
    if (element?.dataset.key) this.#activate(element.dataset.key);
  }

  /** @param {string} id */
  #activate(id) {
    this.#active = id;
    for (const [other, deck] of this.#decks) deck.element.classList.toggle("active", other === id);
  }

  #changed() {
    byId("decks").hidden = this.#decks.size === 0;
    this.#list.classList.toggle("several", this.#decks.size > 1);
    document.body.classList.toggle("listening", this.#decks.size > 0);
    this.#context.changed();
  }
}
