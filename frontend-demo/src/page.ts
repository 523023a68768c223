/** What components share with the page around them. */

/**
 * Registers an element unless its name is taken. A page may load a script twice, under two addresses (`/inbox.js` and
 * `/inbox.js?v=1`): the first copy is the one in use.
 */
export function define(name: string, element: CustomElementConstructor): void {
  if (!customElements.get(name)) customElements.define(name, element);
}

/** Calls `onChange` whenever the page's `lang` attribute changes. Returns a function that stops it. */
export function followPageLanguage(onChange: () => void): () => void {
  const observer = new MutationObserver(onChange);
  observer.observe(document.documentElement, { attributeFilter: ["lang"] });
  return () => observer.disconnect();
}
