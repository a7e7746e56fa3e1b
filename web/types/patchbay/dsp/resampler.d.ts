/** Samples go in with `write`, come out with `read`. */
export class Resampler {
    /**
     * @param {number} inRate Hz
     * @param {number} outRate Hz
     * @param {object} [options]
     * @param {number} [options.cutoff] where the filter is at -6 dB, as a part of half the lower rate
     * @param {number} [options.capacity] samples that fit in beside the filter's own
     */
    constructor(inRate: number, outRate: number, { cutoff, capacity }?: {
        cutoff?: number | undefined;
        capacity?: number | undefined;
    });
    /** Delay of the filter, in input samples. */
    get delay(): number;
    /** Input samples that wait to be used, without those the filter looks back at. */
    get waiting(): number;
    /** Forget everything: silence came before. */
    reset(): void;
    /**
     * Take `count` samples in. Returns false, and takes none, when they don't fit.
     * @param {Float32Array} samples
     * @param {number} count
     */
    write(samples: Float32Array, count: number): boolean;
    /**
     * Make up to `count` samples; returns how many there was input for.
     * @param {Float32Array} out
     * @param {number} offset where in `out` to begin
     * @param {number} count
     * @param {number} [ratio] how much faster than the two rates say the input is used up
     */
    read(out: Float32Array, offset: number, count: number, ratio?: number): number;
    #private;
}
