import { html, svg, type SVGTemplateResult, type TemplateResult } from "lit";

const drawn = (paths: SVGTemplateResult): TemplateResult =>
  html`<svg viewBox="0 0 16 16" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round">${paths}</svg>`;

const shape = svg`<path d="M3 11.5h10c-.9-1-1.3-2.2-1.3-4.3A3.7 3.7 0 0 0 8 3.5a3.7 3.7 0 0 0-3.7 3.7c0 2.1-.4 3.3-1.3 4.3ZM6.7 13.5a1.5 1.5 0 0 0 2.6 0M8 3.5v-1" />`;

export const bell = drawn(shape);
export const bellOff = drawn(svg`${shape}<path d="m2 2 12 12" />`);
export const lock = drawn(svg`<path d="M4 7.5h8v5.5H4zM5.5 7.5v-2a2.5 2.5 0 0 1 5 0v2" />`);
export const chevron = drawn(svg`<path d="m4 6 4 4 4-4" />`);
