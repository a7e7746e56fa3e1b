/** Turns values into what is read on the page, where that does not depend on the language. Pure: no DOM, no clock. */

/**
 * Seconds as "1:02:03" or "2:03".
 * @param {number} seconds
 */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

const G722_RATE = 16_000; // its clock is said to be 8000, by an old mistake that is kept (RFC 3551)

/**
 * "PCMU 8 kHz".
 * @param {unknown} name
 * @param {unknown} sampleRate
 */
export function codec(name, sampleRate) {
  const heard = name === "G722" ? G722_RATE : sampleRate;
  const rate = typeof heard === "number" && heard > 0 ? `${heard / 1000} kHz` : "";
  return [text(name), rate].filter(Boolean).join(" ");
}

/**
 * Anything as text; nothing as "".
 * @param {unknown} value
 */
export function text(value) {
  return value === null || value === undefined ? "" : String(value);
}

const SPACED = /** @type {const} */ ([
  [/^(\+1)(\d{3})(\d{3})(\d{4})$/, "$1 $2 $3 $4"],
  [/^(\+33)(\d)(\d\d)(\d\d)(\d\d)(\d\d)$/, "$1 $2 $3 $4 $5 $6"],
]);

/**
 * A telephone number with narrow gaps, which do not break, where its country has them; anything else as it is.
 * @param {unknown} value
 */
export function phone(value) {
  const given = text(value);
  for (const [shape, spaced] of SPACED) {
    if (shape.test(given)) return given.replace(shape, spaced).replaceAll(" ", "\u202f");
  }
  return given;
}

/**
 * Mebibytes, to the nearest.
 * @param {unknown} bytes
 */
export function mebibytes(bytes) {
  return typeof bytes === "number" ? Math.round(bytes / 2 ** 20) : null;
}

/**
 * The end of a call id, which is where they differ.
 * @param {string} id
 */
export function shortId(id) {
  return id.length > 14 ? `…${id.slice(-10)}` : id;
}
