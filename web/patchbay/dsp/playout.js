/**
 * One track of one call, from coded frames to samples at the sound card's rate: jitter buffer, decoder, concealment, drift
 * correction, resampling. Pure; the time is the listener's own clock in seconds, given with every call.
 *
 * The delay that is controlled is that of a frame which came the fastest way, from its arrival to its being played: it is
 * free of the arrivals' jitter, so it can be steered closely. Small errors are corrected by playing up to 0.8 % faster or
 * slower, surplus in a pause by leaving out a frame, and a heap that comes after a start by going to its end at once.
 */

import { createDecoder } from "../codec/decoder.js";
import { Arrivals } from "./arrivals.js";
import { Concealer } from "./conceal.js";
import { Packets } from "./packets.js";
import { Resampler } from "./resampler.js";

const RATE_GAIN_PER_S = 0.15; // of the delay's error, a second: corrects with a time constant of 7 s
const RATE_SLACK_S = 0.01; // an error below this is the arrivals' grain, and is left alone: the sound stays as it is
const RATE_LIMIT = 0.008; // inaudible in speech
const RATE_SMOOTHING = 0.02; // of a new value, each frame: 1 s
const SURPLUS_IN_PAUSE_S = 0.06;
const PAUSE_RMS = 0.004; // -48 dB
const SURPLUS_AT_START_S = 0.04;
const DELAY_MAX_S = 0.8; // above it, straight to the target
const CONCEAL_MAX_S = 0.06; // then silence, and waiting for the buffer to fill
const SLICE_S = 0.005; // of silence or concealment while nothing comes
const FRAME_MAX_S = 0.1; // a longer payload is refused
const UNDERRUN_APART_S = 1; // underruns closer together raise the target once
const RATE_HZ_MAX = 48000;

/** @typedef {ReturnType<Playout["statistics"]>} PlayoutStatistics */

export class Playout {
  #outRate;
  #packets = new Packets();
  #arrivals = new Arrivals();
  #pcm = new Float32Array(Math.ceil(FRAME_MAX_S * RATE_HZ_MAX));
  #format = "";
  /** @type {import("../codec/decoder.js").Decoder | null} */
  #decoder = null;
  #concealer = new Concealer(8000);
  #resampler;
  #stream = -1;
  #frameS = 0.02;
  #lastS = 0.02;
  #base = 0; // the sequence number from which media time counts
  #playing = false;
  #settled = false; // whether a frame has come since we wait
  #waitingSince = 0;
  #cut = true; // what comes next does not follow on what was heard last
  #ratio = 1;
  #delayS = 0;
  #raisedAt = -Infinity;

  #counts = {
    played: 0,
    concealed: 0,
    lost: 0,
    late: 0,
    duplicates: 0,
    underruns: 0,
    skipped: 0,
    jumps: 0,
    malformed: 0,
    restarts: 0,
  };

  /** @param {number} outRate Hz */
  constructor(outRate) {
    this.#outRate = outRate;
    this.#resampler = new Resampler(8000, outRate);
  }

  /**
   * A frame has come.
   * @param {object} frame
   * @param {number} frame.stream a newer stream of the call has a higher number; an older one's frames are refused
   * @param {number} frame.sequence counts this track's frames without a gap, 32 bits
   * @param {string} frame.codec
   * @param {number} frame.sampleRate
   * @param {Uint8Array} frame.payload kept, not copied
   * @param {number} now
   */
  push({ stream, sequence, codec, sampleRate, payload }, now) {
    const newer = this.#stream < 0 ? 1 : (stream - this.#stream) | 0; // 32 bits, and they may wrap round
    if (newer < 0) this.#counts.late++;
    if (newer < 0) return;
    const format = `${codec} ${sampleRate}`;
    if (newer || format !== this.#format) this.#begin(stream, format, codec, sampleRate, sequence);
    if (!this.#accepts(payload)) {
      this.#counts.malformed++;
      return;
    }
    this.#hold(sequence, payload, now);
  }

  /** Nothing was played for a while, or what is held has lost its worth: forget it, begin anew with what comes. */
  flush() {
    this.#packets.clear();
    this.#wait();
  }

  /** Forget the streams too: their numbers begin anew. */
  reset() {
    this.#stream = -1;
    this.flush();
  }

  /**
   * Make samples: always as many as asked for.
   * @param {Float32Array} out
   * @param {number} now
   */
  render(out, now) {
    let made = 0;
    for (;;) {
      made += this.#resampler.read(out, made, out.length - made, this.#playing ? this.#ratio : 1);
      if (made >= out.length) return;
      const count = this.#next(now);
      this.#resampler.write(this.#pcm, count);
    }
  }

  /** What happened so far, and how it stands. Times are seconds. */
  statistics() {
    return {
      ...this.#counts,
      dropped: this.#packets.overflowed,
      playing: this.#playing,
      stream: this.#stream,
      sequence: this.#packets.head - 1,
      buffer: this.#packets.span * this.#frameS,
      delay: this.#delayS,
      target: this.#arrivals.target,
      rate: this.#ratio,
    };
  }

  /**
   * @param {number} stream @param {string} format @param {string} codec @param {number} sampleRate
   * @param {number} sequence
   */
  #begin(stream, format, codec, sampleRate, sequence) {
    const decoder = createDecoder(codec, sampleRate);
    const rate = decoder && decoder.rate > 0 && decoder.rate <= RATE_HZ_MAX ? decoder.rate : 0;
    if (rate && rate !== this.#concealer.rate) {
      this.#concealer = new Concealer(rate);
      this.#resampler = new Resampler(rate, this.#outRate);
    }
    this.#decoder = rate ? decoder : null;
    this.#stream = stream;
    this.#format = format;
    this.#base = sequence;
    this.#packets.clear();
    this.#wait();
  }

  /** Whether it is audio of a bearable length; learns the length of frames. @param {Uint8Array} payload */
  #accepts(payload) {
    if (!this.#decoder) return false;
    const seconds = this.#decoder.samples(payload) / this.#decoder.rate;
    if (!(seconds > 0 && seconds <= FRAME_MAX_S)) return false;
    if (seconds === this.#lastS && seconds !== this.#frameS) {
      this.#frameS = seconds; // two alike in a row: it is no short last frame
      this.#base = this.#packets.head;
      this.#settled = false;
    }
    this.#lastS = seconds;
    return true;
  }

  /** @param {number} sequence @param {Uint8Array} payload @param {number} now */
  #hold(sequence, payload, now) {
    const counts = this.#counts;
    const verdict = this.#packets.put(sequence, payload);
    if (verdict === "late") counts.late++;
    if (verdict === "duplicate") counts.duplicates++;
    if (verdict === "restart") {
      counts.restarts++;
      this.#base = sequence;
      this.#wait();
    }
    if (!this.#settled) {
      this.#settled = true;
      this.#waitingSince = now;
      this.#arrivals.settle(now);
    }
    if (verdict !== "duplicate") this.#arrivals.add(now, this.#mediaTime(sequence));
  }

  /** @param {number} sequence */
  #mediaTime(sequence) {
    return ((sequence - this.#base) | 0) * this.#frameS;
  }

  /** @param {number} now */
  #delay(now) {
    return now - this.#mediaTime(this.#packets.head) - this.#arrivals.fastest;
  }

  #wait() {
    this.#playing = false;
    this.#settled = false;
  }

  /** The next samples, at the codec's rate, into `#pcm`: how many. @param {number} now */
  #next(now) {
    this.#arrivals.wear(now);
    if (!this.#playing && !this.#start(now)) return this.#conceal(SLICE_S);
    this.#trim(now);
    if (this.#packets.span === 0) return this.#underrun(now);
    return this.#frame(this.#packets.take(), this.#steer(now));
  }

  /** Whether there is enough to begin. A frame that has waited as long as that is let go in any case. @param {number} now */
  #start(now) {
    if (this.#packets.count === 0) return false;
    const enough = this.#arrivals.target;
    if (this.#packets.span * this.#frameS < enough && now - this.#waitingSince < enough) return false;
    this.#playing = true;
    this.#ratio = 1;
    this.#cut = true;
    return true;
  }

  /** What is too much, at once where it can't be heard or is too much by far. @param {number} now */
  #trim(now) {
    const surplus = this.#delay(now) - this.#arrivals.target;
    const start = this.#arrivals.settling(now) && surplus > SURPLUS_AT_START_S;
    const jump = surplus + this.#arrivals.target > DELAY_MAX_S;
    if (!start && !jump) return;
    if (jump && !start) this.#counts.jumps++;
    for (let left = Math.floor(surplus / this.#frameS); left > 0 && this.#packets.span > 1; left--) this.#skip();
  }

  #skip() {
    if (this.#packets.take()) this.#counts.skipped++;
    this.#cut = true;
  }

  /** Choose the rate; returns by how much (s) the delay is too long. @param {number} now */
  #steer(now) {
    this.#delayS = this.#delay(now); // now that a frame's turn has come: between two it goes up and down by a frame
    const error = this.#delayS - this.#arrivals.target;
    const excess = error - Math.max(-RATE_SLACK_S, Math.min(RATE_SLACK_S, error));
    const wanted = 1 + Math.max(-RATE_LIMIT, Math.min(RATE_LIMIT, excess * RATE_GAIN_PER_S));
    this.#ratio += (wanted - this.#ratio) * RATE_SMOOTHING;
    return error;
  }

  /**
   * @param {Uint8Array | null} payload the frame whose turn it is; null: it is lost
   * @param {number} surplus by how much the delay is too long
   * @returns {number} samples in `#pcm`
   */
  #frame(payload, surplus) {
    if (!payload) {
      this.#counts.lost++;
      return this.#conceal(this.#frameS);
    }
    const count = this.#decoder ? this.#decoder.decode(payload, this.#pcm) : 0;
    if (surplus > SURPLUS_IN_PAUSE_S && this.#packets.peek() && this.#isPause(count)) {
      this.#counts.skipped++;
      this.#cut = true;
      return this.#frame(this.#packets.take(), 0);
    }
    this.#concealer.hear(this.#pcm, count, this.#cut);
    this.#cut = false;
    this.#counts.played++;
    return count;
  }

  /** Whether nothing is said in what was decoded. @param {number} count */
  #isPause(count) {
    let energy = 0;
    for (let i = 0; i < count; i++) energy += this.#pcm[i] ** 2;
    return energy < count * PAUSE_RMS ** 2;
  }

  /** Nothing is there. @param {number} now */
  #underrun(now) {
    if (!this.#concealer.running) {
      this.#counts.underruns++;
      if (now - this.#raisedAt > UNDERRUN_APART_S) {
        this.#raisedAt = now;
        this.#arrivals.underrun(now);
      }
    }
    if (this.#concealer.concealed >= CONCEAL_MAX_S) this.#wait();
    return this.#conceal(SLICE_S);
  }

  /** What goes on from what was heard, and fades to silence. @param {number} seconds */
  #conceal(seconds) {
    const count = Math.round(seconds * this.#concealer.rate);
    if (this.#concealer.audible) this.#counts.concealed += seconds;
    this.#concealer.conceal(this.#pcm, count);
    return count;
  }
}
