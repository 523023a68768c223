/** The unread count outside the elements: before the title of the page, and on the icon of an installed app. */

const prefixes = new Map<object, string>(); // by element
const badges = new Map<object, number>();
let shown = "";
let titleObserver: MutationObserver | undefined; // the page may set another title

/** Show a prefix such as "(3) " before the title of the page. An empty prefix restores the title. */
export function setTitlePrefix(element: object, prefix: string): void {
  if ((prefixes.get(element) ?? "") === prefix) return;
  if (prefix) prefixes.set(element, prefix);
  else prefixes.delete(element);
  updateTitle();
}

function updateTitle(): void {
  const title = `${document.title} `;
  const own = title.startsWith(shown) ? title.slice(shown.length) : title;
  shown = [...prefixes.values()].at(-1) ?? "";
  const wanted = `${shown}${own}`.trim();
  if (document.title !== wanted) document.title = wanted;
  titleObserver ??= new MutationObserver(updateTitle);
  titleObserver.disconnect();
  if (shown) titleObserver.observe(document.head, { childList: true, subtree: true, characterData: true });
}

/** Show a count on the icon of the app, or remove it if the count is undefined. */
export function setAppBadge(element: object, count: number | undefined): void {
  if (badges.get(element) === count) return;
  if (count === undefined) badges.delete(element);
  else badges.set(element, count);
  if ("setAppBadge" in navigator) navigator.setAppBadge(count ?? 0).catch(() => {}); // the app is not installed
}
