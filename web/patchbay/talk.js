/**
 * Somebody talks into a call: floor, microphone, frames, and what is heard turned down meanwhile. Ends by `stop()`, by the
 * microphone's going, or by the server's taking the floor away.
 */

import { notice, PatchbayError } from "./notices.js";

/** @typedef {import("./connection.js").Connection | import("./legacy.js").LegacyConnection} Connection */

const LOST_NOTICE_AFTER = 25; // frames in a row that could not be sent: half a second

/**
 * What a talk needs of the client.
 * @typedef {object} TalkContext
 * @property {import("./microphone.js").Microphone} microphone
 * @property {import("./audio-output.js").AudioOutput} output
 * @property {() => Promise<Connection>} connected the connection once it is open; rejects with a PatchbayError
 * @property {(given: import("./notices.js").Notice) => void} notify
 */

export class Talk {
  #context;
  #callId;
  /** @type {Connection | null} */
  #connection = null;
  #sequence = 0;
  #unsent = 0;
  #unduck = () => {};
  #over = false;
  /** @type {(reason: string) => void} */
  #settle = () => {};

  /** Resolves, with why, when the talk is over: "stopped", or the code of a notice. @type {Promise<string>} */
  ended;

  /** @param {TalkContext} context @param {string} callId */
  constructor(context, callId) {
    this.#context = context;
    this.#callId = callId;
    this.ended = new Promise((resolve) => (this.#settle = resolve));
  }

  /** Whether what is said goes out. */
  get live() {
    return this.#sequence > 0 && !this.#over;
  }

  /** Take the floor and begin. Rejects with a PatchbayError, and the talk is over; so it is after `stop()` meanwhile. */
  async start() {
    const { microphone, connected, output } = this.#context;
    try {
      // The microphone first: asking the user for it may take a while, in which nobody should have the floor.
      await microphone.open();
      await output.start();
      const connection = await connected();
      if (this.#over) return this;
      this.#connection = connection;
      const { talk, codec } = await connection.startTalk(this.#callId);
      if (this.#over) {
        connection.stopTalk(this.#callId);
        return this;
      }
      this.#unduck = output.duck();
      microphone.start(codec, (payload) => this.#send({ talk, codec, payload }));
    } catch (error) {
      const known = error instanceof PatchbayError;
      const failure = known ? error : new PatchbayError(notice("microphone_failed", { detail: String(error) }));
      this.#context.notify({ ...failure.notice, call: this.#callId });
      await this.#end(failure.code);
      throw failure;
    }
    return this;
  }

  /** The last frame goes out, the floor is free. */
  stop() {
    return this.#end("stopped");
  }

  /** The server, or the machine, has ended it. @param {import("./notices.js").Notice} why */
  async lose(why) {
    if (this.#over) return;
    this.#context.notify({ ...why, call: this.#callId });
    await this.#end(why.code);
  }

  /** @param {string} reason */
  async #end(reason) {
    if (this.#over) return;
    this.#over = true;
    await this.#context.microphone.stop();
    this.#connection?.stopTalk(this.#callId);
    this.#unduck();
    this.#settle(reason);
  }

  /** @param {{talk: number, codec: "PCMU" | "PCMA", payload: Uint8Array}} frame */
  #send(frame) {
    const sent = this.#connection?.sendTalk(this.#callId, { ...frame, sequence: this.#sequence++ });
    this.#unsent = sent ? 0 : this.#unsent + 1;
    if (this.#unsent === LOST_NOTICE_AFTER) this.#context.notify(notice("talk_lost", { call: this.#callId }));
  }
}
