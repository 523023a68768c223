"""The one error table, translated here: what went wrong inside to what a caller is told."""

from typing import Any

import structlog
from graphql import GraphQLError
from pymongo.errors import PyMongoError

from hub.connections import is_outage
from hub.errors import HubError, Unavailable

BAD_USER_INPUT = "BAD_USER_INPUT"
INTERNAL = "INTERNAL_SERVER_ERROR"

log = structlog.get_logger(__name__)


def formatted(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """A GraphQL error with its code. What is nobody's business but ours is logged under the request's id."""
    cause = error.original_error
    told: dict[str, Any] = {"message": error.message}
    if error.locations:
        told["locations"] = [location.formatted for location in error.locations]
    if error.path:
        told["path"] = error.path
    if cause is None or isinstance(cause, GraphQLError):
        told["extensions"] = {"code": BAD_USER_INPUT}
    else:
        refusal = refused(cause, request_id)
        told["message"] = refusal["message"]
        told["extensions"] = refusal["extensions"]
    return told


def refused(error: BaseException, request_id: str) -> dict[str, Any]:
    """Any exception as an error without a place in the query."""
    if isinstance(error, PyMongoError) and is_outage(error):
        log.warning("store_failed", error=repr(error), request_id=request_id)
        error = Unavailable("The store did not answer: try again shortly.")
    if isinstance(error, HubError):
        return {"message": error.message, "extensions": {"code": error.code, **error.extensions}}
    log.error("internal_error", request_id=request_id, exc_info=error)
    return {
        "message": "Something broke inside; the log knows it by this request id.",
        "extensions": {"code": INTERNAL, "requestId": request_id},
    }
