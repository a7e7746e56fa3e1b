/** A call over a bad network, in no time: frames with losses, jitter and stalls into a Playout, and what comes out. */

import { encodeSample } from "../../web/patchbay/codec/g711.js";
import { Playout } from "../../web/patchbay/dsp/playout.js";

const FRAME = 160;
const RATE = 8000;

/** 20 ms of µ-law of a signal given as a function of the sample's number. */
export function frame(signal, index) {
  return Uint8Array.from({ length: FRAME }, (_, i) => encodeSample("PCMU", signal(index * FRAME + i)));
}

/** A tone that fits in a whole number of frames, so that coding it once will do. */
export function tone(frequency, amplitude = 0.5) {
  const wave = (i) => amplitude * Math.sin((2 * Math.PI * frequency * i) / RATE);
  const frames = Array.from({ length: 50 }, (_, index) => frame(wave, index));
  return (index) => frames[index % 50];
}

/**
 * Run a call.
 *
 * @param options seconds; outRate; quantum; payload(index); drift: of the sender's clock, as a ratio; way(index, sentAt):
 *   seconds under way, or null: lost; keep: collect the output; watch(now, playout): called every 0.1 s;
 *   first: sequence number of the first frame; ordered: arrivals can't overtake each other (TCP)
 * @returns {{out: Float32Array, playout: Playout, statistics: object}}
 */
export function run({
  seconds, outRate = 48000, quantum = 128, payload = tone(400), drift = 0, way = () => 0.03, keep = true, watch = () => {},
  first = 1, ordered = false, playout = new Playout(outRate), stream = 1,
}) {
  const arrivals = schedule(seconds, drift, way, ordered);
  const out = new Float32Array(keep ? seconds * outRate : 0);
  const block = new Float32Array(quantum);
  let next = 0;
  let watchAt = 0;
  for (let at = 0; at + quantum <= seconds * outRate; at += quantum) {
    const now = at / outRate;
    for (; next < arrivals.length && arrivals[next].at <= now; next++) {
      const { index } = arrivals[next];
      const sequence = (first + index) >>> 0;
      playout.push({ stream, sequence, codec: "PCMU", sampleRate: RATE, payload: payload(index) }, now);
    }
    playout.render(block, now);
    if (keep) out.set(block, at);
    if (now >= watchAt) {
      watchAt += 0.1;
      watch(now, playout);
    }
  }
  return { out, playout, statistics: playout.statistics() };
}

function schedule(seconds, drift, way, ordered) {
  const arrivals = [];
  let latest = 0;
  for (let index = 0; ; index++) {
    const sentAt = index * 0.02 * (1 + drift);
    if (sentAt >= seconds) break;
    const under = way(index, sentAt);
    if (under === null) continue;
    latest = Math.max(latest, sentAt + under);
    arrivals.push({ index, at: ordered ? latest : sentAt + under });
  }
  return arrivals.sort((a, b) => a.at - b.at);
}
