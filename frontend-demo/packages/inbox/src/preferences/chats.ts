/** The chats of a user: Slack, Discord, and Teams, and the dialog to connect one. */
import { html, nothing, type TemplateResult } from "lit";
import type { Matrix } from "../../../client/src/preferences/operations";
import type { ChatEntries } from "../../../client/src/preferences/preferences-store";
import type { DialogState, SectionProps } from "./types";

const LABEL_MAX_CHARS = 256;
const URLS = {
  SLACK: "https://hooks.slack.com/services/…",
  DISCORD: "https://discord.com/api/webhooks/…",
  TEAMS: "https://….logic.azure.com/workflows/…",
};
export type Chat = keyof typeof URLS;

export const isChat = (channel: string): channel is Chat => channel in URLS;

/** The chats that the hub can send to. */
export const chatsOf = ({ channels }: Matrix): Chat[] => channels.map(({ channel }) => channel).filter(isChat);

export function chatDialog(
  { chat: chosen, refused }: Extract<DialogState, { kind: "chat" }>,
  { chats, i18n, t, store, showMessage, reopenDialog: reopen }: SectionProps,
  close: () => void,
): TemplateResult {
  const { kind, url, label } = refused?.entries ?? { kind: chosen ?? chats[0]!, url: "", label: null };

  const connect = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const values = new FormData(event.target as HTMLFormElement);
    const text = (name: string): string => (values.get(name) as string).trim();
    const entries: ChatEntries = { kind: text("kind") as Chat, url: text("url"), label: text("label") || null };
    close();
    if (await store.connectChat(entries)) showMessage(t("chatConnected", { chat: entries.label ?? i18n.label(entries.kind) }));
    else reopen({ kind: "chat", refused: { entries, reason: store.refusal } });
  };

  const showExample = ({ target }: Event): void => {
    const { form, value } = target as HTMLSelectElement;
    form!.querySelector<HTMLInputElement>("[name=url]")!.placeholder = URLS[value as Chat];
  };

  return html`<form @submit=${connect} autocomplete="off">
    <h2 id="dialog-title">${t("chatAdd")}</h2>
    <p class="muted-text" id="chat-hint">${t("chatHint")}</p>
    ${refused ? html`<p class="refusal" role="alert">${t(refused.reason)}</p>` : nothing}
    <label>
      ${t("chatKind")}
      <select name="kind" @change=${showExample} ?autofocus=${!refused}>
        ${chats.map((chat) => html`<option value=${chat} ?selected=${chat === kind}>${i18n.label(chat)}</option>`)}
      </select>
    </label>
    <label>
      ${t("chatUrl")}
      <input
        type="url"
        name="url"
        dir="ltr"
        required
        spellcheck="false"
        placeholder=${URLS[kind as Chat]}
        aria-describedby="chat-hint"
        ?autofocus=${Boolean(refused)}
        .value=${url}
      />
    </label>
    <label>${t("chatLabel")} <input type="text" name="label" dir="auto" maxlength=${LABEL_MAX_CHARS} .value=${label ?? ""} /></label>
    <div class="choices side">
      <button class="button" type="button" @click=${close}>${t("cancel")}</button>
      <button class="button primary">${t("chatConnect")}</button>
    </div>
  </form>`;
}
