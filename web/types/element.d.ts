export class PatchbayCallElement extends HTMLElement {
    static observedAttributes: string[];
    /** The library's call, for more than this element does; null while it is not in a page. */
    get patchbayCall(): import("./patchbay/call.js").Call | null;
    connectedCallback(): void;
    disconnectedCallback(): void;
    /** @param {string} name @param {string | null} before @param {string | null} now */
    attributeChangedCallback(name: string, before: string | null, now: string | null): void;
    #private;
}
