/**
 * Shows the HTML of an email. The frame runs no scripts, submits no forms, and loads nothing from the network: see
 * `console-preview.html` and its policy. The console puts the HTML into the frame, because a frame without a page of its
 * own would have the policy of the console, which allows no styles in an email.
 */
import { html } from "lit";
import { ConsoleElement } from "./element";

const SCHEME_QUERY = /\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)/g;

/** Properties: `content`, `label`, `dark`, `narrow`. */
class PreviewFrame extends ConsoleElement {
  static override properties = { content: {}, label: {}, dark: { type: Boolean }, narrow: { type: Boolean } };

  declare content: string;
  declare label: string;
  declare dark: boolean;
  declare narrow: boolean;

  override render() {
    return html`<iframe
      class="preview-frame ${this.dark ? "dark" : "light"} ${this.narrow ? "narrow" : ""}"
      title=${this.label}
      sandbox="allow-same-origin"
      src="/console-preview"
      @load=${this.fill}
    ></iframe>`;
  }

  override updated(changed: Map<string, unknown>): void {
    if (changed.has("content") || changed.has("dark")) this.fill();
  }

  private fill(): void {
    const page = this.querySelector("iframe")?.contentDocument;
    if (page?.readyState !== "complete" || !page.URL.endsWith("/console-preview")) return;
    page.documentElement.innerHTML = this.content;
    useScheme(page, this.dark ? "dark" : "light");
    page.onclick = (event) => event.preventDefault(); // links lead nowhere
  }
}

/** Make the styles for a color scheme apply, whatever the operating system prefers. */
function useScheme(page: Document, scheme: string): void {
  for (const { cssRules } of page.styleSheets) {
    for (const rule of cssRules) {
      if (!("media" in rule)) continue;
      const media = rule.media as MediaList;
      media.mediaText = media.mediaText.replaceAll(SCHEME_QUERY, (_, name) => (name === scheme ? "(min-width: 0)" : "(max-width: 0)"));
    }
  }
  if (page.querySelector('meta[name="color-scheme"]')) page.documentElement.style.colorScheme = scheme;
}

customElements.define("preview-frame", PreviewFrame);
