/** Errors that the hub returns. */

const TRANSIENT = ["UNAVAILABLE", "RATE_LIMITED", "INTERNAL_SERVER_ERROR"];

/** An error of the GraphQL API. `code` is the value of `extensions.code`. */
export class HubError extends Error {
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }

  /** True if the same request may succeed later. */
  get transient(): boolean {
    return TRANSIENT.includes(this.code);
  }
}

/** Convert the first GraphQL error of a response. */
export function toHubError(errors: readonly { message: string; extensions?: unknown }[]): HubError {
  const [first] = errors;
  const { code } = (first?.extensions ?? {}) as { code?: string };
  return new HubError(first?.message ?? "Refused", code ?? "INTERNAL_SERVER_ERROR");
}
