/**
 * The library's front: one `Patchbay` for a page. It chooses the protocol, keeps the calls, and says in words what the
 * user should know.
 *
 * Events (`patchbay.on(name, detail => …)`): "state" ({state, legacy}), "notice" (a Notice), "level" (the microphone's,
 * 0..1, while it is open).
 */

import { AudioOutput } from "./audio-output.js";
import { Call } from "./call.js";
import { CallEvents } from "./call-events.js";
import { Connection } from "./connection.js";
import { listDevices } from "./devices.js";
import { LegacyConnection } from "./legacy.js";
import { Microphone } from "./microphone.js";
import { notice, PatchbayError } from "./notices.js";
import { Talk } from "./talk.js";
import { Emitter } from "./typed-events.js";
import { socketUrl } from "./urls.js";

const OPEN_TIMEOUT_S = 10;

/**
 * @typedef {object} PatchbayOptions
 * @property {string | URL} [url] of the server: "https://calls.example", "wss://…/api/audio-stream"; default: the page's own
 * @property {string | (() => string | Promise<string>)} [token] access token, or what gives one; asked before each connection
 * @property {"auto" | "v1" | "legacy"} [protocol] auto (default): `patchbay.v1` where the server speaks it
 * @property {"json" | "binary"} [legacyFormat] of audio from older servers; json (default) carries numbers and both tracks
 * @property {Partial<typeof import("./audio-output.js").WORKLETS>} [worklets] URLs of the worklets, where a bundler moves them
 * @property {typeof WebSocket} [WebSocket] instead of the browser's
 */

export class Patchbay extends Emitter {
  #options;
  #output;
  #microphone;
  /** @type {Connection | LegacyConnection | null} */
  #connection = null;
  /** @type {Map<string, Call>} */
  #calls = new Map();
  /** @type {Talk | null} */
  #talk = null;
  /** @type {CallEvents[]} */
  #events = [];
  #everOpen = false;
  #failures = 0;
  #notify = (/** @type {import("./notices.js").Notice} */ given) => this.emit("notice", given);
  #closed = false;

  /** @type {import("./reconnect.js").SocketState | "idle"} */
  state = "idle";
  /** Whether the server is older and speaks only the first protocol. */
  legacy = false;

  /** @param {PatchbayOptions} [options] */
  constructor(options = {}) {
    super();
    this.#options = options;
    this.#output = new AudioOutput(options.worklets ?? {}, this.#notify);
    this.#microphone = new Microphone(this.#output, {
      notify: this.#notify,
      level: (peak) => this.emit("level", peak),
      gone: () => void this.#talk?.lose(notice("microphone_unplugged")),
    });
  }

  /** Whether sound comes out; when not, `start()` in a click. */
  get audible() {
    return this.#output.running;
  }

  /** The AudioContext that everything is played in. */
  get audioContext() {
    return this.#output.context;
  }

  /** A call, known or not, live or not. @param {string} id call_control_id */
  call(id) {
    let call = this.#calls.get(id);
    if (!call) {
      const context = {
        output: this.#output,
        connection: () => this.#connect(),
        talk: (/** @type {string} */ callId) => this.talk(callId),
        notify: this.#notify,
      };
      call = new Call(context, id);
      this.#calls.set(id, call);
    }
    return call;
  }

  /** Have nothing more to do with a call; for pages that see many come and go. @param {string} id call_control_id */
  forget(id) {
    this.#calls.get(id)?.close();
    this.#calls.delete(id);
  }

  /** Hear a call; see `Call.listen`. @param {string} id call_control_id @param {import("./call.js").ListenOptions} [options] */
  async listen(id, options) {
    const call = this.call(id);
    await call.listen(options);
    return call;
  }

  /**
   * Talk into a call until `stop()` of the result. One at a time: another talk of this page ends.
   * @param {string} id call_control_id
   * @returns {Promise<Talk>} rejects with a PatchbayError
   */
  async talk(id) {
    const before = this.#talk;
    const talk = this.#prepareTalk(id);
    await before?.stop();
    return talk.start();
  }

  /** Talk while something is held: `stop()` it on the release, however soon. @param {string} id call_control_id */
  pushToTalk(id) {
    const talk = this.#prepareTalk(id);
    void talk.start().catch(() => {}); // said by a notice already
    return talk;
  }

  /**
   * What happens to calls: see `CallEvents`.
   * @param {object} [options]
   * @param {string[]} [options.calls] only of these
   * @param {number | string} [options.since] begin after this offset
   */
  events({ calls = [], since } = {}) {
    const access = { ...this.#access("call-events"), calls };
    const events = new CallEvents(access, since, () => {
      this.#events = this.#events.filter((other) => other !== events);
    });
    this.#events.push(events);
    return events;
  }

  /** Have the browser play; in the handler of a click. */
  start() {
    return this.#output.start();
  }

  /** Connect, and load what plays, so that the first click is heard at once. Rejects with a PatchbayError. */
  async prepare() {
    this.#connect();
    await this.#output.prepare();
  }

  /** Speakers and microphones, for a choice. Names are there once the microphone was allowed. */
  devices() {
    return listDevices();
  }

  /** @param {string} deviceId a speaker's; "" for the default. Rejects with a PatchbayError where that can't be chosen */
  async setSpeaker(deviceId) {
    await this.#output.setSink(deviceId);
  }

  /** @param {string} deviceId a microphone's; "" for the default. Counts from the next talk */
  setMicrophone(deviceId) {
    this.#microphone.deviceId = deviceId;
  }

  /** End everything. The object is of no use after. */
  async close() {
    this.#closed = true;
    await this.#talk?.stop();
    for (const events of [...this.#events]) events.close();
    for (const call of this.#calls.values()) call.stop();
    this.#connection?.close();
    this.#microphone.close();
    await this.#output.close();
  }

  /** @param {string} id */
  #prepareTalk(id) {
    const machine = { microphone: this.#microphone, output: this.#output };
    const talk = new Talk({ ...machine, connected: () => this.#connected(), notify: this.#notify }, id);
    this.#talk = talk;
    void talk.ended.then(() => {
      if (this.#talk === talk) this.#talk = null;
    });
    return talk;
  }

  /** The connection, begun when it is first needed. */
  #connect() {
    if (this.#closed && !this.#connection) throw new PatchbayError(notice("unavailable"));
    if (!this.#connection) {
      if (this.#options.protocol === "legacy") this.#useLegacy();
      else this.#useNewer();
    }
    return /** @type {Connection | LegacyConnection} */ (this.#connection);
  }

  /** The connection, once it is open. Rejects when that takes too long. */
  async #connected() {
    this.#connect();
    const is = () => this.legacy || this.state === "open";
    if (!is()) {
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new PatchbayError(notice("offline"))), OPEN_TIMEOUT_S * 1000);
        const off = this.on("state", () => is() && resolve(clearTimeout(timer)));
        setTimeout(off, OPEN_TIMEOUT_S * 1000);
      });
    }
    return this.#connect();
  }

  #useNewer() {
    this.legacy = false;
    const access = this.#access("audio-stream");
    this.#connection = new Connection(access, this.#handlers(), () => this.#isOlder(), this.#failures);
  }

  #useLegacy() {
    this.legacy = true;
    const format = this.#options.legacyFormat ?? "json";
    this.#connection = new LegacyConnection(this.#access("audio-stream"), this.#handlers(), format);
    this.emit("state", { state: this.state, legacy: true });
  }

  /**
   * A server that does not know the subprotocol makes the browser fail the handshake, which looks like a server that is not
   * there. So the legacy protocol is tried next, and the new one again when that fails as well.
   */
  #isOlder() {
    if (this.#everOpen || this.#closed || (this.#options.protocol ?? "auto") !== "auto") return false;
    this.#switch(() => this.#useLegacy());
    return true;
  }

  #isAwayAltogether() {
    this.#failures++;
    this.legacy = false; // others of its sockets will say the same
    const legacy = this.#connection;
    this.#switch(() => {
      legacy?.close();
      this.#useNewer();
    });
  }

  /** To the other protocol, once the present one has finished what it is doing. @param {() => void} how */
  #switch(how) {
    queueMicrotask(() => {
      if (this.#closed) return;
      how();
      for (const call of this.#calls.values()) call.resubscribe();
    });
  }

  /** @param {"audio-stream" | "call-events"} path @returns {import("./connection.js").Access} */
  #access(path) {
    const { token = "" } = this.#options;
    return {
      url: socketUrl(this.#options.url, path),
      token: async () => (typeof token === "function" ? token() : token),
      WebSocket: this.#options.WebSocket,
    };
  }

  /** @returns {import("./connection.js").Handlers} */
  #handlers() {
    return {
      audio: (callId, frame) => this.#calls.get(callId)?.takeAudio(frame),
      message: (callId, message) => this.#message(callId, message),
      state: (state, code, reason) => this.#stateChanged(state, code, reason),
      renumbered: () => this.#calls.forEach((call) => call.renumber()),
    };
  }

  /** @param {string | null} callId @param {any} message */
  #message(callId, message) {
    if (message.type === "talk.refused") void this.#talk?.lose(message.notice);
    else if (message.type === "talk.ended") void this.#talk?.lose(notice("floor_lost", { detail: message.reason }));
    else if (message.type === "peaks") this.#peaks(message);
    else if (callId !== null) this.#calls.get(callId)?.takeMessage(message);
    else if (message.type === "error") this.emit("notice", notice("server", { words: message.detail ?? message.title }));
  }

  /** @param {any} message */
  #peaks({ step_ms, calls = [] }) {
    for (const { call_control_id: id, ...sides } of calls) this.#calls.get(id)?.takeMessage({ type: "peaks", step_ms, ...sides });
  }

  /** @param {import("./reconnect.js").SocketState} state @param {string} code @param {string} reason */
  #stateChanged(state, code, reason) {
    if (state === "open") this.#everOpen = true;
    const auto = (this.#options.protocol ?? "auto") === "auto";
    if (state === "waiting" && this.legacy && auto && !this.#everOpen) this.#isAwayAltogether();
    const changed = this.state !== state;
    this.state = state;
    if (changed) this.emit("state", { state, legacy: this.legacy });
    if (code) this.emit("notice", notice(code, reason ? { detail: reason } : {}));
  }
}
