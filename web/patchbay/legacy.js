/**
 * The connection to a server that does not speak `patchbay.v1`: a socket for each call listened to, and one for each call
 * talked into, as the first frontend has them. The same methods as `Connection`.
 *
 * Audio comes as JSON in the call's own codec, since that names track and chunk: nothing is heard twice after a
 * reconnect, and the tracks stay apart. `format: "binary"` takes bare µ-law instead, a socket for each track, without
 * numbers.
 */

import { notice } from "./notices.js";
import { serverNotice } from "./connection.js";
import { TRACKS } from "./protocol.js";
import { ReconnectingSocket } from "./reconnect.js";
import { Numbering, rtpPacket, toBase64, fromBase64 } from "./legacy-wire.js";

const TALK_QUEUE_MAX_BYTES = 5 * 300;
const TALK_LINGER_S = 30;

/** @typedef {{sockets: ReconnectingSocket[], tracks: string}} Listening */

export class LegacyConnection {
  #access;
  #handlers;
  #format;
  /** @type {Map<string, Listening>} */
  #listening = new Map();
  /** @type {Map<string, {socket: ReconnectingSocket, ssrc: number, timer: any}>} */
  #talking = new Map();
  /** @type {Map<string, {codec: string, sampleRate: number}>} */
  #formats = new Map();

  /** Frames of talk that were left out since the network was too slow. */
  talkDropped = 0;
  /** The first protocol tells none. */
  name = "";

  /**
   * @param {import("./connection.js").Access} access
   * @param {import("./connection.js").Handlers} handlers
   * @param {"json" | "binary"} format
   */
  constructor(access, handlers, format) {
    this.#access = access;
    this.#handlers = handlers;
    this.#format = format;
  }

  /** @param {string} callId @param {import("./connection.js").Subscription} wanted */
  subscribe(callId, { tracks }) {
    const key = tracks.join();
    if (this.#listening.get(callId)?.tracks === key) return;
    this.unsubscribe(callId);
    if (tracks.length === 0) return;
    const apart = this.#format === "binary" ? tracks : [tracks.length > 1 ? "both" : tracks[0]];
    const sockets = apart.map((track) => this.#listen(callId, track));
    this.#listening.set(callId, { sockets, tracks: key });
  }

  /** @param {string} callId */
  unsubscribe(callId) {
    this.#listening.get(callId)?.sockets.forEach((socket) => socket.close());
    this.#listening.delete(callId);
    this.#formats.delete(callId);
  }

  /** @param {string} callId @returns {Promise<{talk: number, codec: "PCMU" | "PCMA"}>} */
  async startTalk(callId) {
    await this.#talkSocket(callId);
    // The RTP header says that it is µ-law; the server translates for a call that has another codec.
    return { talk: 0, codec: "PCMU" };
  }

  /** @param {string} callId @param {{sequence: number, codec: "PCMU" | "PCMA", payload: Uint8Array}} frame */
  sendTalk(callId, { sequence, codec, payload }) {
    const talking = this.#talking.get(callId);
    const clear = talking && talking.socket.bufferedAmount <= TALK_QUEUE_MAX_BYTES;
    const packet = () => toBase64(rtpPacket(payload, sequence, codec, talking?.ssrc ?? 0));
    const sent = !!clear && talking.socket.send(JSON.stringify({ event: "media", media: { payload: packet() } }));
    if (!sent) this.talkDropped++;
    return sent;
  }

  /** @param {string} callId */
  stopTalk(callId) {
    const talking = this.#talking.get(callId);
    if (!talking) return;
    talking.socket.send(JSON.stringify({ event: "stop" }));
    clearTimeout(talking.timer); // kept for the next talk, which then begins at once
    talking.timer = setTimeout(() => this.#closeTalk(callId), TALK_LINGER_S * 1000);
  }

  /** There is nobody to report to. */
  report() {}

  /** End it for good. */
  close() {
    for (const callId of [...this.#listening.keys()]) this.unsubscribe(callId);
    for (const callId of [...this.#talking.keys()]) this.#closeTalk(callId);
  }

  /** @param {string} callId @param {string} track "inbound", "outbound" or "both" */
  #listen(callId, track) {
    const numbering = new Numbering();
    return new ReconnectingSocket({
      address: () => this.#address(callId, track),
      onOpen: () => numbering.reconnected(),
      onMessage: (data) => {
        if (typeof data === "string") this.#text(callId, data, numbering);
        else this.#bare(callId, track, new Uint8Array(data), numbering);
      },
      onState: (state, { notice: code, reason }) => this.#handlers.state(state, code, reason),
      WebSocket: this.#access.WebSocket,
    });
  }

  /** @param {string} callId @param {string} track */
  async #address(callId, track) {
    const url = new URL(this.#access.url);
    url.searchParams.set("call_control_id", callId);
    url.searchParams.set("track", track);
    if (this.#format === "json") url.searchParams.set("format", "json");
    const token = await this.#access.token();
    if (token) url.searchParams.set("token", token);
    return { url: url.href, protocols: [] };
  }

  /** @param {string} callId @param {string} data @param {Numbering} numbering */
  #text(callId, data, numbering) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // what is not JSON is not for us
    }
    if (message.event === "media") this.#media(callId, message, numbering);
    else if (message.event === "start") this.#start(callId, message, numbering);
    else if (message.event === "stop") this.#handlers.message(callId, { type: "stream.ended", reason: "stop" });
    else if (message.event === "error") this.#handlers.message(callId, { type: "error", ...message.payload });
  }

  /** @param {string} callId @param {any} message @param {Numbering} numbering */
  #start(callId, message, numbering) {
    const given = message.start?.media_format ?? {};
    const codec = String(given.encoding ?? "PCMU").toUpperCase();
    const format = { codec, sampleRate: Number(given.sample_rate) || (codec === "L16" ? 16000 : 8000) };
    this.#formats.set(callId, format);
    const stream = numbering.startStream(String(message.stream_id ?? ""));
    const known = { codec: format.codec, sample_rate: format.sampleRate };
    this.#handlers.message(callId, { type: "stream", stream, format: known, start: message.start });
  }

  /** @param {string} callId @param {any} message @param {Numbering} numbering */
  #media(callId, { media, stream_id: streamId }, numbering) {
    const track = TRACKS.indexOf(media?.track);
    if (track < 0) return;
    const { sampleRate } = this.#formats.get(callId) ?? { sampleRate: 8000 };
    const stream = numbering.startStream(String(streamId ?? ""));
    const sequence = numbering.number(track, media.chunk);
    const payload = fromBase64(media.payload);
    this.#handlers.audio(callId, { track, stream, sequence, codec: media.format, sampleRate, payload });
  }

  /** @param {string} callId @param {string} track @param {Uint8Array<ArrayBuffer>} payload @param {Numbering} numbering */
  #bare(callId, track, payload, numbering) {
    const index = TRACKS.indexOf(/** @type {import("./protocol.js").Track} */ (track));
    const at = index < 0 ? 0 : index;
    const sequence = numbering.number(at, undefined);
    this.#handlers.audio(callId, { track: at, stream: 1, sequence, codec: "PCMU", sampleRate: 8000, payload });
  }

  /** Resolves when the socket for talk is open, or has failed once. @param {string} callId @returns {Promise<void>} */
  #talkSocket(callId) {
    const known = this.#talking.get(callId);
    if (known) {
      clearTimeout(known.timer);
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const socket = new ReconnectingSocket({
        address: () => this.#address(callId, "inbound"),
        onMessage: (data) => typeof data === "string" && this.#talkNews(callId, data),
        onState: (state) => state !== "connecting" && resolve(),
        WebSocket: this.#access.WebSocket,
      });
      this.#talking.set(callId, { socket, ssrc: Math.floor(Math.random() * 2 ** 32), timer: undefined });
    });
  }

  /** Audio comes on this socket too, and is not wanted here; errors are. @param {string} callId @param {string} data */
  #talkNews(callId, data) {
    if (!data.startsWith('{"event":"error"')) return;
    const { payload } = JSON.parse(data);
    const told = serverNotice(payload ?? {});
    this.#handlers.message(callId, { type: "talk.refused", notice: told ?? notice("talk_lost") });
  }

  /** @param {string} callId */
  #closeTalk(callId) {
    const talking = this.#talking.get(callId);
    if (!talking) return;
    clearTimeout(talking.timer);
    talking.socket.close();
    this.#talking.delete(callId);
  }
}
