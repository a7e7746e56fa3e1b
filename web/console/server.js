/**
 * What the page asks of its server over HTTP. Addresses are relative, so that a proxy's prefix is kept. Nothing here raises:
 * an answer that does not come is an answer with status 0.
 */

const TIMEOUT_MS = 4000;
const ACTION_TIMEOUT_MS = 40_000; // a new process may take 20 s to be ready
const OURS = Object.freeze({ "X-Patchbay-Request": "console" });

/**
 * @typedef {object} Answer
 * @property {number} status 0: none came
 * @property {any} value what its JSON says; null when it is none
 * @property {string} words its text, when it is not JSON
 * @property {number} date the server's clock, ms since 1970; NaN when it said nothing
 */

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @param {number} [timeoutMs]
 * @returns {Promise<Answer>}
 */
async function exchange(path, init = {}, timeoutMs = TIMEOUT_MS) {
  try {
    const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(timeoutMs), ...init });
    const isJson = (response.headers.get("content-type") ?? "").startsWith("application/json");
    const value = isJson ? await response.json() : null;
    const words = isJson ? "" : (await response.text()).trim();
    return { status: response.status, value, words, date: Date.parse(response.headers.get("date") ?? "") };
  } catch {
    return { status: 0, value: null, words: "", date: NaN };
  }
}

export const server = {
  calls: () => exchange("api/calls"),
  actors: () => exchange("api/actors"),
  session: () => exchange("api/session"),

  /** The latest events of a call. @param {string} call @param {number} limit */
  events: (call, limit) => exchange(`api/events?limit=${limit}&call=${encodeURIComponent(call)}`),

  /** Restart or roll an actor. @param {string} name "fanout.0" @param {"restart" | "roll"} action */
  act: (name, action) => {
    const headers = { ...OURS, "Content-Type": "application/json" };
    return exchange(`api/actors/${name}/${action}`, { method: "POST", headers, body: "{}" }, ACTION_TIMEOUT_MS);
  },

  /** Show a token, which the server puts into a cookie. @param {string} token */
  signIn: (token) => exchange(`?token=${encodeURIComponent(token)}`),

  signOut: () => exchange("api/session", { method: "DELETE", headers: OURS }),
};
