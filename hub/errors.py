"""Errors returned to callers, one class per code. `api/errors.py` converts them to GraphQL."""

from typing import Any, ClassVar


class HubError(Exception):
    """An error that the caller can act on. The message says what to change and contains nothing internal."""

    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"
    status: ClassVar[int] = 500
    """HTTP status if the whole request is rejected."""

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
    """`field` is the path of the invalid argument or input field, with dots: `input.content.title`."""

    code = "BAD_USER_INPUT"
    status = 400

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message, field=field)


class WrongMediaType(BadUserInput):
    """The media type of the body is not supported. The message lists the supported ones."""

    status = 415


class NotFound(HubError):
    """The object does not exist or belongs to somebody else. The two cases look the same to callers."""

    code = "NOT_FOUND"
    status = 404


class Conflict(HubError):
    """The idempotency key was used before with another input."""

    code = "CONFLICT"
    status = 409


class TooLarge(HubError):
    code = "TOO_LARGE"
    status = 413


class RateLimited(HubError):
    """`retry_after_s`: seconds after which the same call may be accepted."""

    code = "RATE_LIMITED"
    status = 429

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message, retryAfter=retry_after_s)
        self.retry_after_s = retry_after_s


class PersistedQueryNotFound(HubError):
    """No stored query has this hash. Apollo clients check for this message and code."""

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
    """MongoDB did not respond in time. The change may have been committed: retry with an idempotency key."""

    code = "UNAVAILABLE"
    status = 503
