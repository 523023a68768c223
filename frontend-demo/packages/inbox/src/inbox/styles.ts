/** The styles of the inbox. */
import { css } from "lit";

export const bellStyles = css`
  :host { display: inline-block; position: relative; vertical-align: middle; color: inherit; } /* the bell looks like the page around it */
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
  .bell:hover, .bell[aria-expanded=true] { background: color-mix(in srgb, currentColor 9%, transparent); }
  .badge {
    position: absolute;
    inset-block-start: 1px;
    inset-inline-start: 54%; /* grows away from the bell */
    min-width: 1.5em;
    padding: 0 0.4em;
    border-radius: 0.75em;
    box-shadow: 0 0 0 2px var(--background);
    background: var(--accent);
    color: var(--on-accent);
    font-size: max(10.5px, 0.66rem);
    font-weight: 650;
    line-height: 1.5;
    text-align: center;
    font-variant-numeric: tabular-nums;
  }
  .badge.seen { background: var(--muted); color: var(--background); }
  @media (forced-colors: active) {
    .badge { background: Highlight; color: HighlightText; forced-color-adjust: none; }
    .badge.seen { background: CanvasText; color: Canvas; }
  }
  .panel {
    position: fixed;
    inset: auto;
    width: min(var(--hub-width, max(420px, 26.25rem)), calc(100vw - 16px));
    height: min(var(--hub-height, max(640px, 40rem)), calc(100dvh - 16px));
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
      padding: env(safe-area-inset-top) env(safe-area-inset-right) env(safe-area-inset-bottom) env(safe-area-inset-left);
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
  h2 { margin: 0; font-size: 1.15em; font-weight: 650; letter-spacing: -0.01em; flex: 1; }
  [role=tablist] { display: flex; flex-wrap: wrap; column-gap: 4px; padding-inline: 12px; border-block-end: 1px solid var(--border); }
  [role=tab] {
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
    [role=tablist] { column-gap: 0; padding-inline: 8px; }
    [role=tab] { padding-inline: 6px; }
  }
  [role=tab]:hover { color: var(--text); }
  [role=tab]:focus-visible { outline-offset: -2px; }
  [role=tab][aria-selected=true] { color: var(--text); }
  [role=tab][aria-selected=true]::after {
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
    font-size: 0.86em;
    font-variant-numeric: tabular-nums;
  }
  .status { display: flex; align-items: center; gap: 6px; padding-inline: 4px; color: var(--muted); font-size: 0.9em; }
  .status::before { content: ""; width: 8px; height: 8px; border-radius: 50%; background: currentColor; flex: none; }
  .status.live::before { background: light-dark(#14803c, #3ecf72); }
  .status.offline { color: light-dark(#8a5300, #f3cd82); }
  .scroll { flex: 1; min-height: 0; overflow: hidden auto; overscroll-behavior: contain; scrollbar-width: thin; }
  .scroll:focus-visible { outline-offset: -2px; }
  .scroll:has(+ * .toast) { padding-block-end: 72px; scroll-padding-block-end: 72px; }
  ul { margin: 0; padding: 0; list-style: none; }
  li + li:not(.gap) { border-block-start: 1px solid var(--border); }
  h3 { margin: 0; padding: 12px 16px 2px; color: var(--muted); font-size: 0.9em; font-weight: 600; }
  .newer { position: sticky; inset-block-start: 8px; z-index: 2; height: 0; text-align: center; }
  .newer .pill { border-radius: 99px; box-shadow: var(--shadow); }
  .newer .pill::before { content: "↑" / ""; margin-inline-end: 6px; }
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
  .state strong { color: var(--text); font-size: 1.07em; font-weight: 600; }
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
  @media (forced-colors: active) {
    [role=tab][aria-selected=true]::after, .status::before, .skeleton i {
      background: Highlight;
      forced-color-adjust: none;
    }
    .toast { border: 1px solid; }
  }
  @media (prefers-reduced-motion: no-preference) {
    .skeleton { animation: breathe 1.6s ease-in-out infinite; }
    @keyframes breathe { 50% { opacity: 0.5; } }
    .toast { animation: rise 0.15s ease-out; }
    @keyframes rise { from { opacity: 0; translate: 0 8px; } }
  }
`;

export const menuStyles = css`
  :host { display: inline-block; position: relative; }
  [role=menu] {
    position: absolute;
    inset-block-start: 100%;
    inset-inline-end: 0;
    z-index: 2;
    display: grid;
    width: max-content;
    max-width: min(80vw, 20em);
    padding: 4px;
    border: 1px solid var(--border);
    border-radius: 10px;
    background: var(--raised);
    box-shadow: var(--shadow);
  }
  [role=menuitem] { min-height: max(36px, var(--touch)); padding-inline: 12px; border-radius: 7px; text-align: start; }
  [role=menuitem]:hover { background: color-mix(in srgb, var(--text) 8%, transparent); }
  [role=menuitem]:focus-visible { outline-offset: -2px; }
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
  .dot { width: 8px; height: 8px; margin-block-start: 0.43em; border-radius: 50%; }
  .unread .dot { background: var(--accent); }
  @media (forced-colors: active) {
    .unread .dot { background: Highlight; forced-color-adjust: none; }
  }
  article:has(> .picture) { grid-template-columns: 8px 32px minmax(0, 1fr); }
  .picture { position: relative; height: 32px; }
  .avatar {
    display: grid;
    place-items: center;
    width: 32px;
    height: 32px;
    border-radius: 50%;
    background: color-mix(in srgb, var(--text) 9%, transparent);
    color: var(--muted);
    font-size: 0.9em;
    font-weight: 600;
    overflow: hidden;
  }
  .avatar img { width: 100%; height: 100%; max-height: none; margin: 0; border-radius: 0; }
  .open {
    display: block;
    width: 100%;
    text-align: start;
    text-decoration: none;
    font-weight: 500;
    overflow-wrap: anywhere;
  }
  .unread .open { font-weight: 650; }
  .title { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; }
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
  img.category-icon { width: 24px; height: 24px; margin: 4px; border-radius: 0; object-fit: contain; }
  .avatar + .category-icon { position: absolute; inset-block-end: -4px; inset-inline-end: -4px; width: 16px; height: 16px; margin: 0; }
  .row { display: flex; flex-wrap: wrap; gap: 8px; margin-block-start: 10px; position: relative; z-index: 1; width: fit-content; }
  .foot { display: flex; align-items: center; gap: 6px; min-height: 32px; margin-block-end: -6px; color: var(--muted); font-size: 0.9em; }
  .facts { display: flex; align-items: center; column-gap: 16px; min-width: 0; flex: 1; clip-path: inset(0 -2px); white-space: nowrap; } /* without the separator before the first one */
  .facts > * { position: relative; }
  .facts > *::before { content: "·" / ""; position: absolute; inset-inline-end: calc(100% + 6px); color: var(--muted); font-weight: 400; }
  .facts :has(> bdi) { min-width: 0; }
  .facts bdi { display: block; overflow: hidden; text-overflow: ellipsis; }
  .urgent, .important { color: var(--danger); font-weight: 600; }
  .important { color: var(--text); }
  :host([compact]) .tools { display: none; }
  .tools { display: flex; position: relative; z-index: 1; margin-inline-end: -6px; }
  .tools .icon { min-width: min(var(--touch), 36px); } /* a phone has five in one line */
  @media (hover: hover) {
    article:hover { background: var(--hover); }
    article:not(:hover, :focus-within) .tools { position: absolute; inset-inline-end: 16px; opacity: 0; }
  }
  @media (pointer: coarse) {
    .foot { flex-wrap: wrap; row-gap: 0; }
    .facts { flex: auto; max-width: 100%; padding-block: 6px; }
    .tools { margin-inline-start: auto; }
  }
  .pill[aria-disabled=true] { cursor: default; }
  .pill[aria-disabled=true]:not(.taken) { opacity: 0.5; }
`;
