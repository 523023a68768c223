/** What a section of the preferences is given. Quiet hours, digests and a daily limit will each be one more file. */
import type { nothing, TemplateResult } from "lit";
import type { Device, Explained, Matrix, Row } from "./operations";
import type { Phrases } from "./phrases";
import type { Wishes } from "./wishes";

/** What a dialog is about. `told`: undefined while it is asked for, null where it is not there. */
export type Asked =
  | { kind: "mute"; category: Row["category"] }
  | { kind: "remove"; device: Device }
  | { kind: "why"; id: string; told?: Explained | null };

export interface View {
  matrix: Matrix;
  devices: Device[];
  wishes: Wishes;
  phrases: Phrases;
  say: Phrases["say"];
  /** Opens a dialog. */
  open(asked: Asked): void;
  /** Says something to people who see and to people who listen. */
  tell(words: string): void;
  /** Where the focus goes when what had it is not there any more: to a heading. */
  focus(heading: string): void;
  /** The device that is this browser, if it is known. */
  here: string | undefined;
}

export type Section = (view: View) => TemplateResult | typeof nothing;
