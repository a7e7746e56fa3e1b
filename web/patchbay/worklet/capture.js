/**
 * The AudioWorklet behind a microphone: frames of G.711 while somebody talks, and how loud it is at any time.
 *
 * Messages in: {kind: "start", codec}, {kind: "stop"}, {kind: "end"}. Out: {kind: "frame", payload} (160 bytes, 20 ms),
 * {kind: "stopped"} after the last frame of a talk, and ten times a second {kind: "level", peak}.
 */

import { Framer } from "../dsp/framing.js";

const LEVEL_S = 0.1;

class CaptureProcessor extends AudioWorkletProcessor {
  #framer = new Framer(sampleRate, (frame) => {
    this.port.postMessage({ kind: "frame", payload: frame }, [frame.buffer]);
  });
  #talking = false;
  #ended = false;
  #peak = 0;
  #levelAt = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.#take(data);
  }

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    const samples = inputs[0]?.[0]; // absent while the microphone gives nothing
    if (samples) {
      for (let i = 0; i < samples.length; i++) this.#peak = Math.max(this.#peak, samples[i], -samples[i]);
      if (this.#talking) this.#framer.push(samples);
    }
    if (currentTime >= this.#levelAt) {
      this.#levelAt = currentTime + LEVEL_S;
      this.port.postMessage({ kind: "level", peak: this.#peak });
      this.#peak = 0;
    }
    return !this.#ended;
  }

  /** @param {any} message */
  #take(message) {
    if (message.kind === "start") {
      this.#framer.codec = message.codec;
      this.#talking = true;
    } else if (message.kind === "stop") {
      this.#talking = false;
      this.#framer.flush();
      this.port.postMessage({ kind: "stopped" });
    } else if (message.kind === "end") {
      this.#ended = true;
    }
  }
}

registerProcessor("patchbay-capture", CaptureProcessor);
