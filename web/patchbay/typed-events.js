/** An EventTarget whose events are CustomEvents with a `detail`. */

export class Emitter extends EventTarget {
  /**
   * @param {string} type
   * @param {(detail: any) => void} listener gets the event's `detail`
   * @returns {() => void} to listen no more
   */
  on(type, listener) {
    /** @param {Event} event */
    const handle = (event) => listener(/** @type {CustomEvent} */ (event).detail);
    this.addEventListener(type, handle);
    return () => this.removeEventListener(type, handle);
  }

  /** @protected @param {string} type @param {any} [detail] */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
