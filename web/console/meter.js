/** What the server's meter says of a call: the delay from Telnyx to a listener's ear. Pure. */

/**
 * The longest delay of a call's listeners that report theirs, in ms; null where nobody does.
 * @param {any} told one entry of /api/calls
 * @returns {number | null}
 */
export function earDelay(told) {
  const delays = Array.isArray(told?.hearing) ? told.hearing.map((/** @type {any} */ one) => one?.ear_ms) : [];
  const known = delays.filter((/** @type {unknown} */ delay) => typeof delay === "number" && Number.isFinite(delay));
  return known.length ? Math.max(...known) : null;
}
