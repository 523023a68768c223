/** The styles of the demo page. */
import { css } from "lit";

export const pageStyles = css`
  header,
  main {
    max-width: 1440px;
    margin: 0 auto;
    padding: 0 20px;
  }
  header {
    display: flex;
    align-items: center;
    flex-wrap: wrap;
    gap: 4px 20px;
    padding-block: 14px;
  }
  h1 {
    display: flex;
    align-items: center;
    gap: 10px;
    margin: 0;
    font-size: 1.125rem;
    letter-spacing: -0.01em;
  }
  h1 svg {
    display: block;
  }
  nav {
    display: flex;
    gap: 18px;
    margin-inline-start: auto;
  }
  nav a {
    padding-block: 6px;
  }
  .status::before {
    content: "";
    display: inline-block;
    width: 8px;
    height: 8px;
    margin-inline-end: 7px;
    border-radius: 50%;
    background: var(--wait);
  }
  .status.live::before {
    background: var(--good);
  }
  @media (min-width: 1001px) {
    header {
      position: sticky;
      inset-block-start: 0;
      z-index: 1;
      background: var(--page);
    }
  }
  main {
    display: grid;
    grid-template-columns: 360px minmax(0, 1fr);
    grid-template-areas: "guide guide" "form devices" "form receipts" "events events" "outbox outbox" "audit audit" "keys keys";
    grid-template-rows: auto auto 1fr auto auto;
    gap: 20px;
    align-items: start;
    padding-bottom: 40px;
  }
  demo-guide {
    grid-area: guide;
    min-width: 0;
  }
  .devices {
    grid-area: devices;
    min-width: 0;
  }
  .devices > .row {
    min-height: 34px;
    margin-bottom: 10px;
  }
  .pair {
    display: grid;
    grid-template-columns: minmax(0, 1fr) 340px; /* the laptop is wide enough for a panel next to the page */
    gap: 20px;
  }
  .device {
    display: flex;
    flex-direction: column;
    overflow: hidden;
  }
  .device > div {
    display: flex;
    align-items: center;
    gap: 8px;
    padding: 8px 12px;
    border-bottom: 1px solid var(--line);
    background: var(--sunk);
  }
  .device strong {
    flex: 1;
    font-size: 0.875rem;
  }
  .device select {
    width: auto;
    min-height: 30px;
    padding: 2px 6px;
    font-size: 0.8125rem;
  }
  .device a {
    display: grid;
    place-items: center;
    width: 30px;
    height: 30px;
    border-radius: 8px;
  }
  svg {
    flex: none;
  }
  iframe {
    width: 100%;
    height: 470px;
    border: 0;
    background: var(--card);
  }
  demo-send-form {
    grid-area: form;
  }
  demo-receipts {
    grid-area: receipts;
    min-width: 0;
  }
  .outbox {
    grid-area: outbox;
    overflow: hidden;
  }
  .events {
    grid-area: events;
  }
  .events summary,
  .outbox summary {
    padding: 14px 18px;
    font-weight: 600;
    cursor: pointer;
  }
  .outbox iframe {
    height: 620px;
    border-top: 1px solid var(--line);
  }
  demo-service-keys {
    grid-area: keys;
    min-width: 0;
  }
  demo-audit-log {
    grid-area: audit;
    min-width: 0;
  }
  .error {
    grid-column: 1 / -1;
  }
  main > * {
    scroll-margin-block-start: 80px; /* below the header */
  }
  .toured {
    outline: 3px solid var(--accent);
    outline-offset: 6px;
    border-radius: 14px;
  }
  @media (max-width: 1350px) {
    .pair {
      grid-template-columns: minmax(0, 1fr);
    }
    .device:nth-child(2) {
      max-width: 390px;
    }
  }
  @media (max-width: 1000px) {
    main {
      grid-template-columns: minmax(0, 1fr);
      grid-template-areas: "guide" "form" "devices" "receipts" "events" "outbox" "audit" "keys";
    }
  }
  @media (max-width: 640px) {
    header,
    main {
      padding-inline: 12px;
    }
    .pair {
      gap: 14px;
    }
    nav {
      margin-inline-start: 0;
    }
    nav a {
      padding-block: 11px;
    }
    .device a {
      width: 44px;
      height: 44px;
    }
    .device select {
      min-height: 44px;
    }
  }
`;
