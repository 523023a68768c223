/** Errors that the hub returns. */

const TRANSIENT = ["UNAVAILABLE", "RATE_LIMITED", "INTERNAL_SERVER_ERROR"];

/** An error of the GraphQL API. `code` and `field` are the values in `extensions`. */
export class HubError extends Error {
  readonly code: string;
  /** The path of the invalid input, such as `input.content.title`. */
  readonly field: string | undefined;

  constructor(message: string, code: string, field?: string) {
    super(message);
    this.code = code;
    this.field = field;
  }

  /** True if the same request may succeed later. */
  get transient(): boolean {
    return TRANSIENT.includes(this.code);
  }
}

/** Convert the first GraphQL error of a response. */
export function toHubError(errors: readonly { message: string; extensions?: unknown }[]): HubError {
  const [first] = errors;
  const { code, field } = (first?.extensions ?? {}) as { code?: string; field?: string };
  return new HubError(first?.message ?? "Refused", code ?? "INTERNAL_SERVER_ERROR", field);
}
