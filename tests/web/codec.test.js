/** Decoders and encoders against tables and streams that other implementations made (see make_vectors.py). */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { createDecoder } from "../../web/patchbay/codec/decoder.js";
import {
  alawToLinear, encodeSample, linearToAlaw, linearToUlaw, SILENCE, ulawToLinear,
} from "../../web/patchbay/codec/g711.js";

const directory = new URL("vectors/", import.meta.url);
const vectors = JSON.parse(readFileSync(new URL("codecs.json", directory), "utf8"));
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const LAWS = { PCMU: [ulawToLinear, linearToUlaw], PCMA: [alawToLinear, linearToAlaw] };

for (const [name, [toLinear, fromLinear]] of Object.entries(LAWS)) {
  test(`${name}: all 256 codes decode as the reference does`, () => {
    assert.deepEqual(Array.from({ length: 256 }, (_, code) => toLinear(code)), vectors.g711[name].decoded);
  });

  test(`${name}: all 65,536 values encode as the reference does`, () => {
    const encoded = Uint8Array.from({ length: 65536 }, (_, i) => fromLinear(i - 32768));
    assert.equal(sha256(encoded), vectors.g711[name].encoded_sha256);
  });

  test(`${name}: floats are clipped, nonsense is silence`, () => {
    assert.equal(encodeSample(name, 7), fromLinear(32767));
    assert.equal(encodeSample(name, -7), fromLinear(-32768));
    assert.equal(encodeSample(name, NaN), fromLinear(0));
    assert.equal(encodeSample(name, 0), SILENCE[name]);
    assert.equal(encodeSample(name, 0.25), fromLinear(8192));
  });

  test(`${name}: the stream decoder gives the table's values as floats`, () => {
    const out = new Float32Array(256);
    const decoder = createDecoder(name, 8000);
    assert.equal(decoder.decode(Uint8Array.from({ length: 256 }, (_, code) => code), out), 256);
    assert.deepEqual([...out].map((value) => value * 32768), vectors.g711[name].decoded);
  });
}

test("G722: bit-exact with the reference, whatever pieces it comes in", () => {
  const payload = new Uint8Array(readFileSync(new URL("speech.g722", directory)));
  const decoder = createDecoder("G722", 8000);
  const pcm = new Int16Array(payload.length * 2);
  const out = new Float32Array(4096);
  for (let at = 0, size = 1; at < payload.length; at += size, size = (size * 7) % 311) {
    const piece = payload.subarray(at, at + size);
    const count = decoder.decode(piece, out);
    assert.equal(count, decoder.samples(piece));
    for (let i = 0; i < count; i++) pcm[2 * at + i] = out[i] * 32768;
  }
  assert.equal(pcm.length, vectors.g722.samples);
  assert.equal(sha256(new Uint8Array(pcm.buffer)), vectors.g722.decoded_sha256);
});

test("L16: little endian, also from an odd address", () => {
  const bytes = new Uint8Array([99, 0x00, 0x80, 0xff, 0x7f, 0xff, 0xff, 0x01]).subarray(1);
  const out = new Float32Array(4);
  const decoder = createDecoder("L16", 16000);
  assert.equal(decoder.rate, 16000);
  assert.equal(decoder.decode(bytes, out), 3);
  assert.deepEqual([...out.subarray(0, 3)].map((value) => value * 32768), [-32768, 32767, -1]);
});

test("an unknown codec has no decoder", () => assert.equal(createDecoder("OPUS", 48000), null));
