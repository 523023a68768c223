"""Converts exceptions to GraphQL errors."""

from collections.abc import Sequence
from typing import Any

import structlog
from graphql import GraphQLError
from pymongo.errors import PyMongoError

from hub.errors import HubError, Unavailable
from hub.platform.connections import is_outage

BAD_USER_INPUT = "BAD_USER_INPUT"
INTERNAL = "INTERNAL_SERVER_ERROR"
MESSAGE_MAX_CHARS = 900

log = structlog.get_logger(__name__)


def format_errors(errors: Sequence[GraphQLError], request_id: str) -> list[dict[str, Any]]:
    """Convert the errors of one operation. Log all internal errors in one line with their tracebacks."""
    internal: list[Exception] = []
    formatted = [_format(error, request_id, internal) for error in errors]
    if internal:
        group = internal[0] if len(internal) == 1 else ExceptionGroup("several fields failed", internal)
        _log_internal(group, request_id)
    return formatted


def format_error(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """Convert a GraphQL error. An internal error is logged with the request id and returned without details."""
    return format_errors([error], request_id)[0]


def to_graphql_error(error: Exception, request_id: str) -> dict[str, Any]:
    """Convert any exception to a GraphQL error without a path."""
    expected = _expected(error, request_id)
    if expected is None or expected.code == INTERNAL:
        _log_internal(error, request_id)
    return _payload(expected, request_id)


def _format(error: GraphQLError, request_id: str, internal: list[Exception]) -> dict[str, Any]:
    """Convert one error. Append its cause to `internal` if it is an internal error."""
    cause = error.original_error
    formatted: dict[str, Any] = {"message": error.message}
    if len(error.message) > MESSAGE_MAX_CHARS:  # the message quotes the query or its variables
        formatted["message"] = error.message[:MESSAGE_MAX_CHARS] + "..."
    if error.locations:
        formatted["locations"] = [location.formatted for location in error.locations]
    if error.path:
        formatted["path"] = error.path
    if cause is None or isinstance(cause, GraphQLError):
        field = (error.extensions or {}).get("field")
        formatted["extensions"] = {"code": BAD_USER_INPUT} | ({"field": field} if field else {})
        return formatted
    expected = _expected(cause, request_id)
    if expected is None or expected.code == INTERNAL:
        internal.append(cause)
    return formatted | _payload(expected, request_id)


def _expected(error: Exception, request_id: str) -> HubError | None:
    """Return the error that the caller may see, or None for an internal error."""
    if isinstance(error, PyMongoError) and is_outage(error):
        log.warning("store_failed", error=error, request_id=request_id, throttled=True)
        return Unavailable("The database did not respond. Try again shortly.")
    return error if isinstance(error, HubError) else None


def _payload(expected: HubError | None, request_id: str) -> dict[str, Any]:
    """Return the message and extensions of an error. None means an unexpected error."""
    if expected is not None:
        request = {"requestId": request_id} if expected.code == INTERNAL else {}
        return {"message": expected.message, "extensions": {"code": expected.code, **request, **expected.extensions}}
    return {
        "message": "Internal error. The log has the details under this request id.",
        "extensions": {"code": INTERNAL, "requestId": request_id},
    }


def _log_internal(error: Exception, request_id: str) -> None:
    log.error("internal_error", request_id=request_id, exc_info=error)
