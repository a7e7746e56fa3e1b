/** An EventTarget whose events are CustomEvents with a `detail`. */
export class Emitter extends EventTarget {
    /**
     * @param {string} type
     * @param {(detail: any) => void} listener gets the event's `detail`
     * @returns {() => void} to listen no more
     */
    on(type: string, listener: (detail: any) => void): () => void;
    /** @protected @param {string} type @param {any} [detail] */
    protected emit(type: string, detail?: any): void;
}
