/**
 * @typedef {object} MicrophoneHandlers
 * @property {(given: import("./notices.js").Notice) => void} notify
 * @property {(peak: number) => void} level ten times a second while it is open, 0..1
 * @property {() => void} gone it can't be used any more; a talk has ended
 */
export class Microphone {
    /**
     * @param {import("./audio-output.js").AudioOutput} output
     * @param {MicrophoneHandlers} handlers
     */
    constructor(output: import("./audio-output.js").AudioOutput, handlers: MicrophoneHandlers);
    /** Choose the microphone; "" for the default one. Counts from the next opening, which comes with the next talk. */
    set deviceId(deviceId: string);
    /** Open it; asks the user where the browser has not been told. Rejects with a PatchbayError. */
    open(): Promise<void>;
    /**
     * Frames from now on. It must be open.
     * @param {"PCMU" | "PCMA"} codec
     * @param {(payload: Uint8Array) => void} onFrame
     */
    start(codec: "PCMU" | "PCMA", onFrame: (payload: Uint8Array) => void): void;
    /** No more frames after the last one, which is waited for. It stays open for a while. */
    stop(): Promise<void>;
    close(): void;
    #private;
}
export type MicrophoneHandlers = {
    notify: (given: import("./notices.js").Notice) => void;
    /**
     * ten times a second while it is open, 0..1
     */
    level: (peak: number) => void;
    /**
     * it can't be used any more; a talk has ended
     */
    gone: () => void;
};
