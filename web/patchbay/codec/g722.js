/**
 * G.722 at 64 kbit/s (ITU-T G.722): one byte to two samples at 16 kHz. Pure; bit-exact with the Recommendation.
 *
 * Block numbers in comments are the Recommendation's. All arithmetic is of 16 and 32 bits, hence the shifts.
 */

const WL = [-60, -30, 58, 172, 334, 538, 1198, 3042];
const RL42 = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
const ILB = [
  2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025, 3091,
  3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
const WH = [0, -214, 798];
const RH2 = [2, 1, 2, 1];
const QM2 = [-7408, -1616, 7408, 1616];
const QM4 = [
  0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
];
const QM6 = [
  -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576, -7856,
  -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040, -728, 24808,
  21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576,
  3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
const QMF = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/** @param {number} value */
function saturate(value) {
  return value > 32767 ? 32767 : value < -32768 ? -32768 : value;
}

/** @param {number} value @param {number} low @param {number} high */
function limit(value, low, high) {
  return value > high ? high : value < low ? low : value;
}

/** The adaptive predictor and scale factor of one sub-band. */
class Band {
  /** @param {number} det scale factor to begin with */
  constructor(det) {
    this.det = det;
    this.nb = 0;
    this.s = 0;
    this.sz = 0;
    this.r = new Int32Array(3);
    this.p = new Int32Array(3);
    this.a = new Int32Array(3);
    this.b = new Int32Array(7);
    this.d = new Int32Array(7);
  }

  /**
   * Blocks 3L/3H: logarithmic scale factor, and the linear one of it.
   * @param {number} step @param {number} highest @param {number} shift
   */
  scale(step, highest, shift) {
    this.nb = limit(((this.nb * 127) >> 7) + step, 0, highest);
    const mantissa = ILB[(this.nb >> 6) & 31];
    const down = shift - (this.nb >> 11);
    this.det = (down < 0 ? mantissa << -down : mantissa >> down) << 2;
  }

  /**
   * Block 4: adapt the predictor to the quantised difference, predict the next sample.
   * @param {number} difference
   */
  adapt(difference) {
    const { r, p, d } = this;
    d[0] = difference;
    r[0] = saturate(this.s + difference);
    p[0] = saturate(this.sz + difference);
    this.#adaptPoles();
    this.#adaptZeros(difference);
    for (let i = 6; i > 0; i--) d[i] = d[i - 1];
    for (let i = 2; i > 0; i--) {
      r[i] = r[i - 1];
      p[i] = p[i - 1];
    }
    this.#predict();
  }

  #adaptPoles() {
    const { p, a } = this;
    const now = p[0] >> 15;
    const steep = saturate(a[1] << 2);
    const turned = Math.min(now === p[1] >> 15 ? -steep : steep, 32767);
    const lean = (now === p[2] >> 15 ? 128 : -128) + (turned >> 7) + ((a[2] * 32512) >> 15);
    const second = limit(lean, -12288, 12288);
    const first = saturate((now === p[1] >> 15 ? 192 : -192) + ((a[1] * 32640) >> 15));
    const bound = saturate(15360 - second);
    a[2] = second;
    a[1] = limit(first, -bound, bound);
  }

  /** @param {number} difference */
  #adaptZeros(difference) {
    const { b, d } = this;
    const step = difference === 0 ? 0 : 128;
    for (let i = 1; i < 7; i++) {
      const grows = d[i] >> 15 === difference >> 15;
      b[i] = saturate((grows ? step : -step) + ((b[i] * 32640) >> 15));
    }
  }

  #predict() {
    const { r, a, b, d } = this;
    const poles = saturate(((a[1] * saturate(r[1] + r[1])) >> 15) + ((a[2] * saturate(r[2] + r[2])) >> 15));
    let zeros = 0;
    for (let i = 6; i > 0; i--) zeros += (b[i] * saturate(d[i] + d[i])) >> 15;
    this.sz = saturate(zeros);
    this.s = saturate(poles + this.sz);
  }
}

/** A decoder of one stream. */
export class G722Decoder {
  constructor() {
    this.low = new Band(32);
    this.high = new Band(8);
    this.x = new Int32Array(24);
  }

  /**
   * Decode into `out` (-1..1); returns how many samples that are: two for each byte.
   * @param {Uint8Array} payload
   * @param {Float32Array} out
   */
  decode(payload, out) {
    let at = 0;
    for (let i = 0; i < payload.length; i++) {
      this.#push(payload[i]);
      const { x } = this;
      let even = 0;
      let odd = 0;
      for (let k = 0; k < 12; k++) {
        odd += x[2 * k] * QMF[k];
        even += x[2 * k + 1] * QMF[11 - k];
      }
      out[at++] = saturate(even >> 11) / 32768;
      out[at++] = saturate(odd >> 11) / 32768;
    }
    return at;
  }

  /** @param {number} code */
  #push(code) {
    const { low, high, x } = this;
    const six = code & 0x3f;
    const four = six >> 2;
    const rlow = limit(low.s + ((low.det * QM6[six]) >> 15), -16384, 16383);
    const dlow = (low.det * QM4[four]) >> 15;
    low.scale(WL[RL42[four]], 18432, 8);
    low.adapt(dlow);

    const two = code >> 6;
    const dhigh = (high.det * QM2[two]) >> 15;
    const rhigh = limit(dhigh + high.s, -16384, 16383);
    high.scale(WH[RH2[two]], 22528, 10);
    high.adapt(dhigh);

    x.copyWithin(0, 2);
    x[22] = rlow + rhigh;
    x[23] = rlow - rhigh;
  }
}
