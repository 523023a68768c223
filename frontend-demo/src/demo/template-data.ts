/** The JSON data of a send with a template. */

/** Data for the templates of the demo. */
const EXAMPLES: Record<string, object> = {
  invoice: { invoice: "2026-131", amount: 84, currency: "EUR" },
  "deploy-failed": { service: "web-9", reason: "The health check did not respond within 30 s." },
};
/** Names that the hub provides. */
const PROVIDED = new Set(["user", "tenant", "notification", "enriched"]);
const PATH = /^[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*$/;

/** Return example data for a template as JSON. For an unknown template, it has the template's variables. */
export function exampleData(template: string, variables: readonly string[]): string {
  return JSON.stringify(EXAMPLES[template] ?? outline(variables), null, 2);
}

function outline(variables: readonly string[]): object {
  const data: Record<string, unknown> = {};
  for (const variable of [...variables].sort()) {
    const names = variable.replace(/^data\./, "").split(".");
    if (!PATH.test(variable) || PROVIDED.has(names[0]!)) continue;
    let at = data;
    for (const name of names.slice(0, -1)) {
      if (typeof at[name] !== "object") at[name] = {};
      at = at[name] as Record<string, unknown>;
    }
    at[names.at(-1)!] ??= "";
  }
  return data;
}

/** Parse a JSON object, or throw an error that says what to change. `name`: what the object is. */
export function objectOf(json: string, name: string): object {
  let value: unknown;
  try {
    value = JSON.parse(json.trim() || "{}");
  } catch (error) {
    throw new Error(`The ${name} is not valid JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error(`The ${name} must be a JSON object.`);
  return value;
}
