/** The resampler: how clean, how flat, and that nothing depends on the size of the pieces. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Resampler } from "../../web/patchbay/dsp/resampler.js";
import { level, sine, snr } from "./signals.js";

/** Everything through, `piece` samples at a time. */
function resample(input, inRate, outRate, { piece = 160, ratio = 1, ...options } = {}) {
  const resampler = new Resampler(inRate, outRate, options);
  const out = [];
  const buffer = new Float32Array(Math.ceil((piece * outRate) / inRate) + 2);
  for (let at = 0; at < input.length; at += piece) {
    const part = input.subarray(at, at + piece);
    assert.ok(resampler.write(part, part.length));
    const made = resampler.read(buffer, 0, buffer.length, ratio);
    out.push(...buffer.subarray(0, made));
  }
  return Float32Array.from(out);
}

for (const [inRate, outRate, frequency, least] of [
  [8000, 48000, 1000, 75],
  [8000, 48000, 3000, 70],
  [8000, 44100, 1000, 75],
  [8000, 44100, 3000, 70],
  [16000, 48000, 6000, 70],
  [48000, 8000, 1000, 75],
  [44100, 8000, 3000, 70],
  [8000, 8000, 1000, 75],
]) {
  test(`${frequency} Hz from ${inRate} to ${outRate}: over ${least} dB of signal to noise`, () => {
    const out = resample(sine(frequency, inRate, inRate), inRate, outRate);
    const measured = snr(out.subarray(Math.floor(outRate / 10)), frequency, outRate);
    assert.ok(measured > least, `${measured.toFixed(1)} dB`);
  });
}

test("a microphone's 48 kHz to 8 kHz: flat in the telephone's band, nothing folds back into it", () => {
  const gain = (frequency) => {
    const out = resample(sine(frequency, 48000, 48000), 48000, 8000, { cutoff: 0.95 });
    return 20 * Math.log10(level(out.subarray(800)) / level(sine(frequency, 48000, 48000)));
  };
  for (const frequency of [300, 1000, 2000, 3000, 3300]) assert.ok(Math.abs(gain(frequency)) < 0.3, `${frequency} Hz`);
  for (const frequency of [4700, 5000, 6000, 7900, 12000, 20000]) {
    assert.ok(gain(frequency) < -60, `${frequency} Hz: ${gain(frequency).toFixed(1)} dB`);
  }
});

test("pieces of any size give the same samples", () => {
  const input = sine(700, 8000, 4000);
  const whole = resample(input, 8000, 44100, { piece: 4000 });
  const pieces = resample(input, 8000, 44100, { piece: 7 });
  assert.ok(whole.length - pieces.length < 2);
  for (let i = 0; i < pieces.length; i++) assert.ok(Math.abs(whole[i] - pieces[i]) < 1e-6);
});

test("a ratio plays faster, by exactly so much", () => {
  const made = resample(new Float32Array(80000), 8000, 48000, { ratio: 1.008 }).length;
  assert.ok(Math.abs(made - (80000 * 6) / 1.008) < 100);
});

test("what does not fit is refused, not overwritten", () => {
  const resampler = new Resampler(8000, 48000, { capacity: 320 });
  const samples = new Float32Array(160);
  assert.ok(resampler.write(samples, 160));
  assert.ok(resampler.write(samples, 160));
  assert.equal(resampler.write(samples, 160), false);
  assert.equal(resampler.read(new Float32Array(960), 0, 960), 960);
  assert.ok(resampler.write(samples, 160));
});
