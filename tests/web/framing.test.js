/** The microphone's way: exact frames, the right level, nothing folded back, clean ends. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { alawToLinear, ulawToLinear } from "../../web/patchbay/codec/g711.js";
import { Framer } from "../../web/patchbay/dsp/framing.js";
import { level, sine, snr } from "./signals.js";

function frames(rate, samples, codec = "PCMU", block = 128) {
  const made = [];
  const framer = new Framer(rate, (frame) => made.push(frame));
  framer.codec = codec;
  for (let at = 0; at < samples.length; at += block) framer.push(samples.subarray(at, at + block));
  return { made, framer };
}

const decoded = (made, toLinear) => Float32Array.from(made.flatMap((frame) => [...frame]), (code) => toLinear(code) / 32768);

for (const rate of [48000, 44100, 16000, 8000, 96000]) {
  test(`${rate} Hz: 50 frames of 160 bytes a second, and the tone as it was`, () => {
    const { made } = frames(rate, sine(1013, rate, rate * 2));
    assert.ok(Math.abs(made.length - 100) <= 1, `${made.length} frames`);
    assert.ok(made.every((frame) => frame.length === 160));
    const heard = decoded(made.slice(5), ulawToLinear);
    assert.ok(Math.abs(20 * Math.log10(level(heard) / level(sine(1013, 8000, 8000)))) < 0.1);
    assert.ok(snr(heard, 1013, 8000) > 35, "µ-law's own noise");
  });
}

test("A-law is A-law", () => {
  const { made } = frames(48000, sine(1013, 48000, 96000), "PCMA");
  assert.ok(snr(decoded(made.slice(5), alawToLinear), 1013, 8000) > 35);
});

test("what a telephone can't carry does not come back as something else", () => {
  const { made } = frames(48000, sine(5000, 48000, 96000));
  assert.ok(level(decoded(made.slice(5), ulawToLinear)) < 0.001);
});

test("the end: the last frame is filled up with silence, and the next talk begins clean", () => {
  for (const [codec, silence] of [["PCMU", 0xff], ["PCMA", 0xd5]]) {
    const { made, framer } = frames(48000, sine(1000, 48000, 48000 + 500), codec);
    const before = made.length;
    framer.flush();
    assert.equal(made.length, before + 1);
    assert.equal(made.at(-1)[159], silence);
    framer.flush();
    assert.equal(made.length, before + 1, "nothing was left");
    framer.push(new Float32Array(4800));
    assert.ok(made.slice(before + 1).every((frame) => frame.every((code) => (code & 0x7f) >= 0x7e || code === silence)));
  }
});

test("frames are the receiver's own: a later one does not change an earlier one", () => {
  const { made } = frames(8000, sine(437, 8000, 1600));
  assert.notDeepEqual(made[2], made[3]);
  assert.notEqual(made[2].buffer, made[3].buffer);
});
