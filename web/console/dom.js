/** The few helpers that the page's modules make DOM with. Text only ever becomes text, never markup. */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [properties] `data`: of dataset, `attributes`: as attributes; else properties
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, properties = {}, ...children) {
  const { data = {}, attributes = {}, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** Set an element's text, if it is another. @param {Node} element @param {string} value */
export function write(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Set an attribute, if it is another; null removes it. @param {Element} element @param {string} name @param {string | null} value */
export function mark(element, name, value) {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

const SVG = "http://www.w3.org/2000/svg";

/** A line drawing of 20 by 20. @param {string} path @param {string} [name] class */
export function icon(path, name = "") {
  const svg = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  for (const [key, value] of [["viewBox", "0 0 20 20"], ["aria-hidden", "true"], ["focusable", "false"]]) {
    svg.setAttribute(key, value);
  }
  if (name) svg.setAttribute("class", name);
  return svg;
}

export const ICONS = Object.freeze({
  more: "m5 12.5 5-5 5 5",
  ears: "M4 12.5V10a6 6 0 0 1 12 0v2.5M4 12.5a1.5 1.5 0 0 1 3 0v2a1.5 1.5 0 0 1-3 0zM13 12.5a1.5 1.5 0 0 1 3 0v2a1.5 1.5 0 0 1-3 0z",
  play: "M6.5 4.5v11l9-5.5z",
  stop: "M5.5 5.5h9v9h-9z",
  close: "m5 5 10 10M15 5 5 15",
  speaker: "M3 8v4h3l4 3.5v-11L6 8zM13 7.5a4 4 0 0 1 0 5M15 5.5a7 7 0 0 1 0 9",
  muted: "M3 8v4h3l4 3.5v-11L6 8zM13 8l4 4M17 8l-4 4",
  microphone: "M10 3a2 2 0 0 1 2 2v4a2 2 0 0 1-4 0V5a2 2 0 0 1 2-2zM5.5 9a4.5 4.5 0 0 0 9 0M10 13.5V17M7.5 17h5",
});
