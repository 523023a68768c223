"""`POST /events`: CloudEvents 1.0 in the structured, batched, and binary mode, and envelopes of Amazon EventBridge."""

import math
from collections.abc import Sequence

from pymongo.errors import PyMongoError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from hub.api.auth import Authenticator
from hub.api.context import Services
from hub.api.errors import to_graphql_error
from hub.api.public_responses import read_body
from hub.api.rate_limits import rate_limit_headers, to_error
from hub.api.schema.access import ENDPOINTS, POST_EVENTS, check_access
from hub.api.transport.media_types import JSON
from hub.api.transport.operation_telemetry import OperationTelemetry, valid_request_id
from hub.errors import HubError, RateLimited, Unauthenticated, Unavailable, WrongMediaType
from hub.events.cloud_events import NewEvent, parse_batch, parse_binary, parse_event
from hub.platform import tracing
from hub.platform.connections import is_outage
from hub.platform.rate_limiter import RateLimitResult

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
BINARY_HEADER = "ce-specversion"
ACCEPTED_TYPES = f"{STRUCTURED}, {BATCH}, {JSON}"


class EventEndpoint:
    def __init__(self, services: Services, auth: Authenticator) -> None:
        self._services = services
        self._auth = auth

    async def post(self, request: Request) -> Response:
        """Store the events of a request. The status is 202 after at least one event was stored durably, and 200 if all
        of them had been stored before."""
        telemetry = OperationTelemetry(
            "http",
            valid_request_id(request.headers.get("x-request-id")),
            request.headers.get("traceparent") if tracing.enabled() else None,
        )
        telemetry.set_names("event", "events")
        try:
            response = await self._respond(request, telemetry)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # noqa: BLE001 - returned to the client and logged
            response = _error_response(error, telemetry)
        else:
            telemetry.finish({})
        response.headers["cache-control"] = "no-store"
        response.headers["x-request-id"] = telemetry.request_id
        return response

    async def _respond(self, request: Request, telemetry: OperationTelemetry) -> Response:
        caller = await self._auth.authenticate(request.headers.get("authorization"), request.scope.get("client"))
        telemetry.set_principal(caller)
        limits = self._services.rate_limits.check(caller)
        if limited := to_error(limits):
            return _error_response(limited, telemetry, limits)
        check_access(caller, ENDPOINTS[POST_EVENTS], POST_EVENTS)
        events = _parse(request, await read_body(request, self._services.settings))
        stored = await self._services.receive_events.receive(caller.tenant, events, "http")
        content = [{"id": one.id, "eventId": one.event_id, "duplicate": one.duplicate} for one in stored]
        status = 200 if all(one.duplicate for one in stored) else 202
        return JSONResponse({"events": content}, status, rate_limit_headers(limits))


def _parse(request: Request, body: bytes) -> Sequence[NewEvent]:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == BATCH:
        return parse_batch(body)
    if media == STRUCTURED:
        return [parse_event(body)]
    if BINARY_HEADER in request.headers:
        return [parse_binary(request.headers, body)]
    if media == JSON:
        return [parse_event(body)]
    raise WrongMediaType(f"Send {ACCEPTED_TYPES}, or the header {BINARY_HEADER}.", "content-type")


def _error_response(error: Exception, telemetry: OperationTelemetry, limits: RateLimitResult | None = None) -> Response:
    content = {"errors": [to_graphql_error(error, telemetry.request_id)]}
    telemetry.finish(content)
    headers = rate_limit_headers(limits)
    if isinstance(error, RateLimited):
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, WrongMediaType):
        headers["accept-post"] = ACCEPTED_TYPES
    status = error.status if isinstance(error, HubError) else HubError.status
    if isinstance(error, PyMongoError) and is_outage(error):
        status = Unavailable.status
    return JSONResponse(content, status, headers)
