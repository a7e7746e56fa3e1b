/** Where a server's sockets are. Pure, but for where the page is. */

/**
 * The URL of a socket from whatever was given: a server, a path of it, or one of its sockets. Nothing given: where the page is.
 * @param {string | URL | undefined} given
 * @param {"audio-stream" | "call-events"} path
 */
export function socketUrl(given, path) {
  const page = globalThis.location?.href;
  const url = given === undefined ? new URL(".", page) : new URL(given, page);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  const before = url.pathname.replace(/(\/(audio-stream|frontend-audio|call-events))?\/*$/, "");
  url.pathname = `${before}/${path}`;
  return url.href;
}
