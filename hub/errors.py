"""Errors returned to callers, one class per code. `api/errors.py` converts them to GraphQL."""

from typing import Any, ClassVar


class HubError(Exception):
    """An error that the caller can act on. The message states what to change and contains no internal details."""

    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"
    status: ClassVar[int] = 500
    """The HTTP status if the whole request is rejected."""

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
    """An argument or input field is invalid. `field` is its path, separated by dots: `input.content.title`."""

    code = "BAD_USER_INPUT"
    status = 400

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message, field=field)


class WrongMediaType(BadUserInput):
    """The media type of the body is not supported. The message lists the supported types."""

    status = 415


class NotFound(HubError):
    """The object does not exist or belongs to another user or tenant. Callers cannot distinguish the two cases."""

    code = "NOT_FOUND"
    status = 404


class Conflict(HubError):
    """The idempotency key was already used with a different input, or the object has ended or was decided."""

    code = "CONFLICT"
    status = 409


class TooLarge(HubError):
    code = "TOO_LARGE"
    status = 413


class RateLimited(HubError):
    """A rate limit was exceeded. `retry_after_s`: the seconds to wait before the same call may be accepted."""

    code = "RATE_LIMITED"
    status = 429

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message, retryAfter=retry_after_s)
        self.retry_after_s = retry_after_s


class PersistedQueryNotFound(HubError):
    """No stored query has this hash. Apollo clients depend on this message and code."""

    code = "PERSISTED_QUERY_NOT_FOUND"
    status = 400

    def __init__(self) -> None:
        super().__init__("PersistedQueryNotFound")


class OperationNotAllowed(HubError):
    """The operation is not on the allowlist."""

    code = "PERSISTED_QUERY_NOT_IN_LIST"
    status = 403


class CursorExpired(HubError):
    code = "CURSOR_EXPIRED"
    status = 400


class Unavailable(HubError):
    """MongoDB did not respond in time, or the machine is too busy. The change may have been committed: retry with an
    idempotency key."""

    code = "UNAVAILABLE"
    status = 503
