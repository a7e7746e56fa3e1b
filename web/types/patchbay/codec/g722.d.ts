/** A decoder of one stream. */
export class G722Decoder {
    low: Band;
    high: Band;
    x: Int32Array<ArrayBuffer>;
    /**
     * Decode into `out` (-1..1); returns how many samples that are: two for each byte.
     * @param {Uint8Array} payload
     * @param {Float32Array} out
     */
    decode(payload: Uint8Array, out: Float32Array): number;
    #private;
}
/** The adaptive predictor and scale factor of one sub-band. */
declare class Band {
    /** @param {number} det scale factor to begin with */
    constructor(det: number);
    det: number;
    nb: number;
    s: number;
    sz: number;
    r: Int32Array<ArrayBuffer>;
    p: Int32Array<ArrayBuffer>;
    a: Int32Array<ArrayBuffer>;
    b: Int32Array<ArrayBuffer>;
    d: Int32Array<ArrayBuffer>;
    /**
     * Blocks 3L/3H: logarithmic scale factor, and the linear one of it.
     * @param {number} step @param {number} highest @param {number} shift
     */
    scale(step: number, highest: number, shift: number): void;
    /**
     * Block 4: adapt the predictor to the quantised difference, predict the next sample.
     * @param {number} difference
     */
    adapt(difference: number): void;
    #private;
}
export {};
