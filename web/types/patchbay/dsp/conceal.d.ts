/** The recent past of one channel at one rate. */
export class Concealer {
    /** @param {number} rate Hz */
    constructor(rate: number);
    rate: number;
    /** Whether a loss is being concealed. */
    get running(): boolean;
    /** Whether what it makes can be heard. */
    get audible(): boolean;
    /** Seconds concealed since the loss began. */
    get concealed(): number;
    /** Silence came before. */
    reset(): void;
    /**
     * Sound that will be heard next. Where it follows on a loss or a cut, its beginning is blended with what went before.
     * @param {Float32Array} samples changed in place
     * @param {number} count
     * @param {boolean} [cut] it does not follow on what came before
     */
    hear(samples: Float32Array, count: number, cut?: boolean): void;
    /**
     * Sound for where there is none.
     * @param {Float32Array} out
     * @param {number} count
     */
    conceal(out: Float32Array, count: number): void;
    #private;
}
