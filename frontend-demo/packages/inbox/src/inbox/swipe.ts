/** Swiping a row on a touch screen: towards the end of the line to archive it, towards the start to snooze it. */
import { css, html, nothing, type TemplateResult } from "lit";
import type { I18n } from "../i18n";
import type { Messages } from "../locales/inbox";
import { icons } from "./inbox-icons";
import { toolSelector } from "./shortcuts";

const START_PX = 12; // before this distance, the gesture may still become a scroll
const MIN_PX = 96; // the distance at which releasing the row uses the tool

/** The tools that a swipe can use. An item has at most one of the tools of a direction. */
const TOOLS = { archive: icons.archive, unarchive: icons.unarchive, snooze: icons.snooze, unsnooze: icons.wake };
type Tool = keyof typeof TOOLS;

/** A row that can be swiped. */
interface Host {
  i18n: I18n<Messages>;
  control(selector: string): HTMLElement | null;
  matches(selector: string): boolean;
  requestUpdate(): void;
}

export const swipeStyles = css`
  :host { position: relative; }
  article { touch-action: pan-y pinch-zoom; }
  .swipe {
    position: absolute;
    inset: 0;
    display: flex;
    align-items: center;
    gap: 8px;
    padding-inline: 20px;
    background: color-mix(in srgb, var(--text) 9%, var(--background));
    font-weight: 600;
  }
  .swipe.end { flex-direction: row-reverse; }
  .swipe.far { background: var(--accent); color: var(--on-accent); }
  .swipe + article { background: var(--background); }
  @media (forced-colors: active) {
    .swipe.far { background: Highlight; color: HighlightText; forced-color-adjust: none; }
  }
  @media (prefers-reduced-motion: no-preference) {
    article:not(.swipe + article) { transition: translate 0.15s; }
  }
`;

/** The browser scrolls vertically itself (`touch-action: pan-y`), and then cancels the gesture. */
export class Swipe {
  readonly #host: Host;
  #start: { x: number; y: number } | undefined;
  #tool: HTMLElement | null | undefined;
  #distance = 0;

  constructor(host: Host) {
    this.#host = host;
  }

  /** The hint under the row. */
  render(): TemplateResult | typeof nothing {
    const name = this.#tool?.dataset.tool as Tool | undefined;
    if (!name) return nothing;
    const isArchive = name.endsWith("archive");
    return html`<div class="swipe ${isArchive ? "" : "end"} ${this.#isFar ? "far" : ""}" part="swipe" aria-hidden="true">
      ${TOOLS[name]}${this.#host.i18n.t(name)}
    </div>`;
  }

  readonly onPointer = (event: PointerEvent): void => {
    const row = event.currentTarget as HTMLElement;
    const canStart = event.pointerType === "touch" && event.isPrimary && !this.#host.matches("[compact]");
    if (event.type === "pointerdown") this.#start = canStart ? event : undefined;
    else if (event.type === "pointermove") this.#move(row, event);
    else this.#end(row, event.type === "pointerup");
  };

  get #isFar(): boolean {
    return Math.abs(this.#distance) >= MIN_PX;
  }

  #move(row: HTMLElement, event: PointerEvent): void {
    if (!this.#start) return;
    const [x, y] = [event.clientX - this.#start.x, event.clientY - this.#start.y];
    if (!this.#tool && Math.abs(y) > START_PX) this.#start = undefined;
    if (!this.#start || (!this.#tool && Math.abs(x) < START_PX)) return;
    if (!this.#tool) row.setPointerCapture(event.pointerId);
    const isForward = x > 0 === (this.#host.i18n.dir === "ltr");
    this.#tool = this.#host.control(toolSelector(isForward ? "e" : "s") ?? "");
    this.#distance = x;
    row.style.translate = `${x}px`;
    this.#host.requestUpdate();
  }

  #end(row: HTMLElement, isReleased: boolean): void {
    const tool = isReleased && this.#isFar ? this.#tool : undefined;
    this.#start = this.#tool = undefined;
    this.#distance = 0;
    row.style.translate = "";
    this.#host.requestUpdate();
    tool?.click();
  }
}
