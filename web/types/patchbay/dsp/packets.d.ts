/** @typedef {"kept" | "late" | "duplicate" | "restart"} Verdict */
export class Packets {
    /** The number of the next frame to play. */
    head: number;
    /** How many numbers there are from `head` to the newest, gaps included. */
    span: number;
    /** How many frames are held. */
    count: number;
    /** Frames dropped since later ones needed the room. */
    overflowed: number;
    /** Forget everything; the next frame begins anew. */
    clear(): void;
    /**
     * Take a frame in.
     * @param {number} sequence
     * @param {Uint8Array} payload
     * @returns {Verdict} "restart": the numbering has begun anew here, what was held is gone
     */
    put(sequence: number, payload: Uint8Array): Verdict;
    /** The frame whose turn it is, or null when it is missing. It is gone after; the next one's turn comes. */
    take(): Uint8Array<ArrayBufferLike> | null;
    /** The frame whose turn it is, left where it is. */
    peek(): Uint8Array<ArrayBufferLike> | null;
    #private;
}
export type Verdict = "kept" | "late" | "duplicate" | "restart";
