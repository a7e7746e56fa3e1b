/** Test signals, and measures of what became of them. */

/** A sine of `count` samples, half of full scale. */
export function sine(frequency, rate, count, amplitude = 0.5) {
  return Float32Array.from({ length: count }, (_, i) => amplitude * Math.sin((2 * Math.PI * frequency * i) / rate));
}

/** Root mean square. */
export function level(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.sqrt(sum / samples.length);
}

/** Signal to everything else, dB, of a sine of known frequency and unknown phase and level (least squares). */
export function snr(samples, frequency, rate) {
  const { c, s } = fit(samples, frequency, rate);
  let signal = 0;
  let noise = 0;
  for (let i = 0; i < samples.length; i++) {
    const angle = (2 * Math.PI * frequency * i) / rate;
    const wanted = c * Math.cos(angle) + s * Math.sin(angle);
    signal += wanted ** 2;
    noise += (samples[i] - wanted) ** 2;
  }
  return 10 * Math.log10(signal / noise);
}

function fit(samples, frequency, rate) {
  let [cc, ss, cs, xc, xs] = [0, 0, 0, 0, 0];
  for (let i = 0; i < samples.length; i++) {
    const angle = (2 * Math.PI * frequency * i) / rate;
    const [cosine, sinus] = [Math.cos(angle), Math.sin(angle)];
    cc += cosine * cosine;
    ss += sinus * sinus;
    cs += cosine * sinus;
    xc += samples[i] * cosine;
    xs += samples[i] * sinus;
  }
  const determinant = cc * ss - cs * cs;
  return { c: (xc * ss - xs * cs) / determinant, s: (xs * cc - xc * cs) / determinant };
}

/** The largest step between neighbours, and the largest bend (change of step): a click has both. */
export function roughness(samples) {
  let step = 0;
  let bend = 0;
  for (let i = 2; i < samples.length; i++) {
    const now = samples[i] - samples[i - 1];
    step = Math.max(step, Math.abs(now));
    bend = Math.max(bend, Math.abs(now - (samples[i - 1] - samples[i - 2])));
  }
  return { step, bend };
}

/** A generator of numbers in [0, 1) that is the same every time (mulberry32). */
export function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
