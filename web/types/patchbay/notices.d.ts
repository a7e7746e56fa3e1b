/**
 * @param {string} code
 * @param {object} [more]
 * @param {string} [more.words] instead of those above
 * @param {string} [more.detail]
 * @param {string} [more.call]
 * @returns {Notice}
 */
export function notice(code: string, { words, ...more }?: {
    words?: string | undefined;
    detail?: string | undefined;
    call?: string | undefined;
}): Notice;
/**
 * What `getUserMedia` failed with, in words.
 * @param {unknown} error
 */
export function microphoneError(error: unknown): PatchbayError;
/**
 * Everything that can go wrong for a user, in words. The code is for programs (and for translations), the words for people.
 */
/**
 * @typedef {object} Notice
 * @property {string} code one of the keys below, or "server" with the server's own words
 * @property {string} words what is the matter, and what to do about it
 * @property {string} [detail] what the browser or the server said
 * @property {string} [call] the call it is about
 */
/** @type {Record<string, string>} */
export const WORDS: Record<string, string>;
/** A failure with words for people. */
export class PatchbayError extends Error {
    /** @param {Notice} given */
    constructor(given: Notice);
    code: string;
    notice: Notice;
}
export type Notice = {
    /**
     * one of the keys below, or "server" with the server's own words
     */
    code: string;
    /**
     * what is the matter, and what to do about it
     */
    words: string;
    /**
     * what the browser or the server said
     */
    detail?: string | undefined;
    /**
     * the call it is about
     */
    call?: string | undefined;
};
