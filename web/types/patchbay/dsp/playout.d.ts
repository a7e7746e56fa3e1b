/** @typedef {ReturnType<Playout["statistics"]>} PlayoutStatistics */
export class Playout {
    /** @param {number} outRate Hz */
    constructor(outRate: number);
    /**
     * A frame has come.
     * @param {object} frame
     * @param {number} frame.stream a newer stream of the call has a higher number; an older one's frames are refused
     * @param {number} frame.sequence counts this track's frames without a gap, 32 bits
     * @param {string} frame.codec
     * @param {number} frame.sampleRate
     * @param {Uint8Array} frame.payload kept, not copied
     * @param {number} now
     */
    push({ stream, sequence, codec, sampleRate, payload }: {
        stream: number;
        sequence: number;
        codec: string;
        sampleRate: number;
        payload: Uint8Array;
    }, now: number): void;
    /** Nothing was played for a while, or what is held has lost its worth: forget it, begin anew with what comes. */
    flush(): void;
    /** Forget the streams too: their numbers begin anew. */
    reset(): void;
    /**
     * Make samples: always as many as asked for.
     * @param {Float32Array} out
     * @param {number} now
     */
    render(out: Float32Array, now: number): void;
    /** What happened so far, and how it stands. Times are seconds. */
    statistics(): {
        dropped: number;
        playing: boolean;
        stream: number;
        sequence: number;
        buffer: number;
        delay: number;
        target: number;
        rate: number;
        played: number;
        concealed: number;
        lost: number;
        late: number;
        duplicates: number;
        underruns: number;
        skipped: number;
        jumps: number;
        malformed: number;
        restarts: number;
    };
    #private;
}
export type PlayoutStatistics = ReturnType<Playout["statistics"]>;
