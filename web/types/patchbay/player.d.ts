/** @typedef {import("./dsp/playout.js").PlayoutStatistics & {peak: number}} TrackReport */
/** @typedef {"mixed" | "split"} Layout */
export class Player {
    /**
     * @param {import("./audio-output.js").AudioOutput} output
     * @param {(report: TrackReport[]) => void} onReport
     */
    static create(output: import("./audio-output.js").AudioOutput, onReport: (report: TrackReport[]) => void): Promise<Player>;
    /**
     * @param {import("./audio-output.js").AudioOutput} output its worklet is loaded
     * @param {(report: TrackReport[]) => void} onReport
     */
    constructor(output: import("./audio-output.js").AudioOutput, onReport: (report: TrackReport[]) => void);
    /** Frames that came while the browser played nothing. */
    unheard: number;
    /** The node whose outputs are the tracks, for meters and the like. */
    get node(): AudioWorkletNode;
    /** How it stood at the last report. */
    get report(): TrackReport[];
    /**
     * A frame to be played. While the browser plays nothing it is dropped: nothing piles up.
     * @param {import("./connection.js").Frame} frame its payload's buffer is given away
     */
    push({ track, stream, sequence, codec, sampleRate, payload }: import("./connection.js").Frame): void;
    /** Stream numbers begin anew. */
    reset(): void;
    /**
     * @param {number} track index in TRACKS
     * @param {number} volume 0..1 and up to 4
     */
    setVolume(track: number, volume: number): void;
    /** @param {number} track @param {boolean} muted */
    setMuted(track: number, muted: boolean): void;
    /** Both sides in the middle, or the first on the left and the second on the right. @param {Layout} layout */
    setLayout(layout: Layout): void;
    close(): void;
    #private;
}
export type TrackReport = import("./dsp/playout.js").PlayoutStatistics & {
    peak: number;
};
export type Layout = "mixed" | "split";
