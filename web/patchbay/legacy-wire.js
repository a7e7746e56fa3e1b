/**
 * The small change of the legacy protocol: RTP headers, base64, and sequence numbers out of Telnyx's chunk numbers. Pure.
 */

const RTP_HEADER_BYTES = 12;
const FRAME_SAMPLES = 160;
const STEP_MAX = 4; // chunk numbers from one frame of a track to the next, when tracks share a numbering
const STEP_EVIDENCE = 3; // equal steps in a row that are believed
const REPLAYED_MAX = 100; // chunk numbers that may come again on another socket: the last moments before it opened

/** @param {Uint8Array} bytes */
export function toBase64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

/** Bytes of base64; none where it is not base64. @param {unknown} text @returns {Uint8Array<ArrayBuffer>} */
export function fromBase64(text) {
  try {
    const binary = atob(String(text));
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  } catch {
    return new Uint8Array(0);
  }
}

/**
 * A whole RTP packet (RFC 3550 §5.1) of 20 ms of G.711.
 * @param {Uint8Array} payload @param {number} sequence from 0 for each talk
 * @param {"PCMU" | "PCMA"} codec @param {number} ssrc
 */
export function rtpPacket(payload, sequence, codec, ssrc) {
  const packet = new Uint8Array(RTP_HEADER_BYTES + payload.length);
  const view = new DataView(packet.buffer);
  view.setUint8(0, 0x80);
  view.setUint8(1, (codec === "PCMA" ? 8 : 0) | (sequence === 0 ? 0x80 : 0));
  view.setUint16(2, sequence & 0xffff);
  view.setUint32(4, (sequence * FRAME_SAMPLES) >>> 0);
  view.setUint32(8, ssrc >>> 0);
  packet.set(payload, RTP_HEADER_BYTES);
  return packet;
}

/**
 * One track's chunk numbers to numbers without gaps: where both tracks share a numbering, a step is 2; and where Telnyx's
 * numbers begin anew (after a hold, say), these go on.
 */
class Track {
  #chunk = NaN;
  #step = 1;
  #candidate = 0;
  #evidence = 0;
  #number = 0;
  #replays = false;
  #isFirst = true;

  /** Another socket: its first frames may be those that were heard last. */
  reconnected() {
    this.#replays = true;
  }

  /** @param {number} chunk NaN: there is none, the frame follows on the last one */
  next(chunk) {
    if (Number.isNaN(chunk)) return this.#number++;
    if (Number.isNaN(this.#chunk)) this.#begin(chunk);
    const distance = chunk - this.#chunk;
    const beginsAnew = this.#beginsAnew(distance);
    this.#learn(distance);
    this.#chunk = chunk;
    this.#number += beginsAnew ? 1 : Math.round(distance / this.#step);
    return this.#number >>> 0;
  }

  /** The server sends a frame once on a socket, and in order. @param {number} distance */
  #beginsAnew(distance) {
    const least = this.#replays ? -REPLAYED_MAX : this.#isFirst ? 0 : 1;
    this.#replays = this.#isFirst = false;
    return distance < least;
  }

  /** @param {number} chunk */
  #begin(chunk) {
    this.#chunk = chunk;
    this.#number = chunk;
  }

  /** @param {number} distance */
  #learn(distance) {
    if (distance < 1 || distance > STEP_MAX) return;
    this.#evidence = distance === this.#candidate ? this.#evidence + 1 : 1;
    this.#candidate = distance;
    if (distance < this.#step || this.#evidence >= STEP_EVIDENCE) this.#step = distance;
  }
}

/** Numbers for the streams and frames of one socket, going on over its reconnects. */
export class Numbering {
  #streams = new Map();
  #tracks = [new Track(), new Track()];
  #stream = 0;
  #bareGap = false;

  /** Another socket. Without chunk numbers nobody knows what was missed: leave a number out, so that the seam is concealed. */
  reconnected() {
    this.#bareGap = true;
    for (const track of this.#tracks) track.reconnected();
  }

  /**
   * The number of a stream: a new one has a higher number than all before.
   * @param {string} streamId
   */
  startStream(streamId) {
    let number = this.#streams.get(streamId);
    if (number === undefined) {
      number = this.#streams.size + 1;
      this.#streams.set(streamId, number);
    }
    if (number > this.#stream) {
      this.#stream = number;
      this.#tracks = [new Track(), new Track()];
    }
    return number;
  }

  /**
   * The number of a frame.
   * @param {number} track
   * @param {unknown} chunk as Telnyx says it: digits, or nothing
   */
  number(track, chunk) {
    const digits = typeof chunk === "string" && chunk !== "" ? Number(chunk) : NaN;
    if (Number.isNaN(digits) && this.#bareGap) {
      this.#bareGap = false;
      this.#tracks[track].next(NaN);
    }
    return this.#tracks[track].next(digits);
  }
}
