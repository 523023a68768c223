/** What the role of the token shows and may do. The hub checks every request: here, only what it rejects is hidden. */
import { session } from "./session";

const STAFF = ["viewer", "support", "operator"];
const ROLES = [...STAFF, "service", "admin"];
const HIDDEN = "***";

/** Return true if the role of the token may do what requires at least this role. The role of a service key is unknown. */
export function may(role: "viewer" | "support" | "operator" | "service" | "admin"): boolean {
  const own = ROLES.indexOf(session.role);
  return own < 0 || own >= ROLES.indexOf(role);
}

/** Return true if the audit log records each time that the token reads the content of messages. */
export const isContentRecorded = (): boolean => STAFF.includes(session.role);

/** Return true if the hub hides a text from the role viewer. */
export const isHidden = (text: string | null | undefined): boolean => text === HIDDEN;

/** Return a title for lists. */
export const titleOf = (title: string | null | undefined): string =>
  isHidden(title) ? "(hidden)" : title || "(no title)";
