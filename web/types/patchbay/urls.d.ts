/** Where a server's sockets are. Pure, but for where the page is. */
/**
 * The URL of a socket from whatever was given: a server, a path of it, or one of its sockets. Nothing given: where the page is.
 * @param {string | URL | undefined} given
 * @param {"audio-stream" | "call-events"} path
 */
export function socketUrl(given: string | URL | undefined, path: "audio-stream" | "call-events"): string;
