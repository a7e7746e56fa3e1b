/** Connections: coming back, both protocols, and the choice between them. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { Connection } from "../../web/patchbay/connection.js";
import { LegacyConnection } from "../../web/patchbay/legacy.js";
import { Numbering, rtpPacket } from "../../web/patchbay/legacy-wire.js";
import { closePolicy, packTalk, unpackAudio } from "../../web/patchbay/protocol.js";
import { backoff, ReconnectingSocket } from "../../web/patchbay/reconnect.js";
import { Patchbay } from "../../web/patchbay.js";
import { socketUrl } from "../../web/patchbay/urls.js";
import { FakeSocket, settled } from "./fake_socket.js";

const ID = "v3:abc/d=";

beforeEach(() => {
  FakeSocket.made = [];
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
});
afterEach(() => mock.timers.reset());

function audio({ call = 1, track = 0, codec = 0, flags = 0, stream = 3, sequence = 9, timestamp = 180, payload = [1, 2, 3] } = {}) {
  const message = new ArrayBuffer(20 + payload.length);
  const view = new DataView(message);
  [1, track, codec, flags].forEach((value, at) => view.setUint8(at, value));
  view.setUint16(4, call, true);
  view.setUint32(8, stream, true);
  view.setUint32(12, sequence, true);
  view.setUint32(16, timestamp, true);
  new Uint8Array(message, 20).set(payload);
  return message;
}

function handlers() {
  const seen = { audio: [], messages: [], states: [], renumbered: 0 };
  return {
    seen,
    audio: (callId, frame) => seen.audio.push([callId, frame]),
    message: (callId, message) => seen.messages.push([callId, message]),
    state: (state, code) => seen.states.push(code ? `${state} ${code}` : state),
    renumbered: () => seen.renumbered++,
  };
}

const access = (more = {}) => ({ url: "ws://host/audio-stream", token: async () => "", WebSocket: FakeSocket, ...more });

async function connected(more) {
  const told = handlers();
  const connection = new Connection(access(more), told, () => false, 0);
  await settled();
  FakeSocket.last.open();
  return { connection, told, socket: FakeSocket.last };
}

test("audio messages: every field; what is no audio is nothing", () => {
  const { payload, ...rest } = unpackAudio(audio({ codec: 4, flags: 1, track: 1, sequence: 0xfffffffe }));
  assert.deepEqual([...payload], [1, 2, 3]);
  assert.deepEqual(rest, {
    call: 1, track: 1, stream: 3, sequence: 0xfffffffe, timestamp: 180, codec: "L16", sampleRate: 16000, replayed: true,
  });
  for (const wrong of [new ArrayBuffer(0), new ArrayBuffer(20), audio({ codec: 99 }), audio({ track: 2 }), packTalk({ call: 1, talk: 1, sequence: 0, codec: "PCMU", payload: new Uint8Array(160) })]) {
    assert.equal(unpackAudio(wrong), null);
  }
});

test("talk messages: every field", () => {
  const view = new DataView(packTalk({ call: 258, talk: 7, sequence: 50, codec: "PCMA", payload: new Uint8Array(160).fill(9) }));
  assert.equal(view.byteLength, 180);
  assert.deepEqual([view.getUint8(0), view.getUint8(2), view.getUint16(4, true)], [2, 1, 258]);
  assert.deepEqual([view.getUint32(8, true), view.getUint32(12, true), view.getUint32(16, true)], [7, 50, 1000]);
});

test("close codes say whether to come back", () => {
  for (const code of [1001, 1006, 1011, 1012, 4000, 4008, 4499, 4502]) assert.ok(closePolicy(code).again, code);
  for (const code of [1002, 1008, 4500, 4501, 4503, 4999]) assert.equal(closePolicy(code).again, false, code);
  assert.ok(closePolicy(1012).soon && !closePolicy(1011).soon);
});

test("waits are anything up to a bound that doubles, and is bounded", () => {
  assert.equal(backoff(0, () => 1), 0.5);
  assert.equal(backoff(3, () => 1), 4);
  assert.equal(backoff(50, () => 1), 20);
  assert.equal(backoff(50, () => 0), 0);
});

test("v1: subscribes when open, and again after a reconnect; a token goes as a subprotocol", async () => {
  const { connection, told, socket } = await connected({ token: async () => "a.b.c" });
  assert.deepEqual(socket.protocols, ["patchbay.v1", "patchbay.token.a.b.c"]);
  connection.subscribe(ID, { tracks: ["inbound"], peaks: true });
  const wanted = { type: "subscribe", call_control_id: ID, tracks: ["inbound"], peaks: true };
  assert.deepEqual(socket.messages, [wanted]);
  socket.end(1012);
  assert.deepEqual(told.seen.states, ["connecting", "open", "waiting offline"]);
  mock.timers.tick(300);
  await settled();
  assert.equal(FakeSocket.made.length, 2);
  FakeSocket.last.open();
  assert.deepEqual(FakeSocket.last.messages, [wanted]);
  connection.close();
});

test("v1: audio goes to the call whose number it has; unknown numbers go nowhere", async () => {
  const { connection, told, socket } = await connected();
  connection.subscribe(ID, { tracks: ["inbound"], peaks: false });
  socket.say(audio());
  socket.say({ type: "subscribed", call: 1, call_control_id: ID, state: "live" });
  socket.say(audio({ sequence: 10 }));
  socket.say(audio({ call: 2 }));
  socket.say("no JSON");
  socket.say(new ArrayBuffer(5));
  assert.deepEqual(told.seen.audio.map(([callId, { sequence }]) => [callId, sequence]), [[ID, 10]]);
  connection.unsubscribe(ID);
  socket.say(audio({ sequence: 11 }));
  assert.equal(told.seen.audio.length, 1);
  assert.deepEqual(socket.messages.at(-1), { type: "unsubscribe", call: 1 });
  connection.close();
});

test("v1: talk waits for the floor, is bounded by what the network takes, and ends", async () => {
  const { connection, socket } = await connected();
  const started = connection.startTalk(ID);
  const { id } = socket.messages[0];
  socket.say({ type: "talk.started", id, call: 4, call_control_id: ID, talk: 2, codec: "PCMA" });
  assert.deepEqual(await started, { talk: 2, codec: "PCMA" });
  const frame = { talk: 2, codec: "PCMA", payload: new Uint8Array(160) };
  assert.ok(connection.sendTalk(ID, { ...frame, sequence: 0 }));
  socket.bufferedAmount = 5000;
  assert.equal(connection.sendTalk(ID, { ...frame, sequence: 1 }), false);
  assert.equal(connection.talkDropped, 1);
  connection.stopTalk(ID);
  assert.deepEqual(socket.messages.at(-1), { type: "talk.stop", call: 4 });
  const refused = connection.startTalk(ID);
  socket.say({ type: "error", id: socket.messages.at(-1).id, code: 200005, title: "floor_taken", detail: "…" });
  await assert.rejects(refused, { code: "floor_taken" });
  const unanswered = connection.startTalk(ID);
  socket.end(1006);
  await assert.rejects(unanswered, { code: "offline" });
  connection.close();
});

test("v1: the round trip goes with what is reported; an error that answers somebody is told to nobody else", async () => {
  const { connection, told, socket } = await connected();
  socket.say({ type: "subscribed", call: 1, call_control_id: ID, state: "live" });
  connection.report(ID, { output_ms: 5 });
  assert.deepEqual(socket.messages.at(-1), { type: "playout", call: 1, output_ms: 5 });
  assert.equal(socket.pings.length, 1);
  for (const ago of [300, 40, 90]) socket.say({ type: "pong", sent: performance.now() - ago, time: 0 });
  connection.report(ID, { output_ms: 5 });
  assert.ok(Math.abs(socket.messages.at(-1).rtt_ms - 40) < 10);
  const refused = connection.startTalk(ID);
  const before = told.seen.messages.length;
  socket.say({ type: "error", id: socket.messages.at(-1).id, call: 1, code: 200005, title: "floor_taken", detail: "…" });
  await assert.rejects(refused, { code: "floor_taken" });
  socket.say({ type: "error", call: 1, code: 200010, title: "talk_too_fast", detail: "…" });
  assert.deepEqual(told.seen.messages.slice(before).map(([, { code }]) => code), [200010]);
  connection.close();
});

test("v1: another epoch is told; the token is renewed when asked for", async () => {
  let token = "old";
  const { connection, told, socket } = await connected({ token: async () => token });
  socket.say({ type: "welcome", epoch: "1" });
  socket.say({ type: "welcome", epoch: "1" });
  assert.equal(told.seen.renumbered, 0);
  socket.say({ type: "welcome", epoch: "2" });
  assert.equal(told.seen.renumbered, 1);
  token = "new";
  socket.say({ type: "token.expiring", in_s: 60 });
  await settled();
  assert.deepEqual(socket.messages.at(-1), { type: "token", token: "new" });
  connection.close();
});

test("a close code that says not to come back is heeded, and said", async () => {
  const { told, socket } = await connected();
  socket.end(4501, "bad token");
  mock.timers.tick(60_000);
  await settled();
  assert.equal(FakeSocket.made.length, 1);
  assert.equal(told.seen.states.at(-1), "closed token_refused");
});

test("a try that does not open in time is given up, and made again", async () => {
  const states = [];
  const socket = new ReconnectingSocket({
    address: async () => ({ url: "ws://host/", protocols: [] }), onMessage: () => {}, onState: (state) => states.push(state),
    WebSocket: FakeSocket, random: () => 0.5,
  });
  await settled();
  mock.timers.tick(10_000);
  assert.equal(states.at(-1), "waiting");
  assert.ok(FakeSocket.made[0].closed);
  mock.timers.tick(250);
  await settled();
  assert.equal(FakeSocket.made.length, 2);
  FakeSocket.made[0].open();
  assert.equal(socket.state, "connecting", "a socket that was given up has nothing to say");
  socket.close();
});

test("without a token nothing is opened, and it is asked for again", async () => {
  let asked = 0;
  const token = async () => (asked++ ? "t" : Promise.reject(new Error("no session")));
  const told = handlers();
  const connection = new Connection(access({ token }), told, () => false, 0);
  await settled();
  assert.equal(told.seen.states.at(-1), "waiting token_unavailable");
  mock.timers.tick(500);
  await settled();
  assert.equal(FakeSocket.made.length, 1);
  connection.close();
});

test("legacy: one socket for both tracks, numbered; bare µ-law without numbers", async () => {
  const told = handlers();
  const connection = new LegacyConnection(access(), told, "json");
  connection.subscribe(ID, { tracks: ["inbound", "outbound"], peaks: false });
  await settled();
  const url = new URL(FakeSocket.last.url);
  assert.equal(url.searchParams.get("call_control_id"), ID);
  assert.deepEqual([url.searchParams.get("track"), url.searchParams.get("format")], ["both", "json"]);
  FakeSocket.last.open();
  FakeSocket.last.say({ event: "start", stream_id: "s", start: { media_format: { encoding: "L16", sample_rate: 16000 } } });
  FakeSocket.last.say({ event: "media", stream_id: "s", media: { track: "outbound", chunk: "7", payload: btoa("ab"), format: "L16" } });
  FakeSocket.last.say({ event: "media", stream_id: "s", media: { track: "elsewhere", chunk: "8", payload: "" } });
  const [[callId, frame]] = told.seen.audio;
  assert.deepEqual([callId, frame.track, frame.stream, frame.sequence, frame.codec, frame.sampleRate], [ID, 1, 1, 7, "L16", 16000]);
  assert.equal(told.seen.audio.length, 1);
  connection.close();
});

test("legacy: talk is RTP packets on a socket of its own, and a stop", async () => {
  const connection = new LegacyConnection(access(), handlers(), "json");
  const starting = connection.startTalk(ID);
  await settled();
  FakeSocket.last.open();
  assert.equal((await starting).codec, "PCMU");
  connection.sendTalk(ID, { sequence: 3, codec: "PCMU", payload: new Uint8Array(160).fill(0x7f) });
  connection.stopTalk(ID);
  const [media, stop] = FakeSocket.last.messages;
  const packet = Uint8Array.from(atob(media.media.payload), (char) => char.charCodeAt(0));
  assert.deepEqual([packet.length, packet[0], packet[1], packet[3], packet[12]], [172, 0x80, 0, 3, 0x7f]);
  assert.deepEqual(stop, { event: "stop" });
  assert.equal(rtpPacket(new Uint8Array(160), 0, "PCMA", 1)[1], 0x88, "the first packet is marked");
  connection.close();
});

test("chunks shared by both tracks become numbers without gaps; a loss stays one", () => {
  const numbering = new Numbering();
  numbering.startStream("a");
  const numbers = [];
  for (let chunk = 1; chunk < 21; chunk += 2) numbers.push(numbering.number(0, String(chunk)));
  const steps = numbers.slice(1).map((number, at) => number - numbers[at]);
  assert.deepEqual(steps.slice(-5), [1, 1, 1, 1, 1]);
  assert.equal(numbering.number(0, "25") - numbers.at(-1), 3);
});

test("legacy: Telnyx's numbers may begin anew; what another socket repeats has its number", () => {
  const numbering = new Numbering();
  numbering.startStream("a");
  const number = (/** @type {number} */ chunk) => numbering.number(0, String(chunk));
  const first = [401, 402, 403].map(number);
  assert.deepEqual([1, 2, 3].map(number), [404, 405, 406]);
  assert.deepEqual(first, [401, 402, 403]);
  numbering.reconnected();
  assert.deepEqual([2, 3, 4, 5].map(number), [405, 406, 407, 408]);
  numbering.reconnected();
  assert.deepEqual([900, 901].map(number), [1303, 1304]);
  numbering.reconnected();
  assert.deepEqual([1, 2].map(number), [1305, 1306]);
});

test("auto: a server that refuses the subprotocol is spoken to as of old; one that is away is tried both ways", async () => {
  const patchbay = new Patchbay({ url: "http://host/app", WebSocket: FakeSocket });
  patchbay.call(ID).watchPeaks(true);
  await settled();
  assert.deepEqual(FakeSocket.last.protocols, ["patchbay.v1"]);
  FakeSocket.last.end(1006);
  await settled();
  assert.equal(patchbay.legacy, true);
  await patchbay.close();
});

test("the sockets' URLs, from what people give", () => {
  assert.equal(socketUrl("https://host", "audio-stream"), "wss://host/audio-stream");
  assert.equal(socketUrl("http://host/app/", "call-events"), "ws://host/app/call-events");
  assert.equal(socketUrl("wss://host/api/audio-stream?x=1", "call-events"), "wss://host/api/call-events?x=1");
});
