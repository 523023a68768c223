/** The colors and controls that all elements have. Pages change them with custom properties (see `docs/frontend/theming.md`). */
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
    font-size: max(14px, 0.875rem); /* grows with the reader's font size; all others are relative to it */
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
