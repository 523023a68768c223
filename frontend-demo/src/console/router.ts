/** The address of the page. All state that a page can be opened with is in its address. */

export const BASE = "/console";

export interface Route {
  /** The name of the page, such as `deliveries`. Empty for the first page. */
  readonly page: string;
  /** The id in the address, if it names one thing. */
  readonly id: string;
  readonly params: URLSearchParams;
}

/** Return the page that the current address names. */
export function currentRoute(): Route {
  const [page = "", ...rest] = location.pathname.slice(BASE.length + 1).split("/");
  return { page, id: decodeId(rest.join("/")), params: new URLSearchParams(location.search) };
}

function decodeId(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a malformed escape sequence, which no link of the console has
  }
}

/** Return the address of a page. Parameters without a value are left out. */
export function address(page = "", id = "", params: Record<string, string | null | undefined> = {}): string {
  const given = Object.entries(params).filter((entry): entry is [string, string] => !!entry[1]);
  const query = given.length ? `?${new URLSearchParams(given)}` : "";
  return [BASE, page, id && encodeURIComponent(id)].filter((part, index) => part || index === 1).join("/") + query;
}

/** Open an address of the console. `replace` leaves no entry in the history. */
export function navigate(to: string, { replace = false } = {}): void {
  if (replace) history.replaceState(null, "", to);
  else if (to !== location.pathname + location.search) history.pushState(null, "", to);
  dispatchEvent(new Event("navigated"));
}

/** Open links of the console without loading the page again. */
export function interceptLinks(): void {
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element).closest?.("a[href]");
    if (!(link instanceof HTMLAnchorElement) || link.target || link.download) return;
    if (link.origin !== location.origin || !`${link.pathname}/`.startsWith(`${BASE}/`)) return;
    if (link.hash) return; // within the page
    event.preventDefault();
    navigate(link.pathname + link.search);
  });
  addEventListener("popstate", () => dispatchEvent(new Event("navigated")));
}
