/** Errors that the hub answers with. */

const TRANSIENT = ["UNAVAILABLE", "RATE_LIMITED", "INTERNAL_SERVER_ERROR"];

/** What the hub refused, with the code of its error. */
export class HubError extends Error {
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }

  /** Whether the same request may succeed later. */
  get transient(): boolean {
    return TRANSIENT.includes(this.code);
  }
}

/** The first of a response's GraphQL errors. */
export function refusal(errors: readonly { message: string; extensions?: unknown }[]): HubError {
  const [first] = errors;
  const { code } = (first?.extensions ?? {}) as { code?: string };
  return new HubError(first?.message ?? "Refused", code ?? "INTERNAL_SERVER_ERROR");
}
