/** Access to the page that contains the elements. */

/**
 * Register an element unless its name is already registered. If a page loads a script under two URLs, such as
 * `/inbox.js` and `/inbox.js?v=1`, the first copy is used.
 */
export function define(name: string, element: CustomElementConstructor): void {
  if (!customElements.get(name)) customElements.define(name, element);
}

/** Return the page's language, or the browser's if the page has none. */
export const pageLocale = (): string => document.documentElement.lang || navigator.language;

/** Call `onChange` when the page's `lang` attribute changes. Return a function that stops the calls. */
export function followPageLanguage(onChange: () => void): () => void {
  const observer = new MutationObserver(onChange);
  observer.observe(document.documentElement, { attributeFilter: ["lang"] });
  return () => observer.disconnect();
}

/** Return a function that calls `run` in the next frame, once for all its calls. Hidden pages have no frames. */
export function oncePerFrame(run: () => void): () => void {
  let frame = 0;
  return () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      run();
    });
  };
}
