/**
 * The connection to a server that speaks `patchbay.v1`: one socket for all calls, their audio and what is said into them.
 * What it carries is others' business: it hands over what comes, by call.
 */

import { packTalk, SUBPROTOCOL, TOKEN_PREFIX, unpackAudio } from "./protocol.js";
import { notice, PatchbayError } from "./notices.js";
import { ReconnectingSocket } from "./reconnect.js";

const PING_S = 5;
const SILENCE_S = 12;
const ANSWER_TIMEOUT_S = 10;
const ROUND_TRIPS = 6; // remembered; the quickest of them is what the network takes
const TALK_QUEUE_MAX_BYTES = 5 * 180; // five frames: what comes later than that is better not said

/**
 * @typedef {object} Subscription
 * @property {import("./protocol.js").Track[]} tracks whose audio is wanted; may be none
 * @property {boolean} peaks whether the server is to send how loud it is
 */

/**
 * @typedef {object} Frame
 * @property {number} track @property {number} stream @property {number} sequence
 * @property {string} codec @property {number} sampleRate @property {Uint8Array<ArrayBuffer>} payload
 */

/**
 * What a connection, of this kind or the legacy one, tells its owner.
 * @typedef {object} Handlers
 * @property {(callId: string, frame: Frame) => void} audio
 * @property {(callId: string | null, message: any) => void} message
 * @property {(state: import("./reconnect.js").SocketState, notice: string, reason: string) => void} state
 * @property {() => void} renumbered the server's stream numbers begin anew
 */

/**
 * @typedef {object} Access
 * @property {string} url of /audio-stream, as ws: or wss:
 * @property {() => Promise<string>} token "" for none
 * @property {typeof WebSocket} [WebSocket]
 */

export class Connection {
  #access;
  #handlers;
  #socket;
  /** @type {Map<string, Subscription>} */
  #wanted = new Map();
  /** @type {Map<number, string>} */
  #idByNumber = new Map();
  /** @type {Map<string, number>} */
  #numberById = new Map();
  /** @type {Map<number, {resolve: (answer: any) => void, reject: (error: Error) => void, timer: any}>} */
  #asked = new Map();
  #nextId = 1;
  #epoch = "";
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #pinging;
  /** @type {number[]} */
  #roundTrips = [];

  /** Frames of talk that were left out since the network was too slow. */
  talkDropped = 0;
  /** What the server calls it, in lists of listeners; "" while that is not known. */
  name = "";

  /**
   * @param {Access} access
   * @param {Handlers} handlers
   * @param {() => boolean} onUnopened a try failed before it was open: perhaps the server does not know the protocol;
   *   true: this connection is not to try again
   * @param {number} failures tries that were made in vain before this one
   */
  constructor(access, handlers, onUnopened, failures) {
    this.#access = access;
    this.#handlers = handlers;
    this.#socket = new ReconnectingSocket({
      address: () => this.#address(),
      onOpen: () => this.#opened(),
      onMessage: (data) => (typeof data === "string" ? this.#text(data) : this.#binary(data)),
      onState: (state, { notice: code, reason }) => this.#state(state, code, reason),
      onUnopened,
      failures,
      ask: () => this.#ping(),
      silence_s: SILENCE_S,
      WebSocket: access.WebSocket,
    });
  }

  /** @param {string} callId @param {Subscription} wanted instead of what was wanted of this call before */
  subscribe(callId, wanted) {
    this.#wanted.set(callId, wanted);
    this.#sendSubscription(callId);
  }

  /** @param {string} callId */
  unsubscribe(callId) {
    this.#wanted.delete(callId);
    const call = this.#numberById.get(callId);
    if (call !== undefined) this.#send({ type: "unsubscribe", call }); // its number is kept: somebody may be talking
  }

  /**
   * Ask for the floor of a call.
   * @param {string} callId
   * @returns {Promise<{talk: number, codec: "PCMU" | "PCMA"}>} rejects with a PatchbayError
   */
  async startTalk(callId) {
    const answer = await this.#ask({ type: "talk.start", call_control_id: callId });
    if (typeof answer.call === "number") this.#learn(answer.call, callId);
    return { talk: Number(answer.talk) || 0, codec: answer.codec === "PCMA" ? "PCMA" : "PCMU" };
  }

  /**
   * @param {string} callId
   * @param {{talk: number, sequence: number, codec: "PCMU" | "PCMA", payload: Uint8Array}} frame
   * @returns {boolean} whether it is on its way
   */
  sendTalk(callId, frame) {
    const call = this.#numberById.get(callId);
    const clear = this.#socket.bufferedAmount <= TALK_QUEUE_MAX_BYTES;
    const sent = clear && call !== undefined && this.#socket.send(packTalk({ call, ...frame }));
    if (!sent) this.talkDropped++;
    return sent;
  }

  /** @param {string} callId */
  stopTalk(callId) {
    const call = this.#numberById.get(callId);
    if (call !== undefined) this.#send({ type: "talk.stop", call });
  }

  /** @param {string} callId @param {object} report what the listener hears; see the protocol's `playout` */
  report(callId, report) {
    const call = this.#numberById.get(callId);
    const known = this.#roundTrips.length ? { rtt_ms: Math.round(Math.min(...this.#roundTrips)) } : {};
    if (call !== undefined) this.#send({ type: "playout", call, ...known, ...report });
  }

  /** End it for good. */
  close() {
    clearInterval(this.#pinging);
    this.#socket.close();
    this.#failAll();
  }

  async #address() {
    const token = await this.#access.token();
    return { url: this.#access.url, protocols: token ? [SUBPROTOCOL, TOKEN_PREFIX + token] : [SUBPROTOCOL] };
  }

  #opened() {
    clearInterval(this.#pinging);
    this.#pinging = setInterval(() => this.#ping(), PING_S * 1000);
    this.#roundTrips = [];
    for (const callId of this.#wanted.keys()) this.#sendSubscription(callId);
    this.#ping();
  }

  /** @param {import("./reconnect.js").SocketState} state @param {string} code @param {string} reason */
  #state(state, code, reason) {
    if (state !== "open") {
      clearInterval(this.#pinging);
      this.#idByNumber.clear();
      this.#numberById.clear();
      this.#failAll();
    }
    this.#handlers.state(state, code, reason);
  }

  /** @param {string} callId */
  #sendSubscription(callId) {
    const { tracks, peaks } = this.#wanted.get(callId) ?? { tracks: [], peaks: false };
    this.#send({ type: "subscribe", call_control_id: callId, tracks, peaks });
  }

  #ping() {
    this.#send({ type: "ping", sent: performance.now() });
  }

  /** @param {object} message */
  #send(message) {
    return this.#socket.send(JSON.stringify(message));
  }

  /** @param {object} message @returns {Promise<any>} */
  #ask(message) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const fail = () => {
        this.#asked.delete(id);
        reject(new PatchbayError(notice("offline")));
      };
      this.#asked.set(id, { resolve, reject, timer: setTimeout(fail, ANSWER_TIMEOUT_S * 1000) });
      if (!this.#send({ ...message, id })) fail();
    });
  }

  #failAll() {
    for (const { reject, timer } of this.#asked.values()) {
      clearTimeout(timer);
      reject(new PatchbayError(notice("offline")));
    }
    this.#asked.clear();
  }

  /** @param {ArrayBuffer} data */
  #binary(data) {
    const audio = unpackAudio(data);
    const callId = audio ? this.#idByNumber.get(audio.call) : undefined;
    if (audio && callId !== undefined && this.#wanted.has(callId)) this.#handlers.audio(callId, audio);
  }

  /** @param {string} data */
  #text(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return; // what is not JSON is not for us
    }
    const callId = this.#callOf(message);
    if (this.#answer(message) && message.type === "error") return; // whoever asked has been told
    if (message.type === "pong") this.#ponged(message);
    else if (message.type === "welcome") this.#welcome(message);
    else if (message.type === "token.expiring") this.#renewToken();
    else this.#handlers.message(callId, message);
  }

  /** @param {any} message */
  #ponged({ sent }) {
    if (typeof sent !== "number") return;
    this.#roundTrips = [...this.#roundTrips.slice(1 - ROUND_TRIPS), performance.now() - sent];
  }

  /** @param {any} message @returns {string | null} */
  #callOf({ call, call_control_id: callId }) {
    if (typeof call !== "number") return typeof callId === "string" ? callId : null;
    if (typeof callId === "string") this.#learn(call, callId);
    return this.#idByNumber.get(call) ?? null;
  }

  /** Settle what it answers; whether it answers anything. @param {any} message */
  #answer(message) {
    const asked = this.#asked.get(message.id);
    if (!asked) return false;
    this.#asked.delete(message.id);
    clearTimeout(asked.timer);
    if (message.type === "error") asked.reject(new PatchbayError(serverNotice(message)));
    else asked.resolve(message);
    return true;
  }

  /** @param {any} message */
  #welcome({ epoch, connection }) {
    this.name = String(connection ?? "");
    if (this.#epoch && epoch !== this.#epoch) this.#handlers.renumbered();
    this.#epoch = String(epoch);
  }

  async #renewToken() {
    const token = await this.#access.token().catch(() => "");
    if (token) this.#send({ type: "token", token });
  }

  /** @param {number} call @param {string} callId */
  #learn(call, callId) {
    this.#idByNumber.set(call, callId);
    this.#numberById.set(callId, call);
  }
}

const FLOOR_TAKEN = 200005;

/**
 * An error of the server's, in its own words where it has any.
 * @param {any} message `{code, title, detail}`
 */
export function serverNotice({ code, title, detail }) {
  if (code === FLOOR_TAKEN) return notice("floor_taken", { detail });
  return notice("server", { words: detail || title || `error ${code}`, detail: title });
}
