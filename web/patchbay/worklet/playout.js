/**
 * The AudioWorklet that plays one call: an output for each track. It lives as long as the call is listened to, through
 * gaps, reconnects and new streams.
 *
 * Messages in: {kind: "audio", track, stream, sequence, codec, sampleRate, payload}, {kind: "flush"}, {kind: "reset"},
 * {kind: "end"}. Out, four times a second: {kind: "report", tracks: [statistics with `peak`, …]}. Times are the
 * worklet's own clock, so nothing depends on timers that a hidden tab slows down.
 */

import { Playout } from "../dsp/playout.js";

const REPORT_S = 0.25;
const TRACKS = 2;

class PlayoutProcessor extends AudioWorkletProcessor {
  #tracks = Array.from({ length: TRACKS }, () => new Playout(sampleRate));
  #peaks = new Float32Array(TRACKS);
  #reportAt = 0;
  #ended = false;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.#take(data);
  }

  /**
   * @param {Float32Array[][]} _inputs
   * @param {Float32Array[][]} outputs
   */
  process(_inputs, outputs) {
    for (let track = 0; track < TRACKS; track++) {
      const out = outputs[track][0];
      this.#tracks[track].render(out, currentTime);
      let peak = this.#peaks[track];
      for (let i = 0; i < out.length; i++) peak = Math.max(peak, out[i], -out[i]);
      this.#peaks[track] = peak;
    }
    if (currentTime >= this.#reportAt) this.#report();
    return !this.#ended;
  }

  #report() {
    this.#reportAt = currentTime + REPORT_S;
    const tracks = this.#tracks.map((track, index) => ({ ...track.statistics(), peak: this.#peaks[index] }));
    this.#peaks.fill(0);
    this.port.postMessage({ kind: "report", tracks });
  }

  /** @param {any} message */
  #take(message) {
    if (message.kind === "audio") this.#tracks[message.track]?.push(message, currentTime);
    else if (message.kind === "flush") this.#tracks.forEach((track) => track.flush());
    else if (message.kind === "reset") this.#tracks.forEach((track) => track.reset());
    else if (message.kind === "end") this.#ended = true;
  }
}

registerProcessor("patchbay-playout", PlayoutProcessor);
