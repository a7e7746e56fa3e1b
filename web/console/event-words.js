/** Says in words what an event of a call is about. Pure. */

import { text } from "./format.js";

/**
 * The text for an event: a key of `texts.js` and its values. A type that is not known speaks for itself.
 * @param {any} event
 * @param {{t: (key: string, values?: Record<string, string>) => string, has: (key: string) => boolean}} language
 */
export function eventWords(event, language) {
  const key = `event.${text(event.type)}`;
  if (!language.has(key)) return text(event.type);
  const payload = event.payload ?? {};
  return language.t(key, {
    who: text(payload.sub) || language.t("somebody"),
    digit: text(payload.digit ?? payload.dtmf?.digit),
    name: text(payload.name ?? payload.mark?.name),
    detail: text(payload.detail ?? payload.title ?? payload.payload?.detail),
  });
}

/** What kind it is, for its colour: how a call begins and ends, what goes wrong, the rest. @param {any} event */
export function eventKind(event) {
  const type = text(event.type);
  if (/(failed|error|lost)$/.test(type)) return "bad";
  if (/(answered|bridged|stream\.started)$/.test(type)) return "good";
  if (type.startsWith("floor.")) return "talk";
  return "plain";
}

/** When it was, ms since 1970. @param {any} event */
export function eventTime(event) {
  return Date.parse(event.occurred_at ?? event.occurredAt);
}
