/** The keyboard shortcuts of the inbox. */

/** The tools of an item by key. An item has at most one of the tools of a key. */
const TOOLS: Record<string, string[]> = {
  e: ["archive", "unarchive"],
  r: ["markRead", "markUnread"],
  s: ["snooze", "unsnooze"],
  p: ["pin", "unpin"],
  w: ["why"],
};

const FIELDS = "input:not([type=checkbox]), textarea, select, [contenteditable]"; // of the panel, or of the page's own rows

/** Return the key of a shortcut, or undefined while the user types, or uses a modifier key other than Shift. */
export function shortcutKey(event: KeyboardEvent): string | undefined {
  const isTyping = (event.composedPath()[0] as Element).matches(FIELDS);
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping) return undefined;
  if (event.key === "؟") return "?"; // the question mark of Arabic keyboards
  const isOtherScript = /^[^\x00-\x7f]$/.test(event.key); // such as an Arabic letter: use the key at that position
  const key = isOtherScript ? event.code.replace("Key", "") : event.key;
  if (!/^[a-z]$/i.test(key)) return key;
  return event.shiftKey ? key.toUpperCase() : key.toLowerCase(); // Caps Lock does not matter
}

/** Return the selector of the tools for a key, or undefined if the key does not act on an item. */
export const toolSelector = (key: string): string | undefined =>
  Object.hasOwn(TOOLS, key) ? TOOLS[key]?.map((tool) => `[data-tool=${tool}]`).join() : undefined;
