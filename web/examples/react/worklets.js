/** The worklets as files of their own, with what they import: how Vite is asked for that. */
import capture from "patchbay/worklet/capture.js?worker&url";
import playout from "patchbay/worklet/playout.js?worker&url";

export const worklets = { playout, capture };
