/** How well a call is heard, from the library's reports and the server's meter. Pure. */

/** @typedef {import("../patchbay/player.js").TrackReport} TrackReport */

/**
 * @typedef {object} Figures
 * @property {number} delay ms from the arrival here to the ear
 * @property {number} buffer ms
 * @property {number} lost frames
 * @property {number} concealed seconds
 */

/**
 * The worse side counts for times; frames and made-up sound are those of both.
 * @param {TrackReport[]} report
 * @param {number} outputLatency seconds
 * @returns {Figures | null} null while nothing is played
 */
export function figures(report, outputLatency) {
  const playing = report.filter((track) => track.playing);
  if (playing.length === 0) return null;
  const most = (/** @type {"delay" | "buffer"} */ name) => Math.max(...playing.map((track) => track[name]));
  const sum = (/** @type {"lost" | "concealed"} */ name) => report.reduce((all, track) => all + track[name], 0);
  return {
    delay: Math.max(0, Math.round((most("delay") + (outputLatency || 0)) * 1000)),
    buffer: Math.max(0, Math.round(most("buffer") * 1000)),
    lost: sum("lost"),
    concealed: sum("concealed"),
  };
}
