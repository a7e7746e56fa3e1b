/** One call that is listened to: what it looks and sounds like, who talks, what happens to it, how well it is heard. */

import { CallLog } from "./call-log.js";
import { icon, ICONS, make, mark, write } from "./dom.js";
import { figures } from "./figures.js";
import { duration, phone, shortId } from "./format.js";
import { hearers } from "./meter.js";
import { levelOf } from "./peaks.js";
import { Sides } from "./sides.js";
import { TalkButton } from "./talk-button.js";
import { Waveform } from "./waveform.js";

const STILL_LIVE_MS = 2000; // a gap that is shorter is no news
const OTHERS_MAX = 8; // who else listens, by name
const FIGURES = /** @type {const} */ (["ear", "delay", "buffer", "lost", "concealed"]);

/**
 * @typedef {object} Context
 * @property {import("../patchbay.js").Patchbay} patchbay
 * @property {import("./i18n.js").Language} language
 * @property {import("./store.js").Store} store
 * @property {import("./waveform.js").Waveforms} waveforms
 * @property {import("./waveform.js").Palette} palette
 * @property {(id: string) => import("./peaks.js").Peaks} peaksOf
 * @property {() => boolean} hasPeaks whether the server sends them
 * @property {(right: string) => boolean} may
 * @property {(options: {calls: string[], since?: number}) => import("../patchbay.js").CallEvents | null} follow
 */

export class Deck {
  #context;
  #title = make("h3", {});
  #state = make("span", { className: "state" });
  #time = make("span", { className: "time" });
  #id = make("small", {});
  #close = make("button", { type: "button", className: "icon close" }, icon(ICONS.close));
  #more = make("button", { type: "button", className: "icon more", attributes: { "aria-expanded": "true" } }, icon(ICONS.more));
  #floor = make("p", { className: "floor", attributes: { role: "status" } });
  #facts = make("dl", { className: "figures" });
  #others = make("p", { className: "others", hidden: true });
  #legend = make("p", { className: "legend" });
  #eventsTitle = make("h4", {});
  #waveform;
  #log;
  #undo;
  #playedAt = -Infinity;
  /** @type {Map<string, {name: HTMLElement, value: HTMLElement}>} */
  #figures = new Map();
  sides;
  talk;

  /**
   * @param {string} id
   * @param {Context} context
   * @param {import("./sides.js").Layout} layout
   * @param {{close: () => void, layout: (layout: import("./sides.js").Layout) => void, talk: () => import("../patchbay.js").Talk | null}} does
   */
  constructor(id, context, layout, does) {
    this.id = id;
    this.call = context.patchbay.call(id);
    this.#context = context;
    const { language } = context;
    this.sides = new Sides(this.call, language, layout, does.layout);
    this.talk = new TalkButton(does.talk, language, context.may("talk"));
    this.#log = new CallLog(id, context.follow, language);
    const canvas = make("canvas", { attributes: { role: "img" } });
    this.#waveform = new Waveform(canvas, context.peaksOf(id), context.palette);
    this.element = this.#assemble(canvas);
    this.#close.addEventListener("click", does.close);
    this.#more.addEventListener("click", () => this.unfold(!this.unfolded));
    context.waveforms.add(this.#waveform);
    this.#undo = [
      this.call.on("change", () => this.show(Date.now())),
      this.call.on("report", (report) => this.#reported(report)),
    ];
    this.relabel();
    this.show(Date.now());
  }

  /** It is not listened to any more. */
  end() {
    for (const undo of this.#undo) undo();
    this.talk.release();
    this.#log.close();
    this.#context.waveforms.remove(this.#waveform);
    this.element.remove();
  }

  /** Show how it stands. @param {number} now ms */
  show(now) {
    const { language, store } = this.#context;
    const info = store.calls.get(this.id);
    const state = this.#stateNow(info !== undefined);
    mark(this.element, "data-state", state);
    write(this.#state, language.t(state));
    write(this.#time, info ? duration(store.lasted(info, now)) : "");
    this.#showParties();
    this.#showFloor(info?.talker ?? null);
    this.#showHearers(hearers(info?.told));
    this.talk.show();
  }

  /** Whether all of it is shown, where there is not room for everything. */
  get unfolded() {
    return this.#more.getAttribute("aria-expanded") === "true";
  }

  /** @param {boolean} whole */
  unfold(whole) {
    mark(this.#more, "aria-expanded", String(whole));
    this.element.classList.toggle("folded", !whole);
  }

  /** The language has changed. */
  relabel() {
    const { language } = this.#context;
    this.#more.setAttribute("aria-label", language.t("more"));
    this.#more.title = language.t("more");
    this.sides.relabel();
    this.#log.relabel();
    write(this.#eventsTitle, language.t("events"));
    this.#close.setAttribute("aria-label", language.t("stop"));
    this.#close.title = language.t("stop");
    this.#waveform.canvas.setAttribute("aria-label", language.t("waveform-of"));
    const swatch = (/** @type {string} */ track) => make("span", { className: "swatch", data: { track } });
    const key = (/** @type {string} */ track) => make("span", {}, swatch(track), language.t(track));
    this.#legend.replaceChildren(key("inbound"), key("outbound"));
    for (const [figure, { name }] of this.#figures) {
      write(name, language.t(figure));
      name.title = language.t(`${figure}-hint`);
    }
    this.show(Date.now());
  }

  /** From and to, for people. */
  get parties() {
    const { language, store } = this.#context;
    const info = store.calls.get(this.id);
    const [from, to] = [info?.from || this.call.start?.from, info?.to || this.call.start?.to];
    return { from: phone(from) || language.t("unknown"), to: phone(to) || language.t("unknown") };
  }

  /** @param {HTMLCanvasElement} canvas */
  #assemble(canvas) {
    for (const figure of FIGURES) {
      const [name, value] = [make("dt", {}), make("dd", {}, "–")];
      this.#facts.append(make("div", { data: { figure } }, name, value));
      this.#figures.set(figure, { name, value });
    }
    this.#figure("ear", null);
    const about = make("p", { className: "about" }, this.#state, this.#time, this.#id);
    const head = make("header", {}, make("div", {}, this.#title, about), make("div", { className: "tools" }, this.#more, this.#close));
    const wave = make("div", { className: "big-wave" }, canvas, this.#legend);
    const log = make("div", { className: "log-box" }, this.#eventsTitle, this.#log.element);
    const properties = { className: "deck", tabIndex: -1, data: { key: this.id } };
    const talk = make("div", { className: "talk-box" }, this.talk.element, this.#floor);
    return make("section", properties, head, wave, this.sides.element, talk, this.#facts, this.#others, log);
  }

  /** @param {boolean} known whether the server lists it */
  #stateNow(known) {
    if (this.call.state === "ended" && !known) return "ended";
    if (performance.now() - this.#playedAt < STILL_LIVE_MS) return "live";
    return known || this.call.state === "live" ? "connecting" : this.call.state === "ended" ? "ended" : "waiting";
  }

  #showParties() {
    const { from, to } = this.parties;
    if (write(this.#title, `${from} → ${to}`) === undefined) write(this.#id, shortId(this.id));
    mark(this.element, "aria-label", this.#context.language.t("deck-label", { from, to }));
  }

  /** @param {string | null} talker as the server's list says */
  #showFloor(talker) {
    const { language } = this.#context;
    const { floor } = this.call;
    const mine = this.talk.talking || floor?.you;
    const sub = floor && !floor.you ? floor.sub : "";
    const key = mine ? "floor-you" : sub ? "floor-other" : floor || talker ? "floor-somebody" : "floor-free";
    write(this.#floor, language.t(key, { who: sub ?? "" }));
    mark(this.#floor, "data-floor", mine ? "you" : key === "floor-free" ? "free" : "other");
  }

  /** Who else hears it, and how late; how late it is here. @param {import("./meter.js").Hearer[]} all */
  #showHearers(all) {
    const { language } = this.#context;
    const mine = this.call.connectionName;
    const own = all.find(({ connection }) => mine && connection === mine);
    this.#figure("ear", own ? language.milliseconds(own.ear) : null);
    const others = all.filter((one) => one !== own).slice(0, OTHERS_MAX);
    const list = others.map(({ sub, ear }) => `${sub || language.t("somebody")} ${language.milliseconds(ear)}`).join(", ");
    write(this.#others, list && language.t("heard-by", { list }));
    this.#others.hidden = !list;
  }

  /** @param {import("../patchbay/player.js").TrackReport[]} report */
  #reported(report) {
    if (report.some((track) => track.playing)) {
      const isNew = this.#playedAt === -Infinity;
      this.#playedAt = performance.now();
      if (isNew) this.show(Date.now());
    }
    if (!this.#context.hasPeaks()) this.#heard(report);
    const { language, patchbay } = this.#context;
    const found = figures(report, patchbay.audioContext.outputLatency);
    this.#figure("delay", language.milliseconds(found?.delay));
    this.#figure("buffer", language.milliseconds(found?.buffer));
    this.#figure("lost", found ? language.number(found.lost) : "–");
    const seconds = found ? Math.round(found.concealed * 100) / 100 : 0;
    this.#figure("concealed", found ? language.t("seconds", { value: seconds }) : "–");
  }

  /** Without levels from the server, those that are heard. @param {import("../patchbay/player.js").TrackReport[]} report */
  #heard(report) {
    const [inbound, outbound] = report.map((track) => levelOf(track.peak));
    this.#context.peaksOf(this.id).push([inbound, inbound], [outbound ?? 0, outbound ?? 0]); // 250 ms: about two columns
  }

  /** @param {string} figure @param {string | null} value null hides it */
  #figure(figure, value) {
    const found = this.#figures.get(figure);
    if (!found) return;
    const box = /** @type {HTMLElement} */ (found.value.parentElement);
    if (box.hidden !== (value === null)) box.hidden = value === null;
    if (value !== null) write(found.value, value);
  }
}
