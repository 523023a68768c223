/** Styles of the send form. */
import { css } from "lit";

export const sendFormStyles = css`
  form {
    display: grid;
    gap: 14px;
    padding: 18px;
  }
  .field,
  fieldset {
    display: grid;
    gap: 5px;
    min-width: 0;
    margin: 0;
    padding: 0;
    border: 0;
  }
  .name {
    padding: 0;
    font-size: 0.8125rem;
    font-weight: 600;
  }
  legend {
    margin-bottom: 5px;
  }
  .pair {
    display: grid;
    grid-template-columns: 1fr 1fr;
    gap: 12px;
  }
  @media (max-width: 400px) {
    .pair {
      grid-template-columns: minmax(0, 1fr);
    }
  }
  .actions {
    position: sticky;
    bottom: 0;
    display: grid;
    grid-template-columns: 1fr 1fr;
    gap: 10px;
    margin-block: -14px -10px;
    padding-block: 14px;
    background: var(--card);
  }
  /* The buttons, which stay at the bottom of the window, do not cover the focused field. */
  input,
  textarea,
  select,
  summary,
  .problem {
    scroll-margin-block: 90px;
  }
  .actions p {
    grid-column: 1 / -1;
    margin: 0;
  }
  .result:empty {
    position: absolute;
  }
  .recipients {
    display: grid;
    gap: 10px;
    margin-top: 5px;
  }
  .recipients .empty {
    margin: 0;
    padding: 12px;
    border: 1px dashed var(--edge);
    border-radius: 9px;
  }
  .hint {
    display: flex;
    align-items: center;
    justify-content: space-between;
    min-height: 28px;
  }
  .code {
    font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace;
    font-size: 0.8125rem;
  }
  [aria-invalid] {
    border-color: var(--bad) !important;
  }
  .problem {
    margin: 0;
    color: var(--bad);
  }
  .check {
    display: flex;
    align-items: center;
    gap: 8px;
    width: fit-content;
    min-height: 28px;
    font-size: 0.875rem;
    cursor: pointer;
  }
  .check input {
    width: 16px;
    height: 16px;
    margin: 0;
    accent-color: var(--accent);
  }
  .options {
    border-block: 1px solid var(--line);
  }
  details + details {
    border-top: 1px solid var(--line);
  }
  summary {
    display: flex;
    align-items: center;
    gap: 8px;
    min-height: 40px;
    border-radius: 6px;
    font-size: 0.8125rem;
    font-weight: 600;
    list-style: none;
    cursor: pointer;
  }
  summary::-webkit-details-marker {
    display: none;
  }
  summary::before {
    content: "";
    flex: none;
    width: 6px;
    height: 6px;
    margin-inline: 3px 2px;
    border: solid var(--quiet);
    border-width: 0 1.5px 1.5px 0;
    transform: rotate(-45deg);
  }
  [open] > summary::before {
    transform: translateY(-2px) rotate(45deg);
  }
  summary .value {
    flex: 1;
    min-width: 0;
    font-weight: 400;
    text-align: end;
    overflow-wrap: anywhere;
  }
  .set .value {
    color: var(--accent);
    font-weight: 600;
  }
  details .content {
    display: grid;
    gap: 12px;
    padding: 4px 0 16px;
  }
  .content p {
    margin: 0;
  }
  @media (pointer: coarse), (max-width: 640px) {
    summary,
    .check {
      min-height: 44px;
    }
    .check input {
      width: 20px;
      height: 20px;
    }
    .code {
      font-size: 16px;
    }
  }
  .choices {
    display: flex;
    flex-wrap: wrap;
    gap: 6px;
  }
`;
