/** Icons on a grid of 24 by 24 units, in the color of the surrounding text. */
import { svg, type SVGTemplateResult } from "lit";

const icon = (paths: SVGTemplateResult) => svg`<svg viewBox="0 0 24 24" width="1.25em" height="1.25em" fill="none"
  stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${paths}</svg>`;

export const bell = icon(svg`<path d="M6 9a6 6 0 1 1 12 0c0 5 2 6.5 2 6.5H4S6 14 6 9Z"/><path d="M10 19a2.1 2.1 0 0 0 4 0"/>`);

export const icons = {
  read: icon(svg`<path d="m5 12.5 4.5 4.5L19 7.5"/>`),
  readAll: icon(svg`<path d="m2.5 12.5 4.5 4.5 9-9.5"/><path d="m12.5 15.5 1.5 1.5L22 8.5"/>`),
  unread: icon(svg`<circle cx="12" cy="12" r="7"/><circle cx="12" cy="12" r="2.5" fill="currentColor" stroke="none"/>`),
  archive: icon(svg`<path d="M4 5h16v4H4zM5.5 9v10h13V9M10 13h4"/>`),
  unarchive: icon(svg`<path d="M4 13h4l1.5 3h5L16 13h4v6H4zM12 3v8M8.5 6.5 12 3l3.5 3.5"/>`),
  pin: icon(svg`<path d="M9 4h6l-1 6 3 3v2H7v-2l3-3zM12 15v6"/>`),
  unpin: icon(svg`<path d="M9 4h6l-1 6 3 3v2H7v-2l3-3zM12 15v6M4 4l16 16"/>`),
  snooze: icon(svg`<circle cx="12" cy="12" r="8"/><path d="M12 7.5V12l3 2"/>`),
  wake: icon(svg`<circle cx="12" cy="12" r="4"/><path d="M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M5.6 18.4 7 17M17 7l1.4-1.4"/>`),
  why: icon(svg`<circle cx="12" cy="12" r="8.5"/><path d="M9.7 9.5a2.4 2.4 0 1 1 3.4 2.2c-.8.4-1.1.9-1.1 1.8M12 16.5v.01"/>`),
  more: icon(svg`<g fill="currentColor"><circle cx="5.5" cy="12" r="0.75"/><circle cx="12" cy="12" r="0.75"/><circle cx="18.5" cy="12" r="0.75"/></g>`),
  search: icon(svg`<circle cx="10.5" cy="10.5" r="6"/><path d="m20 20-5.2-5.2"/>`),
  close: icon(svg`<path d="m6 6 12 12M18 6 6 18"/>`),
  alert: icon(svg`<circle cx="12" cy="12" r="8.5"/><path d="M12 8v4.5M12 16v.01"/>`),
};
