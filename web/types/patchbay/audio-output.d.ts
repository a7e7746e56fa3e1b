/** Where the worklets are; a bundler that does not follow `import.meta.url` needs `worklets` in the client's options. */
export const WORKLETS: Readonly<{
    playout: string;
    capture: string;
}>;
export class AudioOutput {
    /**
     * @param {Partial<typeof WORKLETS>} worklets
     * @param {(given: import("./notices.js").Notice) => void} notify
     */
    constructor(worklets: Partial<typeof WORKLETS>, notify: (given: import("./notices.js").Notice) => void);
    /** Whether sound comes out now. */
    get running(): boolean;
    /** Seconds from the worklet to the ear, as far as the browser knows. */
    get latency(): number;
    /** The context, made when it is not there. Throws a PatchbayError. */
    get context(): AudioContext;
    /** What everything audible is connected to. */
    get destination(): GainNode;
    /**
     * Load a worklet, once. Rejects when its file can't be had.
     * @param {keyof typeof WORKLETS} name
     * @param {AudioContext} [context] another than the page's own
     */
    load(name: keyof typeof WORKLETS, context?: AudioContext): Promise<void>;
    /** Load what plays. Rejects with a PatchbayError. */
    prepare(): Promise<void>;
    /**
     * Have the browser play. To be called in the handler of a click where that can be; where the browser still refuses,
     * the next click or key anywhere on the page does it, and a notice says so.
     */
    start(): Promise<void>;
    /** @param {(running: boolean) => void} listener @returns {() => void} to end it */
    onRunning(listener: (running: boolean) => void): () => void;
    /** Somebody talks: what is heard goes down, so that it is not heard back. Returns what ends that. */
    duck(): () => void;
    /**
     * Choose the speaker.
     * @param {string} deviceId "" for the default one
     */
    setSink(deviceId: string): Promise<void>;
    close(): Promise<void>;
    #private;
}
