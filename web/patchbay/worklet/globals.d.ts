/** What exists in an AudioWorklet's scope and TypeScript's own libraries leave out. */

declare const sampleRate: number;
declare const currentTime: number;

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
  constructor(options?: AudioWorkletNodeOptions);
}

declare function registerProcessor(name: string, processor: typeof AudioWorkletProcessor): void;
