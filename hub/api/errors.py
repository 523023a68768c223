"""Conversion of exceptions to GraphQL errors."""

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
    """Convert the errors of one operation. All internal errors share one log line, with their tracebacks."""
    broken: list[Exception] = []
    told = [_format(error, request_id, broken) for error in errors]
    if broken:
        _log_internal(broken[0] if len(broken) == 1 else ExceptionGroup("several fields broke", broken), request_id)
    return told


def format_error(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """Convert a GraphQL error. Internal errors are logged with the request id and sent without details."""
    return format_errors([error], request_id)[0]


def to_graphql_error(error: Exception, request_id: str) -> dict[str, Any]:
    """Convert any exception to an error without a path."""
    known = _expected(error, request_id)
    if known is None or known.code == INTERNAL:
        _log_internal(error, request_id)
    return _payload(known, request_id)


def _format(error: GraphQLError, request_id: str, broken: list[Exception]) -> dict[str, Any]:
    cause = error.original_error
    told: dict[str, Any] = {"message": error.message}
    if len(error.message) > MESSAGE_MAX_CHARS:  # it quotes the query or its variables
        told["message"] = error.message[:MESSAGE_MAX_CHARS] + "..."
    if error.locations:
        told["locations"] = [location.formatted for location in error.locations]
    if error.path:
        told["path"] = error.path
    if cause is None or isinstance(cause, GraphQLError):
        told["extensions"] = {"code": BAD_USER_INPUT}
        return told
    known = _expected(cause, request_id)
    if known is None or known.code == INTERNAL:
        broken.append(cause)
    return told | _payload(known, request_id)


def _expected(error: Exception, request_id: str) -> HubError | None:
    """Return the error that the caller may see, or None for an internal error."""
    if isinstance(error, PyMongoError) and is_outage(error):
        log.warning("store_failed", error=error, request_id=request_id, throttled=True)
        return Unavailable("The store did not answer: try again shortly.")
    return error if isinstance(error, HubError) else None


def _payload(known: HubError | None, request_id: str) -> dict[str, Any]:
    if known is not None:
        request = {"requestId": request_id} if known.code == INTERNAL else {}
        return {"message": known.message, "extensions": {"code": known.code, **request, **known.extensions}}
    return {
        "message": "Something broke inside; the log knows it by this request id.",
        "extensions": {"code": INTERNAL, "requestId": request_id},
    }


def _log_internal(error: Exception, request_id: str) -> None:
    log.error("internal_error", request_id=request_id, exc_info=error)
