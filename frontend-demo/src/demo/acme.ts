/** What Acme's people work on. Made up, and the same for everybody. */

export interface Issue {
  key: string;
  title: string;
  state: "open" | "doing" | "done";
  label: string;
  who: string;
}

export const ISSUES: readonly Issue[] = [
  { key: "PAY-412", title: "Retry failed payments", state: "doing", label: "payments", who: "bob" },
  { key: "PAY-409", title: "Refunds show the wrong currency", state: "open", label: "bug", who: "alice" },
  { key: "WEB-233", title: "Health check answers within a second", state: "doing", label: "deploys", who: "alice" },
  { key: "WEB-230", title: "Sign in with a passkey", state: "open", label: "accounts", who: "bob" },
  { key: "WEB-228", title: "Invoices as PDF", state: "done", label: "billing", who: "alice" },
  { key: "PAY-397", title: "Remind before a card expires", state: "done", label: "payments", who: "bob" },
];

/** What an address inside the app shows: where notifications lead. */
export function placeOf(path: string): { kind: string; name: string } {
  const [kind = "", ...rest] = path.split("/").filter(Boolean);
  const singular = kind.replace(/s$/, "");
  return { kind: singular.charAt(0).toUpperCase() + singular.slice(1), name: decoded(rest.join("/")) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
