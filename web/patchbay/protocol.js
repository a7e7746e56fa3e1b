/**
 * The wire format of `patchbay.v1`: binary audio with a header of 20 bytes, and what a close code means. Pure.
 * docs/protocol-v1.md has the whole of it. All numbers are little endian.
 */

/** The WebSocket subprotocol. */
export const SUBPROTOCOL = "patchbay.v1";
/** Prefix of the subprotocol entry that carries an access token. */
export const TOKEN_PREFIX = "patchbay.token.";

export const HEADER_BYTES = 20;
const KIND_AUDIO = 1;
const KIND_TALK = 2;
const FLAG_REPLAYED = 1;
const PAYLOAD_MAX_BYTES = 16384;

/** Tracks by their number on the wire. */
export const TRACKS = Object.freeze(/** @type {const} */ (["inbound", "outbound"]));
/** @typedef {"inbound" | "outbound"} Track */

/** Codecs by their number on the wire. */
export const WIRE_CODECS = Object.freeze([
  { codec: "PCMU", sampleRate: 8000 },
  { codec: "PCMA", sampleRate: 8000 },
  { codec: "G722", sampleRate: 8000 },
  { codec: "L16", sampleRate: 8000 },
  { codec: "L16", sampleRate: 16000 },
  { codec: "L16", sampleRate: 24000 },
  { codec: "L16", sampleRate: 48000 },
]);

/**
 * @typedef {object} AudioMessage
 * @property {number} call the call's number on this connection
 * @property {number} track index in TRACKS
 * @property {number} stream
 * @property {number} sequence
 * @property {number} timestamp ms since the stream began
 * @property {string} codec
 * @property {number} sampleRate
 * @property {boolean} replayed whether it was said before this listener joined
 * @property {Uint8Array<ArrayBuffer>} payload a view into the message
 */

/**
 * Read a binary message; null for what is not audio or of a kind of the future.
 * @param {ArrayBuffer} message
 * @returns {AudioMessage | null}
 */
export function unpackAudio(message) {
  if (message.byteLength <= HEADER_BYTES || message.byteLength > HEADER_BYTES + PAYLOAD_MAX_BYTES) return null;
  const view = new DataView(message);
  const format = WIRE_CODECS[view.getUint8(2)];
  const track = view.getUint8(1);
  if (view.getUint8(0) !== KIND_AUDIO || !format || track >= TRACKS.length) return null;
  return {
    call: view.getUint16(4, true),
    track,
    stream: view.getUint32(8, true),
    sequence: view.getUint32(12, true),
    timestamp: view.getUint32(16, true),
    codec: format.codec,
    sampleRate: format.sampleRate,
    replayed: (view.getUint8(3) & FLAG_REPLAYED) !== 0,
    payload: new Uint8Array(message, HEADER_BYTES),
  };
}

/**
 * Make a binary message of 20 ms of talk.
 * @param {object} talk
 * @param {number} talk.call the call's number on this connection
 * @param {number} talk.talk the number that `talk.started` gave
 * @param {number} talk.sequence counts the frames of this talk from 0
 * @param {"PCMU" | "PCMA"} talk.codec
 * @param {Uint8Array} talk.payload 160 bytes
 * @returns {ArrayBuffer}
 */
export function packTalk({ call, talk, sequence, codec, payload }) {
  const message = new ArrayBuffer(HEADER_BYTES + payload.length);
  const view = new DataView(message);
  view.setUint8(0, KIND_TALK);
  view.setUint8(2, codec === "PCMA" ? 1 : 0);
  view.setUint16(4, call, true);
  view.setUint32(8, talk, true);
  view.setUint32(12, sequence, true);
  view.setUint32(16, sequence * 20, true);
  new Uint8Array(message, HEADER_BYTES).set(payload);
  return message;
}

/**
 * @typedef {object} ClosePolicy
 * @property {boolean} again whether to come back
 * @property {boolean} soon whether at once (a restart), instead of waiting longer each time
 * @property {string} notice code of what to tell the user; "" for nothing
 */

const SOON = [1001, 1012, 4000, 4001, 4008];
/** @type {Record<number, string>} */
const REFUSALS = {
  1008: "refused",
  4501: "token_refused",
  4502: "token_expired",
  4503: "not_allowed",
  4504: "protocol_error",
  4505: "too_many_connections",
};

/**
 * What a close code asks for. 4000-4499: come back. 4500-4999: do not, unchanged; 4502 with a new token.
 * @param {number} code
 * @returns {ClosePolicy}
 */
export function closePolicy(code) {
  const notice = REFUSALS[code] ?? "";
  const final = code === 1008 || code === 1002 || (code >= 4500 && code <= 4999);
  return { again: !final || code === 4502, soon: SOON.includes(code), notice };
}
