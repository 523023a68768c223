/** The styles of the preferences, which use the custom properties of the inbox. */
import { css } from "lit";
import { theme } from "../inbox/theme";

const own = css`
  :host { display: block; color: inherit; } /* headings are on the page's own background */
  .all { position: relative; container-type: inline-size; }
  section { margin-block-end: 32px; }
  h2 { width: fit-content; margin: 0 0 12px; font-size: max(15px, 0.9375rem); font-weight: 650; letter-spacing: -0.005em; }
  p { margin: 0; }
  ul { margin: 0; padding: 0; list-style: none; }
  strong, .name { font-weight: 550; }
  svg { width: 1.15em; height: 1.15em; }
  .muted-text { color: var(--muted); font-size: max(13px, 0.8125rem); }
  .refusal { margin-block: 8px 0; color: var(--danger); font-size: max(13px, 0.8125rem); }
  .note { display: flex; align-items: flex-start; gap: 5px; margin-block-start: 2px; color: var(--muted); font-size: max(12px, 0.75rem); }
  .note svg { margin-block-start: 2px; }
  .badge {
    margin-inline-start: 8px;
    padding: 1px 8px;
    border-radius: 99px;
    background: color-mix(in srgb, var(--accent) 14%, transparent);
    color: var(--text);
    font-size: max(12px, 0.75rem);
  }

  .button {
    display: inline-flex;
    align-items: center;
    justify-content: center;
    gap: 6px;
    min-height: var(--touch);
    padding: 0 12px;
    border: 1px solid var(--border);
    border-radius: 8px;
    background: var(--raised);
    color: var(--text);
    font: inherit;
    font-size: max(13px, 0.8125rem);
    font-weight: 550;
    white-space: nowrap;
  }
  .button:hover { border-color: var(--muted); }
  .button.primary { border-color: transparent; background: var(--accent); color: var(--on-accent); }
  .button.danger { border-color: transparent; background: var(--danger); color: light-dark(#fff, #1d0606); }
  .button.quiet { border-color: transparent; background: none; }
  .button:disabled { opacity: 0.6; cursor: default; }

  .row { display: flex; align-items: center; gap: 16px; padding: 12px 16px; }
  .lead { margin-block-end: 12px; }
  .row .grow { flex: 1; min-width: 0; overflow-wrap: anywhere; }
  ul, .push, table, .empty {
    border: 1px solid var(--border);
    border-radius: var(--radius);
    background: var(--background);
    color: var(--text);
  }
  li + li { border-block-start: 1px solid var(--border); }
  .push { margin-block-end: 12px; }
  details { margin-block-start: 12px; }
  summary { width: fit-content; padding: 8px 4px; font-size: max(13px, 0.8125rem); font-weight: 550; cursor: pointer; }
  .empty { padding: 28px 16px; color: var(--muted); text-align: center; }
  .delayed { animation: delayed 0.5s step-end; } /* the page may be about to set the token */
  @keyframes delayed { from { visibility: hidden; } }
  .empty .button { margin-block-start: 12px; }

  .scroll { overflow-x: auto; border-radius: var(--radius); }
  table { width: 100%; border-collapse: separate; border-spacing: 0; }
  th, td { padding: 12px 10px; text-align: center; vertical-align: middle; }
  tbody th, thead th:first-child { padding-inline-start: 16px; text-align: start; }
  tbody :is(th, td) { border-block-start: 1px solid var(--border); }
  thead th { padding-block: 10px; color: var(--muted); font-size: max(12px, 0.75rem); font-weight: 550; }
  tbody th { min-width: 170px; font-weight: 400; }
  th .name, th .muted-text { display: block; }
  .everything :is(th, td) { background: var(--hover); }
  .end { width: 1%; padding-inline-end: 16px; text-align: end; }
  .muted td:not(.end) .switch { opacity: 0.45; }
  td > .muted-text { font-size: max(12px, 0.75rem); }
  .line, .narrow { display: none; }

  .switch { display: inline-grid; place-items: center; min-width: max(44px, var(--touch)); min-height: max(32px, var(--touch)); border-radius: 8px; }
  .track {
    display: flex;
    align-items: center;
    width: 36px;
    height: 20px;
    padding: 0 2px;
    border: 1px solid var(--muted);
    border-radius: 10px;
    background: color-mix(in srgb, var(--muted) 22%, var(--background));
  }
  .knob { display: grid; place-items: center; width: 14px; height: 14px; border-radius: 50%; background: var(--muted); color: var(--background); }
  .knob svg { width: 10px; height: 10px; stroke-width: 2; }
  [aria-checked="true"] .track { justify-content: flex-end; border-color: var(--accent); background: var(--accent); }
  [aria-checked="true"] .knob { background: var(--on-accent); color: var(--accent); }
  [aria-disabled="true"] { cursor: not-allowed; }
  [aria-disabled="true"] .track { border-style: dashed; opacity: 0.75; }
  [aria-disabled="true"][aria-checked="true"] .track { border-color: var(--muted); background: var(--muted); }
  [aria-disabled="true"][aria-checked="true"] .knob { background: var(--background); color: var(--text); }

  @container (max-width: 620px) {
    thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
    .scroll { overflow: visible; }
    table, tbody, tr, tbody th { display: block; }
    table { overflow: clip; }
    tr + tr { border-block-start: 1px solid var(--border); }
    tbody :is(th, td) { border: 0; padding: 0; }
    tbody .everything :is(th, td) { background: none; }
    tr.open { padding-block-end: 12px; }
    tr:is(.everything, .open), .line:hover { background: var(--hover); }
    tbody .wide, tr:not(.open) :is(td, .details) { display: none; }
    .narrow { display: block; }
    td > .muted-text:has(+ .narrow) { display: none; } /* the button says it */
    .line { display: flex; align-items: center; gap: 12px; width: 100%; padding: 10px 16px; text-align: start; }
    .line:focus-visible { outline-offset: -2px; }
    .line .grow { flex: 1; min-width: 0; overflow-wrap: anywhere; }
    .line > svg { color: var(--muted); }
    .open .line > svg { rotate: 180deg; }
    .line .summary { display: flex; align-items: center; gap: 5px; }
    .details { padding: 0 16px 6px; }
    .open td { display: flex; align-items: center; gap: 12px; min-height: max(40px, var(--touch)); padding: 0 16px; text-align: start; }
    td[data-channel]::before { content: attr(data-channel); flex: 1; }
    tbody .end { width: auto; }
    .end:not(:has(button)) { display: none; }
    .row { flex-wrap: wrap; gap: 8px 12px; }
    .row .grow { flex-basis: 60%; }
    .end .button { flex: 1; margin-block-start: 8px; }
    .switch { margin-inline-end: -4px; }
  }

  dialog {
    width: min(420px, calc(100vw - 32px));
    padding: 0;
    border: 1px solid var(--border);
    border-radius: var(--radius);
    background: var(--background);
    color: var(--text);
    box-shadow: var(--shadow);
  }
  dialog::backdrop { background: rgb(0 0 0 / 0.4); }
  .sheet { padding: 20px; overflow-wrap: anywhere; }
  .sheet [dir] { text-align: left; } /* texts in another direction stay on the dialog's side */
  .all:dir(rtl) .sheet [dir] { text-align: right; }
  .sheet h2 { margin-block-end: 6px; font-size: max(16px, 1rem); }
  .sheet p + p { margin-block-start: 6px; }
  .sheet .title { margin-block-start: 10px; font-weight: 550; }
  dl { display: grid; grid-template-columns: auto 1fr; gap: 6px 16px; margin: 14px 0 0; padding-block-start: 14px; border-block-start: 1px solid var(--border); font-size: max(13px, 0.8125rem); }
  dt { color: var(--muted); }
  dd { margin: 0; }
  .below { margin-block-start: 12px; }
  form input:is([type="url"], [type="text"]) { width: 100%; min-width: 0; }
  select, input:is([type="time"], [type="date"], [type="url"], [type="text"]) {
    min-height: var(--touch);
    padding: 0 10px;
    border: 1px solid var(--muted);
    border-radius: 8px;
    background: var(--raised);
    color: var(--text);
    font: inherit;
    font-size: max(13px, 0.8125rem);
    font-weight: 400;
  }
  .actions { display: flex; gap: 8px; }
  .fields { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; }
  form label, legend { font-size: max(13px, 0.8125rem); font-weight: 550; }
  form label:not(.day) { display: grid; gap: 4px; margin-block-start: 14px; }
  fieldset { margin: 14px 0 0; padding: 0; border: 0; }
  .daily { margin: 0; }
  legend { padding: 0; margin-block-end: 4px; }
  .days { display: grid; grid-template-columns: repeat(7, 1fr); gap: 4px; }
  .pills { display: flex; flex-wrap: wrap; gap: 4px; }
  .pills .day { padding: 0 12px; }
  .day { position: relative; display: grid; place-items: center; min-height: max(36px, var(--touch)); border: 1px solid var(--muted); border-radius: 8px; cursor: pointer; }
  .day input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: pointer; }
  .day:has(:checked) { border-color: var(--accent); background: var(--accent); color: var(--on-accent); }
  .day:has(:focus-visible) { outline: 2px solid var(--accent); outline-offset: 2px; }
  .choices { display: grid; gap: 8px; margin-block-start: 16px; }
  .choices .button { min-height: max(40px, var(--touch)); }
  .pairs { grid-template-columns: 1fr 1fr; }
  .pairs .button { padding-block: 6px; white-space: normal; }
  .until { display: flex; align-items: end; gap: 8px; }
  .until label { flex: 1; min-width: 0; }
  .side { grid-auto-flow: column; justify-content: end; }
  @media (max-width: 520px) {
    dialog { width: 100vw; max-width: none; margin: auto 0 0; border-width: 1px 0 0; border-radius: var(--radius) var(--radius) 0 0; }
    .sheet { padding-block-end: max(20px, env(safe-area-inset-bottom)); }
  }

  .toast {
    position: fixed;
    z-index: 1;
    inset-block-end: 24px;
    inset-inline: 16px;
    width: fit-content;
    margin-inline: auto;
    padding: 10px 16px;
    border-radius: 10px;
    background: var(--text);
    color: var(--background);
    box-shadow: var(--shadow);
  }
  .loading i { display: block; height: 52px; margin-block-end: 8px; border-radius: var(--radius); background: var(--hover); }
  @media (prefers-reduced-motion: no-preference) {
    .track, .knob, .button { transition: background 0.12s, border-color 0.12s; }
    .loading i { animation: breathe 1.4s infinite alternate; }
    @keyframes breathe { to { opacity: 0.45; } }
  }
  @media (forced-colors: active) {
    .track { border-color: ButtonText; }
    .day:has(:checked) { background: Highlight; color: HighlightText; forced-color-adjust: none; }
    .knob { background: ButtonText; forced-color-adjust: none; }
    [aria-checked="true"] .track { background: Highlight; forced-color-adjust: none; }
  }
`;

export const styles = [theme, own];
