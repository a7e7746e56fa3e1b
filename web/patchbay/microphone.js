/**
 * The microphone: opened when somebody wants to talk, kept for a while after, closed then, so that the browser's sign of a
 * live microphone goes out. Gives frames of G.711 while talking. Every failure is a PatchbayError or a notice in words.
 */

import { microphoneError, notice, PatchbayError } from "./notices.js";

const KEEP_OPEN_S = 30;
const FLUSH_TIMEOUT_S = 0.5;
/** @type {AudioWorkletNodeOptions} */
const SHAPE = { numberOfInputs: 1, numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" };

/**
 * @typedef {object} MicrophoneHandlers
 * @property {(given: import("./notices.js").Notice) => void} notify
 * @property {(peak: number) => void} level ten times a second while it is open, 0..1
 * @property {() => void} gone it can't be used any more; a talk has ended
 */

export class Microphone {
  #output;
  #handlers;
  /** @type {{stream: MediaStream, node: AudioWorkletNode, context: AudioContext, source: AudioNode} | null} */
  #open = null;
  /** @type {Promise<void> | null} */
  #opening = null;
  /** @type {((payload: Uint8Array) => void) | null} */
  #onFrame = null;
  /** @type {(() => void) | null} */
  #onStopped = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #deviceId = "";

  /**
   * @param {import("./audio-output.js").AudioOutput} output
   * @param {MicrophoneHandlers} handlers
   */
  constructor(output, handlers) {
    this.#output = output;
    this.#handlers = handlers;
  }

  /** Choose the microphone; "" for the default one. Counts from the next opening, which comes with the next talk. */
  set deviceId(/** @type {string} */ deviceId) {
    if (deviceId === this.#deviceId) return;
    this.#deviceId = deviceId;
    if (!this.#onFrame) this.close();
  }

  /** Open it; asks the user where the browser has not been told. Rejects with a PatchbayError. */
  open() {
    clearTimeout(this.#timer);
    if (this.#open) return Promise.resolve();
    this.#opening ??= this.#openNow().finally(() => (this.#opening = null));
    return this.#opening;
  }

  /**
   * Frames from now on. It must be open.
   * @param {"PCMU" | "PCMA"} codec
   * @param {(payload: Uint8Array) => void} onFrame
   */
  start(codec, onFrame) {
    if (!this.#open) throw new PatchbayError(notice("microphone_failed"));
    this.#onFrame = onFrame;
    this.#open.node.port.postMessage({ kind: "start", codec });
  }

  /** No more frames after the last one, which is waited for. It stays open for a while. */
  async stop() {
    const open = this.#open;
    if (open && this.#onFrame) {
      const stopped = new Promise((resolve) => (this.#onStopped = () => resolve(undefined)));
      open.node.port.postMessage({ kind: "stop" });
      await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, FLUSH_TIMEOUT_S * 1000))]);
    }
    this.#onFrame = null;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.close(), KEEP_OPEN_S * 1000);
  }

  close() {
    clearTimeout(this.#timer);
    const open = this.#open;
    this.#open = null;
    this.#onFrame = null;
    if (!open) return;
    open.node.port.postMessage({ kind: "end" });
    open.node.port.onmessage = null;
    open.source.disconnect();
    open.stream.getTracks().forEach((track) => track.stop());
    if (open.context !== this.#output.context) void open.context.close();
  }

  async #openNow() {
    const stream = await this.#getStream();
    try {
      const { context, source } = this.#source(stream);
      await this.#output.load("capture", context);
      const node = new AudioWorkletNode(context, "patchbay-capture", SHAPE);
      source.connect(node);
      node.port.onmessage = ({ data }) => this.#take(data);
      this.#watch(stream.getAudioTracks()[0]);
      this.#open = { stream, node, context, source };
    } catch (error) {
      stream.getTracks().forEach((track) => track.stop());
      throw error instanceof PatchbayError ? error : microphoneError(error);
    }
  }

  async #getStream() {
    const { mediaDevices } = navigator;
    if (!mediaDevices) throw new PatchbayError(notice("insecure"));
    const wished = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    const chosen = this.#deviceId ? { ...wished, deviceId: { exact: this.#deviceId } } : wished;
    try {
      return await mediaDevices.getUserMedia({ audio: chosen });
    } catch (error) {
      const gone = this.#deviceId && ["OverconstrainedError", "NotFoundError"].includes(/** @type {any} */ (error).name);
      if (!gone) throw microphoneError(error);
    }
    this.#deviceId = "";
    this.#handlers.notify(notice("microphone_gone"));
    return mediaDevices.getUserMedia({ audio: wished }).catch((error) => Promise.reject(microphoneError(error)));
  }

  /**
   * Firefox can't have a microphone in a context of another rate: then it gets one of its own.
   * @param {MediaStream} stream
   */
  #source(stream) {
    const { context } = this.#output;
    try {
      return { context, source: context.createMediaStreamSource(stream) };
    } catch {
      const own = new AudioContext({ sampleRate: stream.getAudioTracks()[0].getSettings().sampleRate });
      return { context: own, source: own.createMediaStreamSource(stream) };
    }
  }

  /** @param {MediaStreamTrack} track */
  #watch(track) {
    track.onended = () => {
      this.close();
      this.#handlers.notify(notice("microphone_unplugged"));
      this.#handlers.gone();
    };
    track.onmute = () => this.#onFrame && this.#handlers.notify(notice("microphone_muted"));
  }

  /** @param {any} message */
  #take(message) {
    if (message.kind === "frame") this.#onFrame?.(message.payload);
    else if (message.kind === "level") this.#handlers.level(message.peak);
    else if (message.kind === "stopped") this.#onStopped?.();
  }
}
