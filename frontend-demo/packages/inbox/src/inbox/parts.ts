/** The parts of the elements. Every element passes all parts to the outside, so a page can style them. */
import { LitElement } from "lit";

/** `docs/frontend/theming.md` describes these parts, and those of the bell. */
const PARTS = [
  ...["header", "heading", "status", "menu-button", "menu", "menu-item", "close", "tabs", "tab", "tab-count"],
  ...["search-button", "search", "selection", "checkbox", "thread"],
  ...["scroll", "newer", "day", "empty", "skeleton", "more", "message", "shortcuts"],
  ...["item", "dot", "avatar", "icon", "title", "body", "image", "actions", "action", "facts", "pin", "priority", "time", "category"],
  ...["tools", "tool", "choices", "choice", "swipe", "toasts", "toast", "dismiss"],
];

export class ExportingElement extends LitElement {
  override connectedCallback(): void {
    super.connectedCallback();
    this.setAttribute("exportparts", PARTS.join());
  }
}
