"""OpenTelemetry traces, from the request to the client's connection and to provider calls.

The standard environment variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_EXPORTER`) enable traces, which require
the extra `otel`. If traces are disabled, nothing is imported and every function returns immediately.

A position in a trace is passed as the text of a W3C `traceparent` header, also in live messages and stored documents.
"""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import structlog

from hub import __version__

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

FLUSH_TIMEOUT_S = 1.0  # for the export of the last spans when the process stops

log = structlog.get_logger(__name__)

_tracer: "Tracer | None" = None
_NO_SPAN = nullcontext()


@contextmanager
def export_traces() -> Iterator[None]:
    """Export the traces of this process if the environment specifies a collector, and flush them at the end."""
    global _tracer  # noqa: PLW0603
    if not _exporter_configured():
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("traces_not_installed", install="notification-hub[otel]")
        yield
        return
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(
        resource=Resource.create(None if named else {"service.name": "hub"}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("hub", __version__)
    try:
        yield
    finally:
        _tracer = None
        flush = threading.Thread(target=provider.shutdown, daemon=True)  # the collector may be unavailable
        flush.start()
        flush.join(FLUSH_TIMEOUT_S)


def enabled() -> bool:
    return _tracer is not None


def current_traceparent() -> str | None:
    """Return the current `traceparent`, or None outside of a trace."""
    if _tracer is None:
        return None
    from opentelemetry.trace import get_current_span

    return _traceparent(get_current_span())


def span(name: str, parent: str | None = None, kind: str = "INTERNAL") -> AbstractContextManager[Any]:
    """Return a context manager for a span that is current in its body. Its parent is `parent`, or the current span."""
    if _tracer is None:
        return _NO_SPAN
    return _tracer.start_as_current_span(name, _parent_context(parent) if parent else None, _kind(kind))


def start_span(name: str, parent: str | None = None) -> "Span | None":
    """Start a span that is current until the task ends. Pass the span to `finish_span`."""
    if _tracer is None:
        return None
    from opentelemetry.context import attach
    from opentelemetry.trace import set_span_in_context

    span = _tracer.start_span(name, _parent_context(parent), _kind("SERVER"))
    attach(set_span_in_context(span))
    return span


def finish_span(span: "Span", name: str, *, failed: bool, **attributes: str) -> None:
    """End a span that `start_span` returned, and set its final name."""
    from opentelemetry.trace import StatusCode

    span.update_name(name)
    span.set_attributes(attributes)
    if failed:
        span.set_status(StatusCode.ERROR)
    span.end()


def record(name: str, parent: str | None, began_ns: int, kind: str = "INTERNAL", links: Iterable[str] = ()) -> None:
    """Record a span from `began_ns` (`time.time_ns`) until now. Without `parent`, the span starts a new trace."""
    if _tracer is None:
        return
    from opentelemetry.trace import Link, get_current_span

    linked = [Link(get_current_span(_parent_context(link)).get_span_context()) for link in links]
    _tracer.start_span(name, _parent_context(parent), _kind(kind), links=linked, start_time=began_ns).end(
        time.time_ns()
    )


def trace_id(traceparent: str) -> str:
    return traceparent.split("-")[1]


def _exporter_configured() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if chosen := os.environ.get("OTEL_TRACES_EXPORTER"):
        return "otlp" in chosen.split(",")
    return any(os.environ.get(name) for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


def _parent_context(parent: str | None) -> "Context":
    """Return the context of `parent`. An invalid traceparent is ignored."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent or ""}, Context())


def _traceparent(span: "Span") -> str | None:
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _kind(name: str) -> Any:
    from opentelemetry.trace import SpanKind

    return SpanKind[name]
