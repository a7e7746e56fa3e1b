/**
 * One call as a page sees it: listen to it, talk into it, know how it stands. Got from `Patchbay.call(id)`; the same
 * object for the same id.
 *
 * Events (`call.on(name, detail => …)`): "change" (anything of state, stream, floor), "report" (four times a second while
 * listening), "peaks" (from the server), "notice" (something for the user, in words), "ended" (its stream has ended).
 */

import { notice, PatchbayError } from "./notices.js";
import { serverNotice } from "./connection.js";
import { Player } from "./player.js";
import { TRACKS } from "./protocol.js";
import { Emitter } from "./typed-events.js";

const REPORTS_PER_PLAYOUT = 4; // one report a second goes to the server

/** @typedef {import("./protocol.js").Track} Track */
/** @typedef {"unknown" | "waiting" | "live" | "ended"} CallState */

/**
 * @typedef {object} ListenOptions
 * @property {Track[]} [tracks] which sides; both by default
 * @property {import("./player.js").Layout} [layout] "mixed" (default), or "split": far party left, near party right
 */

/**
 * What a call needs of its client.
 * @typedef {object} CallContext
 * @property {import("./audio-output.js").AudioOutput} output
 * @property {() => import("./connection.js").Connection | import("./legacy.js").LegacyConnection} connection
 * @property {(callId: string) => Promise<import("./talk.js").Talk>} talk
 * @property {(given: import("./notices.js").Notice) => void} notify
 */

export class Call extends Emitter {
  #context;
  /** @type {Player | null} */
  #player = null;
  /** @type {Track[]} */
  #tracks = [];
  #peaks = false;
  #reports = 0;
  /** @type {((player: Player) => void)[]} */
  #settings = [];

  /** @type {CallState} */
  state = "unknown";
  /** The codec and rate of its stream, when there is one. @type {{codec: string, sampleRate: number} | null} */
  format = null;
  /** Telnyx's `start` object of the stream. @type {any} */
  start = null;
  /** Who may talk: null, or `{you, sub}`. @type {{you: boolean, sub?: string} | null} */
  floor = null;

  /** @param {CallContext} context @param {string} id call_control_id */
  constructor(context, id) {
    super();
    this.#context = context;
    this.id = id;
  }

  /** Whether it is listened to. */
  get listening() {
    return this.#player !== null;
  }

  /** How each track is played just now, by index in TRACKS. */
  get report() {
    return this.#player?.report ?? [];
  }

  /** What the server calls the connection that it is heard through, in lists of listeners; "" when that is not known. */
  get connectionName() {
    return this.listening ? this.#context.connection().name : "";
  }

  /** The worklet node, with an output for each track; null while it is not listened to. */
  get node() {
    return this.#player?.node ?? null;
  }

  /**
   * Hear it. Called in the handler of a click it is heard at once; else a notice may ask for one. A call that is not there
   * yet is waited for. Again with other options: changes them. Rejects with a PatchbayError.
   * @param {ListenOptions} [options]
   */
  async listen({ tracks = [...TRACKS], layout = "mixed" } = {}) {
    const { output } = this.#context;
    this.#tracks = tracks;
    const started = output.start(); // in the click, before anything is waited for
    this.#subscribe(); // audio that comes before the worklet is there is dropped; what comes first is on its way meanwhile
    if (!this.#player) {
      const player = await Player.create(output, (report) => this.#reported(report)).catch((error) => {
        throw new PatchbayError(notice("audio_failed", { detail: String(error), call: this.id }));
      });
      if (this.#player || this.#tracks !== tracks) player.close(); // another listen() or stop() came between
      else this.#adopt(player);
    }
    this.#player?.setLayout(layout);
    await started;
    this.emit("change");
  }

  /** Hear it no more. */
  stop() {
    if (this.#tracks.length === 0) return;
    this.#tracks = [];
    this.#player?.close();
    this.#player = null;
    this.#subscribe();
    this.emit("change");
  }

  /** For the client: nobody wants anything of it any more. */
  close() {
    this.stop();
    if (this.#peaks) this.watchPeaks(false);
  }

  /** Have the server send how loud it is ("peaks" events), which needs no audio. @param {boolean} wanted */
  watchPeaks(wanted) {
    this.#peaks = wanted;
    this.#subscribe();
  }

  /**
   * Talk into it, until `stop()` of the result. Rejects with a PatchbayError when that can't be.
   * @returns {Promise<import("./talk.js").Talk>}
   */
  talk() {
    return this.#context.talk(this.id);
  }

  /** @param {Track} track @param {number} volume 0..1, and up to 4 for quiet lines */
  setVolume(track, volume) {
    this.#set((player) => player.setVolume(TRACKS.indexOf(track), volume));
  }

  /** @param {Track} track @param {boolean} muted */
  setMuted(track, muted) {
    this.#set((player) => player.setMuted(TRACKS.indexOf(track), muted));
  }

  /** @param {import("./player.js").Layout} layout */
  setLayout(layout) {
    this.#player?.setLayout(layout);
  }

  /** For the client: a frame has come. @param {import("./connection.js").Frame} frame */
  takeAudio(frame) {
    this.#player?.push(frame);
  }

  /** For the client: there is another connection. */
  resubscribe() {
    if (this.#tracks.length || this.#peaks) this.#subscribe();
  }

  /** For the client: stream numbers begin anew. */
  renumber() {
    this.#player?.reset();
  }

  /** For the client: news of this call. @param {any} message */
  takeMessage(message) {
    if (message.type === "subscribed") this.#become(message.state === "live" ? "live" : "waiting");
    else if (message.type === "stream") this.#streamBegan(message);
    else if (message.type === "stream.ended") this.#streamEnded(message);
    else if (message.type === "floor") this.#change({ floor: message.holder ?? null });
    else if (message.type === "peaks") this.emit("peaks", message);
    else if (message.type === "error") this.tell(serverNotice(message));
  }

  /** For the client: something for the user. @param {import("./notices.js").Notice} given */
  tell(given) {
    this.emit("notice", given);
    this.#context.notify({ ...given, call: this.id });
  }

  #subscribe() {
    const connection = this.#context.connection();
    if (this.#tracks.length || this.#peaks) connection.subscribe(this.id, { tracks: this.#tracks, peaks: this.#peaks });
    else connection.unsubscribe(this.id);
  }

  /** @param {Player} player */
  #adopt(player) {
    this.#player = player;
    for (const apply of this.#settings) apply(player);
  }

  /** Volumes are kept for a player that is made later. @param {(player: Player) => void} apply */
  #set(apply) {
    this.#settings = [...this.#settings.slice(-15), apply];
    if (this.#player) apply(this.#player);
  }

  /** @param {any} message */
  #streamBegan({ format, start }) {
    this.format = format ? { codec: String(format.codec), sampleRate: Number(format.sample_rate) } : null;
    this.#change({ state: "live", start: start ?? null });
  }

  /** @param {any} message */
  #streamEnded(message) {
    if (message.reason === "superseded") return; // the next one begins at once
    this.#change({ state: "ended", floor: null });
    this.emit("ended", { reason: message.reason });
  }

  /** @param {CallState} state */
  #become(state) {
    if (this.state !== state) this.#change({ state });
  }

  /** @param {Partial<Pick<Call, "state" | "floor" | "start">>} what */
  #change(what) {
    Object.assign(this, what);
    this.emit("change");
  }

  /** @param {import("./player.js").TrackReport[]} report */
  #reported(report) {
    this.emit("report", report);
    if (++this.#reports % REPORTS_PER_PLAYOUT) return;
    this.#context.connection().report(this.id, playoutReport(report, this.#context.output.latency));
  }
}

/**
 * The `playout` message of docs/protocol-v1.md.
 * @param {import("./player.js").TrackReport[]} report
 * @param {number} latency seconds from worklet to ear
 */
function playoutReport(report, latency) {
  const ms = (/** @type {number} */ seconds) => Math.round(seconds * 1000);
  const tracks = report.flatMap((track, index) => {
    if (track.stream < 0) return [];
    const { stream, sequence, playing, underruns, lost, late, duplicates, skipped, jumps } = track;
    const times = { buffer_ms: ms(track.buffer), delay_ms: ms(track.delay), target_ms: ms(track.target) };
    const counts = { concealed_ms: ms(track.concealed), underruns, lost, late, duplicates, skipped, jumps };
    return [{ track: TRACKS[index], stream, sequence, playing, rate: track.rate, ...times, ...counts }];
  });
  return { output_ms: ms(latency), tracks };
}
