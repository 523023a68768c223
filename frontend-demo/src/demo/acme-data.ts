/** Sample data of the Acme app. */

export interface Issue {
  key: string;
  title: string;
  state: "open" | "doing" | "done";
  label: string;
  assignee: string;
}

export const ISSUES: readonly Issue[] = [
  { key: "PAY-412", title: "Retry failed payments", state: "doing", label: "payments", assignee: "bob" },
  { key: "PAY-409", title: "Refunds show the wrong currency", state: "open", label: "bug", assignee: "alice" },
  { key: "WEB-233", title: "Health check responds within a second", state: "doing", label: "deploys", assignee: "alice" },
  { key: "WEB-230", title: "Sign in with a passkey", state: "open", label: "accounts", assignee: "bob" },
  { key: "WEB-228", title: "Invoices as PDF", state: "done", label: "billing", assignee: "alice" },
  { key: "PAY-397", title: "Remind before a card expires", state: "done", label: "payments", assignee: "bob" },
];

/** Parse a path in the app, such as `/deploys/web-9`, into the kind and the name of the object. */
export function parseRoute(path: string): { kind: string; name: string } {
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
