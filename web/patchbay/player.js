/**
 * What one call sounds like: its worklet, and for each side a volume and a place between left and right. Made once for a
 * call and kept through gaps, reconnects and new streams.
 */

import { TRACKS } from "./protocol.js";

const RAMP_S = 0.02; // of a volume: no click

/** @typedef {import("./dsp/playout.js").PlayoutStatistics & {peak: number}} TrackReport */
/** @typedef {"mixed" | "split"} Layout */

export class Player {
  #output;
  #node;
  #sides;
  #whole;
  #stopWatching;
  /** @type {[number, number]} */
  #volumes = [1, 1];
  #muted = [false, false];
  /** @type {TrackReport[]} */
  #report = [];
  #wanted;

  /** Frames that came while the browser played nothing. */
  unheard = 0;

  /**
   * @param {import("./audio-output.js").AudioOutput} output
   * @param {(report: TrackReport[]) => void} onReport
   */
  static async create(output, onReport) {
    await output.load("playout");
    return new Player(output, onReport);
  }

  /**
   * @param {import("./audio-output.js").AudioOutput} output its worklet is loaded
   * @param {(report: TrackReport[]) => void} onReport
   */
  constructor(output, onReport) {
    const { context } = output;
    this.#output = output;
    this.#wanted = true;
    const outputChannelCount = TRACKS.map(() => 1);
    const shape = { numberOfInputs: 0, numberOfOutputs: TRACKS.length, outputChannelCount };
    this.#node = new AudioWorkletNode(context, "patchbay-playout", shape);
    this.#whole = new GainNode(context);
    this.#sides = TRACKS.map((_, index) => {
      const gain = new GainNode(context);
      const place = new StereoPannerNode(context);
      this.#node.connect(gain, index).connect(place).connect(this.#whole);
      return { gain, place };
    });
    this.#whole.connect(output.destination);
    this.#node.port.onmessage = ({ data }) => {
      this.#report = data.tracks;
      onReport(data.tracks);
    };
    // What was played before a suspension has lost its worth: begin anew with what comes.
    this.#stopWatching = output.onRunning((running) => running && this.#post({ kind: "flush" }));
  }

  /** The node whose outputs are the tracks, for meters and the like. */
  get node() {
    return this.#node;
  }

  /** How it stood at the last report. */
  get report() {
    return this.#report;
  }

  /**
   * A frame to be played. While the browser plays nothing it is dropped: nothing piles up.
   * @param {import("./connection.js").Frame} frame its payload's buffer is given away
   */
  push({ track, stream, sequence, codec, sampleRate, payload }) {
    if (!this.#output.running) {
      this.unheard++;
      return;
    }
    this.#post({ kind: "audio", track, stream, sequence, codec, sampleRate, payload }, [payload.buffer]);
  }

  /** Stream numbers begin anew. */
  reset() {
    this.#post({ kind: "reset" });
  }

  /**
   * @param {number} track index in TRACKS
   * @param {number} volume 0..1 and up to 4
   */
  setVolume(track, volume) {
    this.#volumes[track] = Math.max(0, Math.min(4, volume));
    this.#apply(track);
  }

  /** @param {number} track @param {boolean} muted */
  setMuted(track, muted) {
    this.#muted[track] = muted;
    this.#apply(track);
  }

  /** Both sides in the middle, or the first on the left and the second on the right. @param {Layout} layout */
  setLayout(layout) {
    const { currentTime } = this.#output.context;
    this.#sides.forEach(({ place }, index) => {
      const where = layout === "split" ? (index === 0 ? -1 : 1) : 0;
      place.pan.setTargetAtTime(where, currentTime, RAMP_S);
    });
  }

  close() {
    if (!this.#wanted) return;
    this.#wanted = false;
    this.#stopWatching();
    this.#post({ kind: "end" });
    this.#node.port.onmessage = null;
    this.#node.disconnect();
    this.#whole.disconnect();
  }

  /** @param {number} track */
  #apply(track) {
    const wanted = this.#muted[track] ? 0 : this.#volumes[track];
    this.#sides[track].gain.gain.setTargetAtTime(wanted, this.#output.context.currentTime, RAMP_S);
  }

  /** @param {object} message @param {Transferable[]} [given] */
  #post(message, given = []) {
    this.#node.port.postMessage(message, given);
  }
}
