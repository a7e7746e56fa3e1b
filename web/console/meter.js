/** What the server's meter says of those who hear a call: the delay from Telnyx to each listener's ear. Pure. */

/**
 * @typedef {object} Hearer
 * @property {string} connection
 * @property {string} sub of the token; "" when there is none
 * @property {number | null} ear ms; null while nothing is played
 */

/** @param {any} told one entry of /api/calls @returns {Hearer[]} those that report how they hear */
export function hearers(told) {
  const list = Array.isArray(told?.playout) ? told.playout : [];
  return list.map((/** @type {any} */ one) => ({
    connection: String(one?.connection ?? ""),
    sub: typeof one?.sub === "string" ? one.sub : "",
    ear: typeof one?.ear_ms === "number" ? one.ear_ms : null,
  }));
}
