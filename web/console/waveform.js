/**
 * Draws a call's levels: the far party upwards, our side downwards, the newest at the right. A canvas is painted only when
 * it can be seen and there is something new.
 */

import { height } from "./peaks.js";

const BAR = 2;
const PITCH = 3; // CSS pixels a column
const SCALE_MAX = 2; // finer than that is work that nobody sees

/** The colours of waveforms, as the theme has them. */
export class Palette {
  inbound = "";
  outbound = "";
  line = "";

  constructor() {
    this.refresh();
  }

  /** Read them again; there is another theme. */
  refresh() {
    const style = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ name) => {
      // A canvas knows no light-dark(): the probe turns it into a plain colour.
      probe.style.color = style.getPropertyValue(name);
      return getComputedStyle(probe).color;
    };
    const probe = document.createElement("i");
    document.body.append(probe);
    this.inbound = colour("--inbound");
    this.outbound = colour("--outbound");
    this.line = colour("--wave-line");
    probe.remove();
  }
}

export class Waveform {
  #palette;
  #context;
  #width = 0;
  #height = 0;
  #painted = -1;
  visible = false;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import("./peaks.js").Peaks} peaks
   * @param {Palette} palette
   */
  constructor(canvas, peaks, palette) {
    this.canvas = canvas;
    this.peaks = peaks;
    this.#palette = palette;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  }

  /** How large it is on the page, in CSS pixels. @param {number} width @param {number} height */
  resize(width, height) {
    const scale = Math.min(globalThis.devicePixelRatio || 1, SCALE_MAX);
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (w === this.canvas.width && h === this.canvas.height) return;
    this.canvas.width = w;
    this.canvas.height = h;
    this.#context.setTransform(scale, 0, 0, scale, 0, 0);
    [this.#width, this.#height] = [width, height];
    this.repaint();
  }

  /** Paint what is new. */
  update() {
    if (this.visible && this.#width > 0 && this.#painted !== this.peaks.shown) this.#paint();
  }

  /** Paint at the next update, whatever there is. */
  repaint() {
    this.#painted = -1;
    this.update();
  }

  #paint() {
    const [context, middle] = [this.#context, this.#height / 2];
    this.#painted = this.peaks.shown;
    context.clearRect(0, 0, this.#width, this.#height);
    context.fillStyle = this.#palette.line;
    context.fillRect(0, middle - 0.5, this.#width, 1);
    this.#side(0, this.#palette.inbound, middle);
    this.#side(1, this.#palette.outbound, middle);
  }

  /** All bars of a side are one path, filled once. @param {number} side @param {string} colour @param {number} middle */
  #side(side, colour, middle) {
    const [context, columns] = [this.#context, Math.floor(this.#width / PITCH)];
    const tallest = middle - 1;
    context.beginPath();
    for (let back = 0; back < columns; back++) {
      const tall = height(this.peaks.at(side, back)) * tallest;
      if (tall < 0.5) continue;
      const left = this.#width - (back + 1) * PITCH;
      context.rect(left, side === 0 ? middle - tall : middle, BAR, tall);
    }
    context.fillStyle = colour;
    context.fill();
  }
}

/** Waveforms of a page: which of them can be seen, how large they are, and the beat at which they move. */
export class Waveforms {
  /** @type {Map<Element, Waveform>} */
  #byCanvas = new Map();
  #seen;
  #sizes;

  constructor() {
    this.#seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.#see(target, isIntersecting);
    });
    this.#sizes = new ResizeObserver((entries) => {
      for (const { target, contentRect } of entries) {
        this.#byCanvas.get(target)?.resize(contentRect.width, contentRect.height);
      }
    });
  }

  /** @param {Waveform} waveform */
  add(waveform) {
    this.#byCanvas.set(waveform.canvas, waveform);
    this.#seen.observe(waveform.canvas);
    this.#sizes.observe(waveform.canvas);
  }

  /** @param {Waveform} waveform */
  remove(waveform) {
    this.#byCanvas.delete(waveform.canvas);
    this.#seen.unobserve(waveform.canvas);
    this.#sizes.unobserve(waveform.canvas);
  }

  /** How many can be seen. */
  get inSight() {
    let count = 0;
    for (const { visible } of this.#byCanvas.values()) if (visible) count++;
    return count;
  }

  /** Paint those that can be seen and have something new. */
  update() {
    for (const waveform of this.#byCanvas.values()) waveform.update();
  }

  /** Paint all again: the colours are others. */
  repaint() {
    for (const waveform of this.#byCanvas.values()) waveform.repaint();
  }

  /** @param {Element} canvas @param {boolean} visible */
  #see(canvas, visible) {
    const waveform = this.#byCanvas.get(canvas);
    if (!waveform) return;
    waveform.visible = visible;
    waveform.update();
  }
}
