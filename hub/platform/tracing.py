"""OpenTelemetry traces, from the door to the socket, and on to wherever a `traceparent` is kept.

They are on where the standard variables name an exporter (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_EXPORTER`), and
need the extra `otel`. Otherwise nothing of it is imported, and every function here is a test of one name.

A place in a trace is passed from hand to hand as the text of W3C's `traceparent` header, so that whoever carries it
(a live message, a stored document) needs to know nothing else.
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

FLUSH_S = 1.0  # for the last spans of a process that stops

log = structlog.get_logger(__name__)

_tracer: "Tracer | None" = None
_NO_SPAN = nullcontext()


@contextmanager
def export_traces() -> Iterator[None]:
    """Traces of this process go to the collector that the environment names, if it does; the last at the end."""
    global _tracer  # noqa: PLW0603 - like the log, it belongs to the process
    if not _exporter_configured():
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
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
        goodbye = threading.Thread(target=provider.shutdown, daemon=True)  # a collector may be away
        goodbye.start()
        goodbye.join(FLUSH_S)


def enabled() -> bool:
    return _tracer is not None


def current_traceparent() -> str | None:
    """Where we are in a trace, as a `traceparent`; None where there is none."""
    if _tracer is None:
        return None
    from opentelemetry.trace import get_current_span  # noqa: PLC0415

    return _traceparent(get_current_span())


def span(name: str, parent: str | None = None, kind: str = "INTERNAL") -> AbstractContextManager[Any]:
    """A step, current within the body. It follows `parent`, or else the step around it."""
    if _tracer is None:
        return _NO_SPAN
    return _tracer.start_as_current_span(name, _parent_context(parent) if parent else None, _kind(kind))


def start_span(name: str, parent: str | None = None) -> "Span | None":
    """The first step of a task of its own, current until that task ends. `end` it."""
    if _tracer is None:
        return None
    from opentelemetry.context import attach  # noqa: PLC0415
    from opentelemetry.trace import set_span_in_context  # noqa: PLC0415

    begun = _tracer.start_span(name, _parent_context(parent), _kind("SERVER"))
    attach(set_span_in_context(begun))
    return begun


def finish_span(span: "Span", name: str, *, failed: bool, **attributes: str) -> None:
    """Ends what `begin` began, under the name that it turned out to deserve."""
    from opentelemetry.trace import StatusCode  # noqa: PLC0415

    span.update_name(name)
    span.set_attributes(attributes)
    if failed:
        span.set_status(StatusCode.ERROR)
    span.end()


def record(name: str, parent: str | None, began_ns: int, kind: str = "INTERNAL", links: Iterable[str] = ()) -> None:
    """A step that ends now and began at `began_ns` (`time.time_ns`). It follows `parent`, or begins a trace."""
    if _tracer is None:
        return
    from opentelemetry.trace import Link, get_current_span  # noqa: PLC0415

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
    """What nobody can read as a traceparent is as good as none."""
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    return TraceContextTextMapPropagator().extract({"traceparent": parent or ""}, Context())


def _traceparent(of: "Span") -> str | None:
    place = of.get_span_context()
    if not place.is_valid:
        return None
    return f"00-{place.trace_id:032x}-{place.span_id:016x}-{place.trace_flags:02x}"


def _kind(name: str) -> Any:
    from opentelemetry.trace import SpanKind  # noqa: PLC0415

    return SpanKind[name]
