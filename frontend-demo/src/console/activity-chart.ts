/** A chart of deliveries over time, with its totals next to it, and a table of its values below. */
import { html, nothing } from "lit";
import type uPlot from "uplot";
import { timesOf, type Line, type Span } from "./activity";
import { ConsoleElement, emptyState } from "./element";
import { count } from "./format";
import { navigate } from "./router";

const DASHES: number[][] = [[], [7, 4], [2, 3]]; // the styles of the legend: solid, dashed, dotted
const DAY_MS = 86_400_000;
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Properties: `name` (of the values), `unit` (of the times), `lines`, `span`, `height` in pixels. */
class ActivityChart extends ConsoleElement {
  static override properties = { name: {}, unit: {}, lines: { attribute: false }, span: { attribute: false }, height: { type: Number } };

  declare name: string;
  declare unit: string;
  declare lines: readonly Line[];
  declare span: Span;
  declare height: number;
  #plot: uPlot | undefined;
  #drawn = "";
  readonly #resize = new ResizeObserver(() => this.#plot?.setSize({ width: this.#width, height: this.height }));

  constructor() {
    super();
    this.height = 220;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    dark.addEventListener("change", this.#redraw);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    dark.removeEventListener("change", this.#redraw);
    this.#remove();
  }

  override render() {
    if (!this.lines.length) return emptyState("Nothing in this time.");
    return html`<div class="chart">
        <div>
          <div class="plot" aria-hidden="true"></div>
          <p class="readout quiet small" aria-hidden="true"></p>
        </div>
        <table class="rows grid totals">
          <caption class="hidden">${this.name}, totals</caption>
          <tbody>
            ${this.lines.map(
              (line) => html`<tr>
                <th scope="row"><span class="swatch ${line.style}"></span>${line.name}</th>
                <td class="number">${this.#figure(line, line.total, this.span.since, this.span.until)}</td>
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
      <details class="values">
        <summary>Table by ${this.unit}</summary>
        <div class="scroll" tabindex="0" role="group" aria-label="${this.name} by ${this.unit}">
          <table class="rows grid">
            <caption class="hidden">${this.name} by ${this.unit}, newest first. Times without deliveries are left out.</caption>
            <thead>
              <tr>
                <th scope="col">Time</th>${this.lines.map(({ name }) => html`<th scope="col" class="number">${name}</th>`)}
              </tr>
            </thead>
            <tbody>
              ${timesOf(this.span).map((at, index) => this.#values(at, index)).reverse()}
            </tbody>
          </table>
        </div>
      </details>`;
  }

  #values(at: number, index: number) {
    if (!this.lines.some(({ values }) => values[index])) return nothing;
    return html`<tr>
      <th scope="row"><time datetime=${new Date(at).toISOString()}>${this.#timeName(at)}</time></th>
      ${this.lines.map(
        (line) => html`<td class="number">${this.#figure(line, line.values[index] ?? 0, at, at + this.span.stepMs)}</td>`,
      )}
    </tr>`;
  }

  #figure({ linkTo }: Line, value: number, since: number, until: number) {
    const to = value ? linkTo(since, until) : null;
    return to ? html`<a href=${to}>${count(value)}</a>` : count(value);
  }

  override updated(): void {
    void this.#draw();
  }

  async #draw(): Promise<void> {
    const drawn = this.lines.map(({ key }) => key).join() + this.span.stepMs;
    if (this.#plot && drawn === this.#drawn && this.#plot.root.isConnected) return this.#plot.setData(this.#data);
    this.#remove();
    if (!this.lines.length) return;
    this.#drawn = drawn;
    const { default: UPlot } = await import("uplot");
    const target = this.querySelector<HTMLElement>(".plot");
    if (!target || this.#plot || this.#drawn !== drawn) return; // another drawing began
    this.#plot = new UPlot(this.#options(target, UPlot), this.#data, target);
    this.#resize.observe(target);
  }

  #remove(): void {
    this.#resize.disconnect();
    this.#plot?.destroy();
    this.#plot = undefined;
    this.#drawn = "";
  }

  readonly #redraw = (): void => this.#plot?.redraw(false);

  get #width(): number {
    return this.querySelector(".plot")?.clientWidth || this.height;
  }

  get #data(): uPlot.AlignedData {
    return [timesOf(this.span).map((at) => at / 1_000), ...this.lines.map(({ values }) => [...values])];
  }

  #options(target: HTMLElement, UPlot: typeof uPlot): uPlot.Options {
    const style = () => getComputedStyle(target);
    const axis = {
      font: `12px ${style().fontFamily}`,
      stroke: () => style().color,
      grid: { stroke: () => style().borderTopColor, width: 1 },
      ticks: { show: false },
    };
    const days = this.span.stepMs === DAY_MS; // which begin at midnight in UTC
    return {
      width: this.#width,
      height: this.height,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 7 } },
      ...(days ? { tzDate: (at: number) => UPlot.tzDate(new Date(at * 1_000), "Etc/UTC") } : {}),
      scales: { y: { range: (_, __, max) => [0, Math.max(4, (max ?? 0) * 1.08)] } },
      axes: [
        { ...axis, space: 64, size: 28, values: (_, splits) => splits.map((at) => this.#tickName(at * 1_000)) },
        { ...axis, size: 56, values: (_, splits) => splits.map((value) => (Number.isInteger(value) ? count(value) : "")) },
      ],
      series: [
        {},
        ...this.lines.map(({ name, style: lineStyle }, index) => ({
          label: name,
          width: 2,
          dash: DASHES[dashOf(lineStyle)] ?? [],
          stroke: () => getComputedStyle(this.querySelectorAll(".swatch")[index] ?? target).borderTopColor,
          points: { show: timesOf(this.span).length < 3 }, // too few for a line
        })),
      ],
      hooks: {
        setCursor: [({ cursor }) => this.#read(cursor.idx)],
        ready: [(plot) => plot.over.addEventListener("click", () => this.#open(plot))],
      },
    };
  }

  /** Show the values of one time. */
  #read(index: number | null | undefined): void {
    const readout = this.querySelector(".readout");
    if (!readout) return;
    const at = typeof index === "number" ? timesOf(this.span)[index] : undefined;
    const values = this.lines.map(({ name, values: all }) => `${name} ${count(all[index ?? -1] ?? 0)}`).join(", ");
    readout.textContent = at === undefined ? "" : `${this.#timeName(at)}: ${values}`;
  }

  /** Open the list of the value that is closest to the pointer. The table has the same links. */
  #open(plot: uPlot): void {
    const { idx, top = 0 } = plot.cursor;
    const at = typeof idx === "number" ? timesOf(this.span)[idx] : undefined;
    if (at === undefined) return;
    const distanceOf = (line: Line): number => Math.abs(plot.valToPos(line.values[idx ?? -1] ?? 0, "y") - top);
    const nearest = this.lines
      .filter(({ values }) => values[idx ?? -1])
      .sort((one, other) => distanceOf(one) - distanceOf(other))[0];
    const to = nearest?.linkTo(at, at + this.span.stepMs);
    if (to) navigate(to);
  }

  #timeName(at: number): string {
    return nameOf(at, this.span.stepMs === DAY_MS ? DAY : TIME);
  }

  #tickName(at: number): string {
    const { since, until, stepMs } = this.span;
    if (stepMs === DAY_MS) return nameOf(at, DAY);
    return nameOf(at, until - since > DAY_MS && new Date(at).getHours() === 0 ? LOCAL_DAY : CLOCK);
  }
}

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const LOCAL_DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const TIME = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const nameOf = (at: number, format: Intl.DateTimeFormat): string => format.format(new Date(at));

/** The lines take turns with the dashes, as in the style sheet. */
const dashOf = (style: string): number => (Number(style.split("-")[1]) - 1) % DASHES.length;

customElements.define("activity-chart", ActivityChart);
