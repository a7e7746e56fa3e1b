/**
 * The page's one AudioContext: made at the first wish to hear something, resumed when the browser allows it, told apart
 * from its failures in words. What is played is `player.js`'s.
 */

import { notice, PatchbayError } from "./notices.js";

const DUCK_GAIN = 0.18; // -15 dB
const DUCK_TIME_S = 0.03;
const GESTURES = ["pointerdown", "keydown", "touchend"];

/** Where the worklets are; a bundler that does not follow `import.meta.url` needs `worklets` in the client's options. */
export const WORKLETS = Object.freeze({
  playout: new URL("./worklet/playout.js", import.meta.url).href,
  capture: new URL("./worklet/capture.js", import.meta.url).href,
});

export class AudioOutput {
  #worklets;
  #notify;
  /** @type {AudioContext | null} */
  #context = null;
  /** @type {GainNode | null} */
  #master = null;
  /** @type {Map<string, Promise<void>>} */
  #loaded = new Map();
  /** @type {Set<(running: boolean) => void>} */
  #listeners = new Set();
  #ducks = 0;
  #sinkId = "";
  #wasRunning = false;
  #onGesture = () => void this.#resume();
  #onVisible = () => void (globalThis.document?.hidden || this.#resume());
  #onDevices = () => void this.#checkSink();

  /**
   * @param {Partial<typeof WORKLETS>} worklets
   * @param {(given: import("./notices.js").Notice) => void} notify
   */
  constructor(worklets, notify) {
    this.#worklets = { ...WORKLETS, ...worklets };
    this.#notify = notify;
  }

  /** Whether sound comes out now. */
  get running() {
    return this.#context?.state === "running";
  }

  /** Seconds from the worklet to the ear, as far as the browser knows. */
  get latency() {
    const context = this.#context;
    return context ? (context.baseLatency || 0) + (context.outputLatency || 0) : 0;
  }

  /** The context, made when it is not there. Throws a PatchbayError. */
  get context() {
    if (this.#context) return this.#context;
    if (globalThis.isSecureContext === false) throw new PatchbayError(notice("insecure"));
    if (typeof AudioContext === "undefined" || typeof AudioWorkletNode === "undefined") {
      throw new PatchbayError(notice("audio_unsupported"));
    }
    // The card's own rate: a wished one is ignored or misreported by some, and can't be mixed with a microphone's.
    const context = new AudioContext({ latencyHint: "interactive" });
    this.#context = context;
    this.#master = new GainNode(context);
    this.#master.connect(context.destination);
    context.addEventListener("statechange", () => this.#stateChanged());
    context.addEventListener("error", () => this.#notify(notice("audio_failed")));
    globalThis.document?.addEventListener("visibilitychange", this.#onVisible);
    globalThis.navigator?.mediaDevices?.addEventListener?.("devicechange", this.#onDevices);
    return context;
  }

  /** What everything audible is connected to. */
  get destination() {
    this.context;
    return /** @type {GainNode} */ (this.#master);
  }

  /**
   * Load a worklet, once. Rejects when its file can't be had.
   * @param {keyof typeof WORKLETS} name
   * @param {AudioContext} [context] another than the page's own
   */
  load(name, context = this.context) {
    if (context !== this.#context) return context.audioWorklet.addModule(this.#worklets[name]);
    let loading = this.#loaded.get(name);
    if (!loading) {
      loading = context.audioWorklet.addModule(this.#worklets[name]);
      loading.catch(() => this.#loaded.delete(name)); // the next wish tries again
      this.#loaded.set(name, loading);
    }
    return loading;
  }

  /** Load what plays. Rejects with a PatchbayError. */
  async prepare() {
    try {
      await this.load("playout");
    } catch (error) {
      throw error instanceof PatchbayError ? error : new PatchbayError(notice("audio_failed", { detail: String(error) }));
    }
  }

  /**
   * Have the browser play. To be called in the handler of a click where that can be; where the browser still refuses,
   * the next click or key anywhere on the page does it, and a notice says so.
   */
  async start() {
    this.context;
    await this.#resume();
    if (!this.running) this.#awaitGesture();
  }

  /** @param {(running: boolean) => void} listener @returns {() => void} to end it */
  onRunning(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Somebody talks: what is heard goes down, so that it is not heard back. Returns what ends that. */
  duck() {
    this.#ducks++;
    this.#setDuck();
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this.#ducks--;
      this.#setDuck();
    };
  }

  /**
   * Choose the speaker.
   * @param {string} deviceId "" for the default one
   */
  async setSink(deviceId) {
    const context = /** @type {any} */ (this.context);
    if (!context.setSinkId) throw new PatchbayError(notice("output_unsupported"));
    await context.setSinkId(deviceId);
    this.#sinkId = deviceId;
  }

  async close() {
    this.#forgetGesture();
    globalThis.document?.removeEventListener("visibilitychange", this.#onVisible);
    globalThis.navigator?.mediaDevices?.removeEventListener?.("devicechange", this.#onDevices);
    const context = this.#context;
    if (context && context.state !== "closed") await context.close();
  }

  async #resume() {
    const context = this.#context;
    if (!context || context.state === "running" || context.state === "closed") return;
    // Where a gesture is missing, the promise stays pending in some browsers: it must not be waited for.
    const resumed = context.resume().catch(() => {});
    await Promise.race([resumed, new Promise((resolve) => setTimeout(resolve, 300))]);
  }

  #stateChanged() {
    const { running } = this;
    if (running) {
      this.#forgetGesture();
    } else if (this.#context?.state !== "closed") {
      if (this.#wasRunning) this.#notify(notice("audio_interrupted"));
      this.#awaitGesture(this.#wasRunning);
    }
    this.#wasRunning = running;
    for (const listener of this.#listeners) listener(running);
  }

  /** @param {boolean} [quiet] it was said already what is the matter */
  #awaitGesture(quiet = false) {
    if (!quiet) this.#notify(notice("audio_blocked"));
    for (const kind of GESTURES) globalThis.document?.addEventListener(kind, this.#onGesture, { capture: true });
  }

  #forgetGesture() {
    for (const kind of GESTURES) globalThis.document?.removeEventListener(kind, this.#onGesture, { capture: true });
  }

  #setDuck() {
    if (!this.#context || !this.#master) return;
    this.#master.gain.setTargetAtTime(this.#ducks > 0 ? DUCK_GAIN : 1, this.#context.currentTime, DUCK_TIME_S);
  }

  /** The chosen speaker may have been unplugged: then the default one, and not silence. */
  async #checkSink() {
    if (!this.#sinkId) return;
    const devices = await navigator.mediaDevices.enumerateDevices();
    if (devices.some(({ kind, deviceId }) => kind === "audiooutput" && deviceId === this.#sinkId)) return;
    this.#notify(notice("output_gone"));
    await this.setSink("").catch(() => this.#notify(notice("audio_failed")));
  }
}
