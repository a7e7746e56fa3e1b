/**
 * Patchbay in a browser: hear live phone calls, talk into them, know what happens to them. See README.md.
 *
 *     import { Patchbay } from "./patchbay.js";
 *     const patchbay = new Patchbay({ url: "https://calls.example", token: fetchToken });
 *     button.onclick = () => patchbay.listen("v3:…");
 */

export { Patchbay } from "./patchbay/client.js";
export { PatchbayError, WORDS } from "./patchbay/notices.js";
export { TRACKS } from "./patchbay/protocol.js";

/** @typedef {import("./patchbay/client.js").PatchbayOptions} PatchbayOptions */
/** @typedef {import("./patchbay/call.js").Call} Call */
/** @typedef {import("./patchbay/call.js").ListenOptions} ListenOptions */
/** @typedef {import("./patchbay/talk.js").Talk} Talk */
/** @typedef {import("./patchbay/call-events.js").CallEvents} CallEvents */
/** @typedef {import("./patchbay/call-events.js").CallEvent} CallEvent */
/** @typedef {import("./patchbay/notices.js").Notice} Notice */
/** @typedef {import("./patchbay/player.js").TrackReport} TrackReport */
