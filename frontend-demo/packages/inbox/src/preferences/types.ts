/** The input for the sections of `<hub-preferences>`. */
import type { nothing, TemplateResult } from "lit";
import type { PreferencesI18n } from "../locales/preferences";
import type { Channel, Device, Explanation, Matrix, QuietWindow, Row, Subscription } from "../../../client/src/preferences/operations";
import type { Chat } from "./chats";
import type { ChatEntries, PreferencesStore, Refusal } from "../../../client/src/preferences/preferences-store";

/** `explanation` is undefined while it is loading, and null if the notification is not in the inbox. */
export type DialogState =
  | { kind: "mute"; category: Row["category"] }
  | { kind: "remove"; device: Device }
  | { kind: "disturb" }
  /** `chat` is selected. `refused` contains the entries that the hub refused and the reason. */
  | { kind: "chat"; chat?: Chat; refused?: { entries: ChatEntries; reason: Refusal } }
  /** `refused` contains the entries that the hub refused and the reason. */
  | { kind: "quiet"; index: number; refused?: { window: QuietWindow; reason: Refusal } }
  /** The channels of a category that have the same choice, or a new choice without `category`. */
  | { kind: "collect"; category?: string; channels: Channel[] }
  | { kind: "why"; id: string; explanation?: Explanation | null };

export interface SectionProps {
  matrix: Matrix;
  devices: Device[];
  /** The chats that the user can connect. */
  chats: Chat[];
  /** The visible topics that the user follows or has left. */
  topics: Subscription[];
  /** The user's time zone. */
  timezone: string;
  store: PreferencesStore;
  i18n: PreferencesI18n;
  t: PreferencesI18n["t"];
  /** The current time in milliseconds on the hub's clock. */
  now: number;
  openDialog(dialog: DialogState): void;
  /** Open a dialog again if the user has not opened another one. */
  reopenDialog(dialog: DialogState): void;
  /** Return true if the row of a category is open on a narrow page. The key of the row for all notifications is empty. */
  isOpen(key: string): boolean;
  /** Open or close the row of a category. */
  toggle(key: string): void;
  /** Let the user add an address or a device for a channel. */
  addAddress(channel: Channel): void;
  /** Show a message and announce it to screen readers. */
  showMessage(text: string): void;
  /** Move the focus to a heading after the focused element was removed. */
  focusHeading(id: string): void;
  /** The id of the device that represents this browser, if it is registered. */
  thisDevice: string | undefined;
}

export type Section = (props: SectionProps) => TemplateResult | typeof nothing;
