/** The playout of a track over good and bad networks. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Playout } from "../../web/patchbay/dsp/playout.js";
import { run, tone } from "./network.js";
import { chance, level, roughness, snr } from "./signals.js";

const near = (value, wanted, by, what) =>
  assert.ok(Math.abs(value - wanted) <= by, `${what}: ${value} is not within ${by} of ${wanted}`);
const clean = roughness(run({ seconds: 5 }).out.subarray(48000));

test("even arrival: no underrun, nothing concealed, the tone as it was, delay at its target", () => {
  const { out, statistics } = run({ seconds: 20 });
  assert.equal(statistics.underruns, 0);
  assert.equal(statistics.lost, 0);
  assert.equal(statistics.skipped, 0);
  near(statistics.target, 0.04, 0.001, "target");
  near(statistics.delay, statistics.target, 0.012, "delay");
  const late = out.subarray(15 * 48000, 15 * 48000 + 4800);
  assert.ok(snr(late, 400, 48000) > 30, "µ-law's own noise is all there is"); // 38 dB; the pitch is changed by 0.1 %
});

test("sound within 100 ms of the first frame, at full level within 10 ms more", () => {
  const { out } = run({ seconds: 1, way: () => 0 });
  const start = out.findIndex((sample) => Math.abs(sample) > 0.01) / 48000;
  assert.ok(start < 0.1, `${start} s`);
  near(level(out.subarray((start + 0.01) * 48000, (start + 0.02) * 48000)), 0.5 / Math.SQRT2, 0.03, "level");
});

for (const drift of [200e-6, -200e-6]) {
  test(`an hour with a clock off by ${drift * 1e6} ppm: the delay stays, nothing runs empty`, () => {
    const delays = [];
    const { statistics } = run({
      seconds: 3600, outRate: 8000, quantum: 40, drift, keep: false,
      watch: (now, playout) => now > 60 && delays.push(playout.statistics().delay),
    });
    assert.equal(statistics.underruns, 0);
    assert.equal(statistics.skipped + statistics.jumps + statistics.dropped, 0);
    assert.ok(Math.max(...delays) < 0.075, `longest delay ${Math.max(...delays)}`);
    assert.ok(Math.min(...delays) > 0.02, `shortest delay ${Math.min(...delays)}`);
    near(statistics.played, 180_000 / (1 + drift), 10, "frames played");
  });
}

test("jitter of ±60 ms, 2 % lost, 2 % reordered: no click, few frames missing, a bounded delay", () => {
  const random = chance(7);
  const way = () => (random() < 0.02 ? null : 0.02 + random() * 0.12 + (random() < 0.02 ? 0.03 : 0));
  const { out, statistics } = run({ seconds: 60, way });
  const rough = roughness(out);
  assert.ok(rough.step < 1.5 * clean.step, `largest step ${rough.step}, clean ${clean.step}`);
  assert.ok(rough.bend < 2 * clean.bend, `largest bend ${rough.bend}, clean ${clean.bend}`);
  assert.ok(statistics.lost + statistics.late < 0.05 * 3000, JSON.stringify(statistics));
  assert.ok(statistics.target <= 0.25, `target ${statistics.target}`);
  assert.ok(statistics.underruns <= 5, `${statistics.underruns} underruns`);
});

test("the same over TCP, where a late frame holds up the others", () => {
  const random = chance(8);
  const way = () => (random() < 0.02 ? null : 0.02 + random() * 0.12);
  const { out, statistics } = run({ seconds: 60, way, ordered: true });
  const rough = roughness(out);
  assert.ok(rough.step < 1.5 * clean.step && rough.bend < 2 * clean.bend, JSON.stringify(rough));
  assert.ok(statistics.underruns <= 5, `${statistics.underruns} underruns`);
});

test("a stall of 1 s: one underrun, no click, the delay back at its target within 10 s", () => {
  const way = (index, sentAt) => (sentAt >= 10 && sentAt < 11 ? 11 - sentAt + 0.03 : 0.03);
  const delays = [];
  const { out, statistics } = run({
    seconds: 25, way, ordered: true,
    watch: (now, playout) => delays.push([now, playout.statistics()]),
  });
  assert.equal(statistics.underruns, 1);
  const rough = roughness(out);
  assert.ok(rough.step < 1.5 * clean.step && rough.bend < 2 * clean.bend, JSON.stringify(rough));
  for (const [now, { delay, target }] of delays) {
    if (now > 11.5) near(delay, target, 0.045, `delay at ${now}`);
    if (now > 21) near(delay, target, 0.015, `delay at ${now}`);
  }
  assert.ok(level(out.subarray(10.3 * 48000, 10.9 * 48000)) < 1e-4, "silent while nothing comes");
});

test("the moments before a listener joined come at once: heard from the end of them, at once, and no longer delay", () => {
  const way = (index, sentAt) => Math.max(0, 0.3 - sentAt); // 15 frames at 0.3 s
  const { out, statistics } = run({ seconds: 5, way, ordered: true });
  assert.ok(out.findIndex((sample) => Math.abs(sample) > 0.01) / 48000 < 0.34);
  near(statistics.delay, statistics.target, 0.02, "delay");
  assert.ok(statistics.skipped >= 10 && statistics.underruns === 0, JSON.stringify(statistics));
});

test("nothing is heard twice: frames sent again after a reconnect are refused", () => {
  const playout = new Playout(8000);
  const payload = tone(400);
  const block = new Float32Array(160);
  const push = (sequence, now) =>
    playout.push({ stream: 1, sequence, codec: "PCMU", sampleRate: 8000, payload: payload(sequence) }, now);
  for (let sequence = 0; sequence < 100; sequence++) {
    push(sequence, sequence * 0.02);
    playout.render(block, sequence * 0.02);
  }
  for (let sequence = 85; sequence < 100; sequence++) push(sequence, 2);
  const { duplicates, late, played } = playout.statistics();
  assert.equal(duplicates + late, 15);
  assert.ok(played <= 100);
});

test("sequence numbers wrap round, and begin anew", () => {
  const wrapped = run({ seconds: 4, first: 0xffffffff - 100 });
  assert.equal(wrapped.statistics.lost + wrapped.statistics.restarts + wrapped.statistics.underruns, 0);
  const anew = run({ seconds: 4, first: 5, playout: run({ seconds: 2, first: 70000, outRate: 48000 }).playout });
  assert.equal(anew.statistics.restarts, 1);
  assert.ok(anew.statistics.played > 280);
});

test("a newer stream takes over without a click; the older one's stragglers are refused", () => {
  const first = run({ seconds: 2, payload: tone(400) });
  const second = run({ seconds: 2, payload: tone(450), playout: first.playout, stream: 2 });
  assert.ok(roughness(second.out).bend < 2.5 * clean.bend);
  second.playout.push({ stream: 1, sequence: 500, codec: "PCMU", sampleRate: 8000, payload: tone(400)(0) }, 2);
  assert.equal(second.playout.statistics().late, 1);
});

test("stream numbers wrap round", () => {
  const first = run({ seconds: 1, payload: tone(400), stream: 0xfffffff0 });
  const { played } = first.playout.statistics();
  const second = run({ seconds: 1, payload: tone(400), playout: first.playout, stream: 5 });
  assert.ok(second.playout.statistics().played > played + 30);
  assert.equal(second.playout.statistics().late, 0);
});

test("a pause of the sender, its numbering unbroken, is waited out", () => {
  const way = (index, sentAt) => (sentAt > 5 ? 3.03 : 0.03);
  const { statistics } = run({ seconds: 20, way });
  assert.equal(statistics.underruns, 1);
  near(statistics.delay, statistics.target, 0.03, "delay");
  assert.ok(statistics.target < 0.1, `target ${statistics.target}`);
});

test("a surplus goes in pauses of speech", () => {
  const speech = tone(400);
  const pause = new Uint8Array(160).fill(0xff);
  const payload = (index) => (index % 100 < 60 ? speech(index) : pause);
  // A line that was uneven for 10 s has made the target long; then it is even again.
  const random = chance(3);
  const way = (index, sentAt) => (sentAt < 10 ? 0.02 + random() * 0.3 : 0.02);
  const { out, statistics } = run({ seconds: 30, way, payload, ordered: true });
  assert.ok(statistics.skipped >= 2, JSON.stringify(statistics));
  assert.ok(statistics.delay < 0.3, `delay ${statistics.delay}`);
  assert.ok(roughness(out).bend < 1.5 * roughness(run({ seconds: 5, payload }).out).bend);
});

test("hours late at once (a laptop slept): straight to the present, in bounds", () => {
  const { playout } = run({ seconds: 5, quantum: 960 });
  const payload = tone(400);
  for (let i = 0; i < 500; i++) {
    playout.push({ stream: 1, sequence: 251 + i, codec: "PCMU", sampleRate: 8000, payload: payload(i) }, 5);
  }
  const after = playout.statistics();
  assert.ok(after.buffer <= 1.3, `buffer ${after.buffer}`);
  const block = new Float32Array(960);
  for (let i = 0; i < 10; i++) playout.render(block, 5 + i * 0.02);
  assert.ok(playout.statistics().buffer < 0.3, JSON.stringify(playout.statistics()));
});

test("other frame lengths, and rubbish", () => {
  const long = (index) => new Uint8Array([...tone(400)(2 * index), ...tone(400)(2 * index + 1)]);
  const playout = new Playout(8000);
  const block = new Float32Array(320);
  for (let i = 0; i < 200; i++) {
    playout.push({ stream: 1, sequence: i, codec: "PCMU", sampleRate: 8000, payload: long(i) }, i * 0.04);
    playout.render(block, i * 0.04);
  }
  const { underruns, played, delay } = playout.statistics();
  assert.ok(underruns <= 1 && played > 190 && delay < 0.15, JSON.stringify(playout.statistics()));
  playout.push({ stream: 1, sequence: 200, codec: "PCMU", sampleRate: 8000, payload: new Uint8Array(0) }, 8);
  playout.push({ stream: 1, sequence: 200, codec: "PCMU", sampleRate: 8000, payload: new Uint8Array(9000) }, 8);
  playout.push({ stream: 1, sequence: 200, codec: "OPUS", sampleRate: 48000, payload: new Uint8Array(50) }, 8);
  assert.equal(playout.statistics().malformed, 3);
});
