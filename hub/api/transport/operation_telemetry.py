"""Telemetry of one operation: request id, log context, metrics, and span.

Each transport creates an instance per operation, in the task of the operation."""

import logging
import re
from functools import cache
from time import perf_counter

import structlog
from structlog.contextvars import bind_contextvars

from hub.api.errors import INTERNAL
from hub.api.execution.engine import GraphQLResponse
from hub.api.execution.operation import Operation
from hub.ids import new_id
from hub.model import Principal
from hub.platform import metrics, tracing

REQUEST_ID = re.compile(r"[A-Za-z0-9_.:/+=@-]{1,128}")
UNKNOWN = "none"  # the label if the request is rejected before the operation is parsed
MULTIPLE = "several"

log = structlog.get_logger(__name__)


@cache
def _debug_enabled() -> bool:
    """Return True if debug events are logged. The result is cached because the check is slow."""
    return bool(log.is_enabled_for(logging.DEBUG))


def valid_request_id(client_id: str | None) -> str:
    """Return the client's request id if it is safe to log, else a new id."""
    return client_id if client_id and REQUEST_ID.fullmatch(client_id) else new_id()


class OperationTelemetry:
    """`transport`: `http`, `sse`, or `websocket`. `traceparent`: the client's header (W3C Trace Context), if any."""

    __slots__ = ("_field", "_finished", "_kind", "_span", "_started", "_transport", "request_id")

    def __init__(self, transport: str, request_id: str, traceparent: str | None) -> None:
        self.request_id = request_id
        self._transport = transport
        self._kind = self._field = UNKNOWN
        self._started = perf_counter()
        self._finished = False
        bind_contextvars(request_id=request_id)
        self._span = tracing.start_span("operation", traceparent)
        if self._span and (traceparent := tracing.current_traceparent()):
            bind_contextvars(trace_id=tracing.trace_id(traceparent))

    def set_principal(self, caller: Principal) -> None:
        """Add the tenant, the user, and the id of the service key to the log context."""
        key = {"service_key": caller.key} if caller.key else {}
        bind_contextvars(tenant=caller.tenant, user=caller.user, **key)

    def set_streaming(self) -> None:
        """Change the transport to `sse`."""
        self._transport = "sse"

    def set_operation(self, operation: Operation) -> None:
        """Set the operation kind and root field. Names that clients choose are never used as metric labels."""
        self._kind = operation.kind.value
        self._field = operation.root_field or MULTIPLE

    def set_names(self, kind: str, field: str) -> None:
        """Set the kind and the name of an operation that is not GraphQL."""
        self._kind, self._field = kind, field

    def finish(self, response: GraphQLResponse) -> None:
        """Record the outcome. Later calls are ignored, so a subscription is counted once, when it starts."""
        if self._finished:
            return
        self._finished = True
        code = response["errors"][0]["extensions"]["code"] if "errors" in response else "OK"
        seconds = perf_counter() - self._started
        metrics.record_operation(self._transport, self._kind, self._field, code, seconds)
        if _debug_enabled():
            log.debug(
                "operation",
                transport=self._transport,
                kind=self._kind,
                field=self._field,
                code=code,
                ms=round(seconds * 1000, 1),
            )
        if self._span:
            tracing.finish_span(
                self._span,
                f"{self._kind} {self._field}",
                failed=code == INTERNAL,
                **{
                    "graphql.operation.type": self._kind,
                    "hub.transport": self._transport,
                    "hub.request_id": self.request_id,
                    "hub.code": code,
                },
            )
