/**
 * The frames of one track that wait to be played, by their sequence number. Pure, and bounded by its slots.
 *
 * Nothing is played twice: what is older than the next frame to play is refused. Sequence numbers are of 32 bits and may
 * wrap round.
 */

const SLOTS = 64; // 1.28 s of 20 ms frames
const MASK = SLOTS - 1;
const RESTART_JUMP = 1000; // so far off is no lateness and no loss: the numbering has begun anew

// A shorter jump back shows itself by frames that all come too late and yet in order: after 1 s they are the stream.
const RESTART_RUN = 50;

/** @typedef {"kept" | "late" | "duplicate" | "restart"} Verdict */

export class Packets {
  /** @type {(Uint8Array | null)[]} */
  #slots = new Array(SLOTS).fill(null);
  #played = new Uint8Array(SLOTS); // whether the number that last used a slot was played, not given up
  #begun = false;
  #taken = false; // whether any frame has been taken out since the numbering began
  #behindLast = 0;
  #behindRun = 0;

  /** The number of the next frame to play. */
  head = 0;
  /** How many numbers there are from `head` to the newest, gaps included. */
  span = 0;
  /** How many frames are held. */
  count = 0;
  /** Frames dropped since later ones needed the room. */
  overflowed = 0;

  /** Forget everything; the next frame begins anew. */
  clear() {
    this.#slots.fill(null);
    this.#begun = false;
    this.span = 0;
    this.count = 0;
  }

  /**
   * Take a frame in.
   * @param {number} sequence
   * @param {Uint8Array} payload
   * @returns {Verdict} "restart": the numbering has begun anew here, what was held is gone
   */
  put(sequence, payload) {
    if (!this.#begun) {
      this.#begin(sequence, payload);
      return "kept";
    }
    const ahead = (sequence - this.head) | 0;
    if (Math.abs(ahead) >= RESTART_JUMP) {
      this.clear();
      this.#begin(sequence, payload);
      return "restart";
    }
    if (ahead < 0) return this.#early(sequence, payload, -ahead);
    this.#behindRun = 0;
    if (ahead >= SLOTS) this.#makeRoom(ahead);
    const slot = sequence & MASK;
    if (this.#slots[slot]) return "duplicate";
    this.#slots[slot] = payload;
    this.count++;
    this.span = Math.max(this.span, ((sequence - this.head) | 0) + 1);
    return "kept";
  }

  /** The frame whose turn it is, or null when it is missing. It is gone after; the next one's turn comes. */
  take() {
    const slot = this.head & MASK;
    const payload = this.#slots[slot];
    this.#slots[slot] = null;
    this.#taken = true;
    this.#played[slot] = payload ? 1 : 0;
    if (payload) this.count--;
    if (this.span > 0) this.span--;
    this.head = (this.head + 1) >>> 0;
    return payload;
  }

  /** The frame whose turn it is, left where it is. */
  peek() {
    return this.#slots[this.head & MASK];
  }

  /** @param {number} sequence @param {Uint8Array} payload */
  #begin(sequence, payload) {
    this.#begun = true;
    this.#taken = false;
    this.#behindRun = 0;
    this.#played.fill(0);
    this.head = sequence >>> 0;
    this.#slots[sequence & MASK] = payload;
    this.span = 1;
    this.count = 1;
  }

  /**
   * An earlier one than the first: before anything was taken out it may still become the first.
   * @param {number} sequence @param {Uint8Array} payload @param {number} behind
   * @returns {Verdict}
   */
  #early(sequence, payload, behind) {
    if (!this.#taken && behind + this.span <= SLOTS) {
      this.head = sequence >>> 0;
      this.#slots[sequence & MASK] = payload;
      this.span += behind;
      this.count++;
      return "kept";
    }
    this.#behindRun = ((sequence - this.#behindLast) | 0) > 0 ? this.#behindRun + 1 : 1;
    this.#behindLast = sequence;
    if (this.#behindRun >= RESTART_RUN) {
      this.clear();
      this.#begin(sequence, payload);
      return "restart";
    }
    return behind <= SLOTS && this.#played[sequence & MASK] ? "duplicate" : "late";
  }

  /** @param {number} ahead */
  #makeRoom(ahead) {
    for (let excess = ahead - SLOTS + 1; excess > 0; excess--) {
      if (this.take()) this.overflowed++;
    }
  }
}
