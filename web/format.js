/** Turns values into the words and numbers of the page. Pure: no DOM, no clock. */

/** Seconds as "1:02:03" or "2:03". */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A count with separators; a dash for what is no number. */
export function count(value) {
  return Number.isFinite(value) ? value.toLocaleString("en") : "–";
}

/** "PCMU 8 kHz". */
export function codec(name, sampleRate) {
  const rate = Number.isFinite(sampleRate) ? `${sampleRate / 1000} kHz` : "";
  return [text(name), rate].filter(Boolean).join(" ");
}

/** What is said of an actor under its state. */
export function actorDetails(actor) {
  const parts = [];
  if (actor.pid) parts.push(`pid ${actor.pid}`);
  if (Number.isFinite(actor.uptime_s)) parts.push(`up ${duration(actor.uptime_s)}`);
  parts.push(actor.restarts === 1 ? "1 restart" : `${count(actor.restarts)} restarts`);
  if (actor.state !== "READY" && actor.last_exit) parts.push(text(actor.last_exit));
  return parts.join(" · ");
}

/** Anything as text; nothing as "". */
export function text(value) {
  return value === null || value === undefined ? "" : String(value);
}
