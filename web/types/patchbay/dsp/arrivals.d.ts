export class Arrivals {
    /** Arrival minus media time of the fastest frame; NaN before the first one. */
    fastest: number;
    /** How long audio should wait between its arrival, had it come the fastest way, and being played; seconds. */
    get target(): number;
    /**
     * Frames are going to start, or to start again: what was waiting for that is let pass without being counted as jitter.
     * @param {number} now
     */
    settle(now: number): void;
    /** Whether a start is so recent that frames may still come in a heap. @param {number} now */
    settling(now: number): boolean;
    /**
     * A frame has come.
     * @param {number} now
     * @param {number} media media time of the frame, seconds
     */
    add(now: number, media: number): void;
    /** The buffer ran empty. @param {number} now */
    underrun(now: number): void;
    /** Time passes: an underrun's effect wears off. @param {number} now */
    wear(now: number): void;
    #private;
}
