"""Everything the hub says no with: one class per code. The door translates them once, in `api.failures`."""

from typing import Any, ClassVar


class HubError(Exception):
    """A refusal that the caller can act on. The message says what to change and holds nothing internal."""

    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"
    status: ClassVar[int] = 500
    """HTTP status where the whole request is refused."""

    def __init__(self, message: str, **extensions: Any) -> None:
        super().__init__(message)
        self.message = message
        self.extensions = extensions


class Unauthenticated(HubError):
    code = "UNAUTHENTICATED"
    status = 401


class Forbidden(HubError):
    code = "FORBIDDEN"
    status = 403


class BadUserInput(HubError):
    """`field` names the argument or input field at fault, with dots: `input.content.title`."""

    code = "BAD_USER_INPUT"
    status = 400

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message, field=field)


class WrongMediaType(BadUserInput):
    """A body that is not what is accepted; the message says what is."""

    status = 415


class NotFound(HubError):
    """Missing, or somebody else's: the two look alike."""

    code = "NOT_FOUND"
    status = 404


class Conflict(HubError):
    """An idempotency key was used before, with another input."""

    code = "CONFLICT"
    status = 409


class TooLarge(HubError):
    code = "TOO_LARGE"
    status = 413


class RateLimited(HubError):
    """`retry_after_s`: seconds after which the same call may pass."""

    code = "RATE_LIMITED"
    status = 429

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message, retryAfter=retry_after_s)
        self.retry_after_s = retry_after_s


class PersistedQueryNotFound(HubError):
    """The hash of no text the hub knows. Message and code are those that Apollo's clients look for."""

    code = "PERSISTED_QUERY_NOT_FOUND"
    status = 400

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound")


class OperationNotAllowed(HubError):
    """Only the operations of a list run, and this is none of them."""

    code = "PERSISTED_QUERY_NOT_IN_LIST"
    status = 403


class CursorExpired(HubError):
    code = "CURSOR_EXPIRED"
    status = 400


class Unavailable(HubError):
    """The store did not answer in time. The change may have been committed: retry with an idempotency key."""

    code = "UNAVAILABLE"
    status = 503
