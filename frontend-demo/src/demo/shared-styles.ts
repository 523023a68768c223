/** Styles that all elements of the demo share. */
import { css } from "lit";

export const sharedStyles = css`
  :host {
    display: block;
  }
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  h2 {
    margin: 0;
    font-size: 1.0625rem;
    line-height: 1.4;
    letter-spacing: -0.01em;
  }
  a {
    color: var(--accent);
    text-underline-offset: 0.2em;
  }
  .card {
    background: var(--card);
    border: 1px solid var(--line);
    border-radius: 14px;
    box-shadow: var(--shadow);
  }
  .quiet {
    color: var(--quiet);
  }
  .small {
    font-size: 0.8125rem;
  }
  .hidden {
    position: absolute;
    width: 1px;
    height: 1px;
    margin: 0;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  .choices {
    display: flex;
    flex-wrap: wrap;
    gap: 6px;
    margin: 0;
    padding: 0;
    border: 0;
  }
  .choices legend {
    position: absolute;
    clip-path: inset(50%);
  }
  .row {
    display: flex;
    align-items: center;
    gap: 8px;
    flex-wrap: wrap;
  }
  .spread {
    justify-content: space-between;
  }
  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
  }
  button,
  select,
  input,
  textarea {
    font: inherit;
    color: inherit;
  }
  input:not([type="checkbox"], [type="radio"]),
  textarea,
  select {
    width: 100%;
    min-height: 38px;
    padding: 7px 10px;
    border: 1px solid var(--edge);
    border-radius: 9px;
    background: var(--card);
  }
  textarea {
    display: block;
    resize: vertical;
  }
  select {
    cursor: pointer;
    text-overflow: ellipsis;
  }
  button {
    min-height: 38px;
    padding: 7px 14px;
    border: 1px solid var(--edge);
    border-radius: 9px;
    background: var(--card);
    font-weight: 600;
    cursor: pointer;
  }
  button:hover:not(:disabled) {
    background: var(--sunk);
  }
  button:disabled {
    opacity: 0.6;
    cursor: default;
  }
  button.main {
    border-color: transparent;
    background: var(--accent);
    color: var(--on-accent);
  }
  button.main:hover:not(:disabled) {
    background: color-mix(in srgb, var(--accent), var(--text) 15%);
  }
  button.plain {
    min-height: 28px;
    padding: 2px 6px;
    margin-inline-end: -6px;
    border: 0;
    background: none;
    color: var(--accent);
    font-size: 0.8125rem;
  }
  /* Radio buttons and checkboxes, drawn as pills. */
  .choice {
    position: relative;
    display: inline-flex;
    align-items: center;
    min-height: 32px;
    padding: 4px 12px;
    border: 1px solid var(--edge);
    border-radius: 99px;
    font-size: 0.875rem;
    cursor: pointer;
    user-select: none;
  }
  .choice input {
    position: absolute;
    inset: 0;
    margin: 0;
    opacity: 0;
    cursor: pointer;
  }
  .choice:has(:checked) {
    border-color: var(--accent);
    background: var(--accent-soft);
    color: var(--accent);
    font-weight: 600;
  }
  .choice:has(:focus-visible) {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
  }
  .badge {
    display: inline-block;
    padding: 1px 9px;
    border-radius: 99px;
    font-size: 0.8125rem;
    font-weight: 600;
    white-space: nowrap;
    background: var(--sunk);
    color: var(--quiet);
    box-shadow: inset 0 0 0 1px var(--line);
  }
  .badge.good {
    background: var(--good-soft);
    color: var(--good);
    box-shadow: none;
  }
  .badge.wait {
    background: var(--wait-soft);
    color: var(--wait);
    box-shadow: none;
  }
  .badge.bad {
    background: var(--bad-soft);
    color: var(--bad);
    box-shadow: none;
  }
  table {
    width: 100%;
    border-collapse: collapse;
    font-size: 0.875rem;
  }
  th,
  td {
    padding: 8px 12px 8px 0;
    border-bottom: 1px solid var(--line);
    text-align: start;
    vertical-align: top;
  }
  tr:last-child > td,
  tr:last-child > th {
    border-bottom: 0;
  }
  thead th {
    font-size: 0.75rem;
    font-weight: 600;
    color: var(--quiet);
    border-bottom: 1px solid var(--line) !important;
  }
  tbody th {
    font-weight: 600;
  }
  .error {
    margin: 0;
    padding: 8px 12px;
    border-radius: 9px;
    background: var(--bad-soft);
    color: var(--bad);
    overflow-wrap: anywhere;
  }
  @media (pointer: coarse), (max-width: 640px) {
    button:not(.plain),
    select,
    input:not([type="checkbox"], [type="radio"]),
    .choice {
      min-height: 44px;
    }
    button.plain {
      min-height: 44px;
    }
    /* Phones zoom in on fields with smaller text. */
    input,
    textarea,
    select {
      font-size: 16px;
    }
  }
`;
