/** The console page's modules that need no page. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { eventKind, eventTime, eventWords } from "../../web/console/event-words.js";
import { figures } from "../../web/console/figures.js";
import { codec, duration, mebibytes, phone, shortId, text } from "../../web/console/format.js";
import { Language, preferred } from "../../web/console/i18n.js";
import { hearers } from "../../web/console/meter.js";
import { height, levelOf, Peaks } from "../../web/console/peaks.js";
import { read } from "../../web/console/preferences.js";
import { callInfo, Store } from "../../web/console/store.js";
import { TEXTS } from "../../web/console/texts.js";
import { WORDS } from "../../web/patchbay/notices.js";

const NOT_ON_THIS_PAGE = ["legacy", "output_unsupported"];

/** @param {number} n @param {object} [more] */
const told = (n, more = {}) => ({
  call_control_id: `v3:${n}`,
  from: `+1202555010${n}`,
  to: "+33123456789",
  codec: "PCMU",
  sample_rate: 8000,
  started_at: "2026-01-01T00:00:00.000Z",
  listeners: n,
  gaps: 0,
  ...more,
});

test("every text is there in every language, with the same values", () => {
  const values = (/** @type {string} */ words) => [...words.matchAll(/\{\w+\}/g)].map(String).sort();
  for (const key of Object.keys(TEXTS.en)) {
    assert.ok(TEXTS.fr[key], `${key} is missing in French`);
    assert.deepEqual(values(TEXTS.fr[key]), values(TEXTS.en[key]), key);
  }
  for (const key of Object.keys(TEXTS.fr)) {
    if (key.startsWith("notice.")) assert.ok(key.slice(7) in WORDS, `${key} is no notice of the library's`);
    else assert.ok(key in TEXTS.en, `${key} is in French alone`);
  }
});

test("what the library says is there in French", () => {
  for (const code of Object.keys(WORDS)) {
    assert.ok(NOT_ON_THIS_PAGE.includes(code) || TEXTS.fr[`notice.${code}`], `notice.${code} is missing in French`);
  }
});

test("the language is the first of ours that the browser names", () => {
  assert.equal(preferred(["de-CH", "fr-CA", "en"]), "fr");
  assert.equal(preferred(["en-GB", "fr"]), "en");
  assert.equal(preferred(["de"]), "en");
  assert.equal(preferred([]), "en");
});

test("texts get their values, counts their form, notices their language", () => {
  const english = new Language("en");
  assert.equal(english.t("none-found", { query: "a{b}" }), "No live call matches “a{b}”.");
  assert.equal(english.count("listeners-of", 1), "1 listener");
  assert.equal(english.count("listeners-of", 1200), "1,200 listeners");
  assert.equal(english.t("no such text"), "no such text");
  assert.equal(english.notice({ code: "server", words: "Full." }), "Full.");
  assert.equal(english.number(undefined), "–");
  assert.equal(english.milliseconds(87.4), "87 ms");
  assert.equal(english.milliseconds(1262), "1.3 s");
  assert.equal(english.milliseconds(null), "–");
  assert.match(english.time(Date.UTC(2026, 0, 1, 13, 2, 3)), /^\d\d:02:03$/);
  assert.equal(english.time(NaN), "");
  const french = new Language("fr");
  assert.equal(french.count("gaps-of", 0), "0 trou");
  assert.equal(french.notice({ code: "floor_taken", words: "x" }), TEXTS.fr["notice.floor_taken"]);
});

test("values as they are read", () => {
  assert.equal(duration(3723.9), "1:02:03");
  assert.equal(duration(-3), "0:00");
  assert.equal(duration(NaN), "–");
  assert.equal(codec("L16", 16000), "L16 16 kHz");
  assert.equal(codec("G722", 8000), "G722 16 kHz");
  assert.equal(codec("PCMU", undefined), "PCMU");
  assert.equal(phone("+12025550100"), "+1\u202f202\u202f555\u202f0100");
  assert.equal(phone("+33123456789"), "+33\u202f1\u202f23\u202f45\u202f67\u202f89");
  assert.equal(phone("sip:ann@example.com"), "sip:ann@example.com");
  assert.equal(phone(null), "");
  assert.equal(mebibytes(23 * 2 ** 20 + 5), 23);
  assert.equal(mebibytes(null), null);
  assert.equal(shortId("v3:abcdefghijklmnop"), "…ghijklmnop");
  assert.equal(shortId("short"), "short");
  assert.equal(text(0), "0");
});

test("calls come, stay and go", () => {
  const store = new Store();
  assert.deepEqual(store.take([told(1), told(2)]).came.map(({ id }) => id), ["v3:1", "v3:2"]);
  const { came, went } = store.take([told(2, { listeners: 9 }), told(3), null, "rubbish", {}]);
  assert.deepEqual([came.map(({ id }) => id), went.map(({ id }) => id)], [["v3:3"], ["v3:1"]]);
  assert.equal(store.calls.get("v3:2")?.listeners, 9);
  assert.deepEqual(store.take(undefined).went.length, 2);
  assert.equal(callInfo({ stream_id: "s", talker: 7 }).id, "s");
  assert.equal(callInfo({ stream_id: "s", talker: 7 }).talker, "7");
});

test("a search finds numbers however they are written, and every word must match", () => {
  const store = new Store();
  store.take([told(1, { from: "Zoé" }), told(2), told(3, { codec: "G722" })]);
  const found = (/** @type {string} */ query) => {
    store.query = query;
    return store.found().map(({ id }) => id);
  };
  assert.equal(found("  ").length, 3);
  assert.deepEqual(found("zoe"), ["v3:1"]);
  assert.deepEqual(found("202-555-0102"), ["v3:2"]);
  assert.deepEqual(found("g722 0103"), ["v3:3"]);
  assert.deepEqual(found("g722 0102"), []);
  assert.deepEqual(found("V3:2"), ["v3:2"]);
});

test("durations are by the server's clock where ours differs by more than a moment", () => {
  const store = new Store();
  const call = callInfo(told(1));
  const start = Date.UTC(2026, 0, 1);
  assert.equal(store.lasted(call, start + 5000), 5);
  store.compareClocks(start + 60_000, start);
  assert.equal(store.lasted(call, start), 60);
  store.compareClocks(start, start + 900);
  assert.equal(store.lasted(call, start), 0);
  store.compareClocks(NaN, start);
  assert.equal(store.lasted(call, start), 0);
});

test("levels are let out evenly, the newest last; who slept goes on with what is new", () => {
  const peaks = new Peaks();
  peaks.push([1, 2, 3, 4, 5], [9]);
  assert.ok(peaks.advance(2));
  assert.deepEqual([peaks.at(0, 0), peaks.at(0, 1), peaks.at(1, 1), peaks.at(0, 2)], [2, 1, 9, 0]);
  assert.ok(peaks.advance(10));
  assert.equal(peaks.at(0, 0), 5);
  assert.ok(!peaks.advance(1));
  peaks.push(Array(40).fill(7), []);
  assert.ok(peaks.shown >= 40);
  peaks.push(Array(5000).fill(8), []);
  peaks.advance(100);
  assert.equal(peaks.at(0, 0), 8);
  assert.equal(peaks.at(0, 100_000), 0);
});

test("levels are those of the protocol, and loud is high", () => {
  assert.equal(levelOf(1), 255);
  assert.equal(levelOf(0.1), 170);
  assert.equal(levelOf(0), 0);
  assert.equal(levelOf(1e-9), 0);
  assert.equal(height(255), 1);
  assert.equal(height(10), 0);
  assert.ok(height(200) > height(150));
});

test("events in words", () => {
  const english = new Language("en");
  const words = (/** @type {any} */ event) => eventWords(event, english);
  assert.equal(words({ type: "call.answered" }), "Answered");
  assert.equal(words({ type: "stream.dtmf", payload: { digit: "5" } }), "Key 5");
  assert.equal(words({ type: "floor.taken", payload: { sub: "ann" } }), "ann talks");
  assert.equal(words({ type: "listener.joined", payload: {} }), "Somebody listens");
  assert.equal(words({ type: "call.new.kind" }), "call.new.kind");
  assert.deepEqual(
    ["stream.failed", "call.answered", "floor.taken", "call.hangup"].map((type) => eventKind({ type })),
    ["bad", "good", "talk", "plain"],
  );
  assert.equal(eventTime({ occurred_at: "2026-01-01T00:00:00Z" }), Date.UTC(2026, 0, 1));
});

test("figures: the worse side's delay, both sides' losses; none while nothing plays", () => {
  const track = { playing: true, delay: 0.05, buffer: 0.06, lost: 1, concealed: 0.02 };
  const report = /** @type {any} */ ([track, { ...track, delay: 0.09, lost: 2 }]);
  assert.deepEqual(figures(report, 0.01), { delay: 100, buffer: 60, lost: 3, concealed: 0.04 });
  assert.equal(figures(/** @type {any} */ ([{ ...track, playing: false }]), 0), null);
  assert.equal(figures([], 0), null);
});

test("the server's meter, and what is none", () => {
  const meter = { playout: [{ connection: "7", sub: "ann", ear_ms: 143 }, { connection: 8, sub: null, ear_ms: null }, null] };
  assert.deepEqual(hearers(meter), [
    { connection: "7", sub: "ann", ear: 143 },
    { connection: "8", sub: "", ear: null },
    { connection: "", sub: "", ear: null },
  ]);
  assert.deepEqual(hearers(undefined), []);
});

test("preferences that are damaged, or of another kind, are the defaults", () => {
  const defaults = { language: "", theme: "auto", wall: false, several: false, layout: "mixed", keys: true };
  assert.deepEqual(read(null), defaults);
  assert.deepEqual(read("{"), defaults);
  assert.deepEqual(read("null"), defaults);
  assert.deepEqual(read('{"theme":"pink","wall":1,"layout":"up","more":1}'), defaults);
  assert.deepEqual(read('{"theme":"dark","wall":true}'), { ...defaults, theme: "dark", wall: true });
});
