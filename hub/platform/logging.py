"""Structured logs: JSON lines in production, colors on a terminal.

The request id, tenant, and user of an operation are bound to the context (`structlog.contextvars`) and are included in
every line of the operation. A line never contains a token, a secret, or the content of a notification. Database error
texts quote documents. `error_summary` removes quoted values from errors. Tracebacks are also redacted.
"""

import logging
import re
import sys
import time
import traceback
from collections.abc import Iterator

import structlog
from structlog.typing import EventDict, WrappedLogger

from hub.console_url import console_url

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
ERROR_MAX_CHARS = 300
THROTTLE_S = 1.0
QUOTES = re.compile(r", full error: |,? ?dup key: ")  # MongoDB quotes documents after this text
QUOTED = re.compile(r"^Command # .*? of pipeline caused error: ", re.DOTALL)  # Redis quotes messages in this text


def configure(level: str, public_url: str = "", process: int | None = None) -> None:
    """Send the logs of this process to stderr. Call this function once, before anything is logged.

    If `public_url` (HUB_PUBLIC_URL) is set, warnings about a send or a delivery have a link to its page. Each line has
    the number `process`, if given."""
    terminal = sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _Throttle(),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
    ]
    if process is not None:
        shared.append(lambda _, __, event: {**event, "process": process})
    if public_url:
        shared.append(_ConsoleLinks(public_url))
    last: list[structlog.typing.Processor] = [_summarize_errors, structlog.processors.ExceptionRenderer(_traceback)]
    last.append(structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer())
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)  # for logs of libraries
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[drop, *last]))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def error_summary(error: BaseException) -> str:
    """Return the error on one line, without quoted values."""
    return f"{type(error).__name__}: {_redacted(error)}"[:ERROR_MAX_CHARS].rstrip(": ")


def _redacted(error: BaseException) -> str:
    text = QUOTES.split(QUOTED.sub("", str(error)), maxsplit=1)[0]
    return text.splitlines()[0] if text else ""


class _Throttle:
    """Keeps one line per second of each event logged with `throttled=True`, so an outage does not flood the log.

    `left_out` is the number of lines that were dropped before the line."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int]] = {}

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        if not event.pop("throttled", False):
            return event
        name, now = event["event"], time.monotonic()
        at, left_out = self._last.get(name, (now - THROTTLE_S, 0))
        if now < at + THROTTLE_S:
            self._last[name] = (at, left_out + 1)
            raise structlog.DropEvent
        self._last[name] = (now, 0)
        return {**event, "left_out": left_out} if left_out else event


class _ConsoleLinks:
    """Adds `console_url` to warnings and errors that name a send or a delivery."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        if event["level"] in ("warning", "error"):
            for record in ("delivery", "send"):
                if isinstance(id := event.get(record), str):
                    return {**event, "console_url": console_url(self._public_url, record, id)}
        return event


def _summarize_errors(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace an exception in `error` with its summary."""
    if isinstance(event.get("error"), BaseException):
        event["error"] = error_summary(event["error"])
    return event


def _traceback(exc_info: structlog.typing.ExcInfo) -> str:
    """Return the traceback without quoted values."""
    error = exc_info[1]
    text = "".join(traceback.format_exception(error)).rstrip()
    for each in _related_errors(error, set()):
        if (whole := str(each)) and whole != (plain := _redacted(each)):
            text = text.replace(whole, plain)
    return text


def _related_errors(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    """Yield the error, its causes, and the members of exception groups."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        yield from _related_errors(other, seen)
