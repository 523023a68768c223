/** Styles of the send form. */
import { css } from "lit";

export const sendFormStyles = css`
  form {
    display: grid;
    gap: 14px;
    padding: 18px;
  }
  label.field,
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
    display: grid;
    grid-template-columns: 1fr 1fr;
    gap: 10px;
  }
  .result {
    min-height: 1.5em;
    margin: 0;
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
  summary {
    width: fit-content;
    padding-block: 4px;
    border-radius: 6px;
    color: var(--accent);
    font-size: 0.8125rem;
    font-weight: 600;
    cursor: pointer;
  }
  @media (pointer: coarse), (max-width: 640px) {
    summary {
      padding-block: 12px;
    }
  }
  #digest {
    grid-column: 1 / -1;
    margin-top: -7px;
  }
  .options {
    display: grid;
    gap: 14px;
    padding-top: 8px;
  }
  .choices {
    display: flex;
    flex-wrap: wrap;
    gap: 6px;
  }
`;
