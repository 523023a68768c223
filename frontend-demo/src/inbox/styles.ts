/** The styles of the inbox. Pages change them with custom properties (see `docs/frontend/theming.md`). */
import { css } from "lit";

export const theme = css`
  :host {
    --accent: var(--hub-accent, light-dark(#4f46e5, #8b93ff));
    --on-accent: var(--hub-on-accent, light-dark(#fff, #0d0f1c));
    --background: var(--hub-background, light-dark(#fff, #17191f));
    --raised: var(--hub-raised, light-dark(#fff, #23262e));
    --hover: var(--hub-hover, light-dark(#f5f6f8, #1f222a));
    --text: var(--hub-text, light-dark(#16181d, #eceef2));
    --muted: var(--hub-muted, light-dark(#5d6470, #a0a7b4));
    --border: var(--hub-border, light-dark(#e6e8ec, #2d313a));
    --danger: var(--hub-danger, light-dark(#c42b2b, #ff8080));
    --radius: var(--hub-radius, 12px);
    --shadow: var(--hub-shadow, 0 12px 40px rgb(0 0 0 / 0.18), 0 2px 8px rgb(0 0 0 / 0.08));
    --font: var(--hub-font, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", sans-serif);
    --touch: 32px;
    font-family: var(--font);
    font-size: 14px;
    line-height: 1.45;
    color: var(--text);
  }
  :host([theme="light"]) { color-scheme: light; }
  :host([theme="dark"]) { color-scheme: dark; }
  :host([theme="auto"]) { color-scheme: light dark; }
  :host([hidden]) { display: none; }
  @media (pointer: coarse) {
    :host { --touch: 44px; }
  }
  *, ::before, ::after { box-sizing: border-box; }
  button, a { font: inherit; color: inherit; touch-action: manipulation; -webkit-tap-highlight-color: transparent; }
  button { margin: 0; padding: 0; border: 0; background: none; cursor: pointer; }
  :focus { outline: none; }
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
  svg { display: block; flex: none; }
  .hidden {
    position: absolute;
    width: 1px;
    height: 1px;
    margin: -1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  .icon {
    display: inline-grid;
    place-items: center;
    min-width: var(--touch);
    min-height: var(--touch);
    border-radius: 8px;
    color: var(--muted);
  }
  .pill {
    display: inline-flex;
    align-items: center;
    min-height: var(--touch);
    padding: 0 12px;
    border: 1px solid var(--border);
    border-radius: 8px;
    background: var(--raised);
    font-weight: 550;
    text-decoration: none;
  }
  .pill.primary { border-color: transparent; background: var(--accent); color: var(--on-accent); }
  @media (hover: hover) {
    .icon:hover { background: color-mix(in srgb, var(--text) 8%, transparent); color: var(--text); }
    .pill:not(.primary):hover { border-color: var(--muted); }
    .pill.primary:hover { filter: brightness(1.08); }
  }
`;

export const bellStyles = css`
  :host { display: inline-block; position: relative; color: inherit; } /* the bell looks like the page around it */
  .bell {
    position: relative;
    display: grid;
    place-items: center;
    width: var(--hub-bell-size, 40px);
    height: var(--hub-bell-size, 40px);
    border-radius: 10px;
    color: var(--hub-bell-color, currentColor);
    font-size: 18px;
  }
  @media (pointer: coarse) {
    .bell { min-width: 44px; min-height: 44px; }
  }
  .bell:hover, .bell[aria-expanded="true"] { background: color-mix(in srgb, currentColor 9%, transparent); }
  .badge {
    position: absolute;
    inset-block-start: 1px;
    inset-inline-start: 54%; /* grows away from the bell */
    min-width: 16px;
    padding: 0 4px;
    border-radius: 8px;
    box-shadow: 0 0 0 2px var(--background);
    background: var(--accent);
    color: var(--on-accent);
    font-size: 10.5px;
    font-weight: 650;
    line-height: 16px;
    text-align: center;
    font-variant-numeric: tabular-nums;
  }
  .badge.seen { background: var(--muted); color: var(--background); }
  .panel {
    position: fixed;
    inset: auto;
    width: min(var(--hub-width, 420px), calc(100vw - 16px));
    height: min(var(--hub-height, 640px), calc(100dvh - 16px));
    margin: 0;
    padding: 0;
    border: 1px solid var(--border);
    border-radius: var(--radius);
    background: var(--background);
    color: var(--text);
    box-shadow: var(--shadow);
    overflow: hidden;
  }
  @media (max-width: 520px) {
    .panel {
      inset: 0 !important;
      width: 100vw;
      max-width: none;
      height: 100dvh;
      max-height: none !important;
      border: 0;
      border-radius: 0;
    }
  }
  @media (prefers-reduced-motion: no-preference) {
    .panel { transition: opacity 0.12s, translate 0.12s; }
    @starting-style {
      .panel:popover-open { opacity: 0; translate: 0 -6px; }
    }
    .badge { animation: pop 0.2s ease-out; }
    @keyframes pop { from { scale: 0.5; } }
  }
`;

export const panelStyles = css`
  :host { display: flex; flex-direction: column; height: 100%; position: relative; }
  .head { display: flex; align-items: center; gap: 4px; padding-block: 12px 4px; padding-inline: 16px 8px; }
  h2 { margin: 0; font-size: 16px; font-weight: 650; letter-spacing: -0.01em; flex: 1; }
  [role="tablist"] { display: flex; flex-wrap: wrap; column-gap: 4px; padding-inline: 12px; border-block-end: 1px solid var(--border); }
  [role="tab"] {
    position: relative;
    display: inline-flex;
    align-items: center;
    gap: 6px;
    min-height: max(36px, var(--touch));
    padding-inline: 8px;
    border-radius: 6px 6px 0 0;
    color: var(--muted);
    font-weight: 550;
    white-space: nowrap;
  }
  @media (max-width: 360px) {
    [role="tablist"] { column-gap: 0; padding-inline: 8px; }
    [role="tab"] { padding-inline: 6px; }
  }
  [role="tab"]:hover { color: var(--text); }
  [role="tab"]:focus-visible { outline-offset: -2px; }
  [role="tab"][aria-selected="true"] { color: var(--text); }
  [role="tab"][aria-selected="true"]::after {
    content: "";
    position: absolute;
    inset-inline: 8px;
    inset-block-end: -1px;
    height: 2px;
    border-radius: 1px;
    background: var(--accent);
  }
  .count {
    padding: 0 6px;
    border-radius: 8px;
    background: color-mix(in srgb, var(--text) 9%, transparent);
    color: var(--text);
    font-size: 12px;
    font-variant-numeric: tabular-nums;
  }
  .status { display: flex; align-items: center; gap: 6px; padding-inline: 4px; color: var(--muted); font-size: 12.5px; }
  .status::before { content: ""; width: 8px; height: 8px; border-radius: 50%; background: currentColor; flex: none; }
  .status.live::before { background: light-dark(#14803c, #3ecf72); }
  .status.offline { color: light-dark(#8a5300, #f3cd82); }
  .scroll { flex: 1; min-height: 0; overflow-y: auto; overscroll-behavior: contain; scrollbar-width: thin; }
  .scroll:focus-visible { outline-offset: -2px; }
  .scroll:has(+ * .toast) { padding-block-end: 72px; scroll-padding-block-end: 72px; }
  ul { margin: 0; padding: 0; list-style: none; }
  li + li { border-block-start: 1px solid var(--border); }
  .state {
    display: grid;
    justify-items: center;
    align-content: center;
    gap: 4px;
    min-height: 100%;
    padding: 32px 40px 64px;
    color: var(--muted);
    text-align: center;
  }
  .state svg { width: 40px; height: 40px; margin-block-end: 12px; stroke-width: 1.25; }
  .state strong { color: var(--text); font-size: 15px; font-weight: 600; }
  .state .pill { margin-block-start: 16px; color: var(--text); }
  .skeleton { display: grid; gap: 10px; padding: 18px 16px 18px 34px; }
  .skeleton i { height: 10px; border-radius: 5px; background: color-mix(in srgb, var(--text) 9%, transparent); }
  .skeleton i:nth-child(1) { width: 55%; }
  .skeleton i:nth-child(2) { width: 90%; }
  .skeleton i:nth-child(3) { width: 25%; }
  .more { padding: 12px; text-align: center; color: var(--muted); }
  .toast {
    position: absolute;
    inset-inline: 12px;
    inset-block-end: 12px;
    z-index: 1;
    display: flex;
    align-items: center;
    gap: 8px;
    padding-block: 4px;
    padding-inline: 14px 6px;
    border-radius: 10px;
    background: light-dark(#1d2027, #eceef2);
    color: light-dark(#fff, #16181d);
    box-shadow: var(--shadow);
  }
  .toast span { flex: 1; padding-block: 6px; overflow-wrap: anywhere; }
  .toast button { min-height: max(32px, var(--touch)); padding-inline: 10px; border-radius: 7px; font-weight: 600; }
  .toast button.icon { color: inherit; padding: 0; }
  .toast button:hover { background: light-dark(rgb(255 255 255 / 0.14), rgb(0 0 0 / 0.1)); }
  .toast :focus-visible { outline-color: currentColor; outline-offset: -2px; }
  @media (prefers-reduced-motion: no-preference) {
    .skeleton { animation: breathe 1.6s ease-in-out infinite; }
    @keyframes breathe { 50% { opacity: 0.5; } }
    .toast { animation: rise 0.15s ease-out; }
    @keyframes rise { from { opacity: 0; translate: 0 8px; } }
  }
`;

export const itemStyles = css`
  :host { display: block; }
  article {
    position: relative;
    display: grid;
    grid-template-columns: 8px minmax(0, 1fr);
    column-gap: 10px;
    padding-block: 12px;
    padding-inline: 14px 16px;
  }
  article:focus-within { background: var(--hover); }
  .dot { width: 8px; height: 8px; margin-block-start: 6px; border-radius: 50%; }
  .unread .dot { background: var(--accent); }
  .open {
    display: block;
    width: 100%;
    text-align: start;
    text-decoration: none;
    font-weight: 500;
    overflow-wrap: anywhere;
  }
  .unread .open { font-weight: 650; }
  .open::after { content: ""; position: absolute; inset: 0; }
  .open:focus-visible { outline: none; }
  .open:focus-visible::after { outline: 2px solid var(--accent); outline-offset: -2px; border-radius: 4px; }
  .body {
    display: -webkit-box;
    -webkit-box-orient: vertical;
    -webkit-line-clamp: 3;
    margin: 2px 0 0;
    color: var(--muted);
    overflow: hidden;
    overflow-wrap: anywhere;
    text-align: left;
    white-space: pre-line;
  }
  :host(:dir(rtl)) .body { text-align: right; }
  .open:has(+ div.body) { min-height: 24px; }
  div.body { -webkit-line-clamp: 6; white-space: normal; }
  .body > * { margin: 0; }
  .body > * + p, .body > p + *, li > p { margin-block-start: 6px; }
  .body ul, .body ol { padding-inline-start: 20px; margin-block-end: 0; text-align: start; }
  .body li > :is(ul, ol) { margin-block-start: 0; }
  .body a { position: relative; z-index: 1; color: var(--accent); }
  .body strong { font-weight: 650; color: var(--text); }
  .body code { padding: 1px 4px; border-radius: 4px; background: var(--hover); font-size: 0.92em; }
  img { display: block; max-width: 100%; max-height: 140px; margin-block-start: 8px; border-radius: 8px; object-fit: cover; }
  .row { display: flex; flex-wrap: wrap; gap: 8px; margin-block-start: 10px; position: relative; z-index: 1; width: fit-content; }
  .foot { display: flex; align-items: center; gap: 6px; min-height: 32px; margin-block-end: -6px; color: var(--muted); font-size: 12.5px; }
  .facts { display: flex; flex-wrap: wrap; align-items: center; column-gap: 6px; min-width: 0; flex: 1; }
  .facts > * + *::before { content: "·"; margin-inline-end: 6px; }
  .urgent { color: var(--danger); font-weight: 600; }
  .tools { display: flex; position: relative; z-index: 1; margin-inline-end: -6px; }
  @media (hover: hover) {
    article:hover { background: var(--hover); }
    article:not(:hover, :focus-within) .tools { opacity: 0; }
  }
  .choices { padding-block: 4px 2px; }
  .choices b { width: 100%; font-weight: 550; font-size: 13px; }
`;
