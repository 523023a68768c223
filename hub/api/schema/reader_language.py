"""Texts of the hub in the language of the reader."""

from contextvars import ContextVar

from hub.model import Notification
from hub.platform.translations import DEFAULT, Language, because, language

PROJECTION = "projected"
"""Metadata key: the function with which a projection reads a field whose resolver needs a context."""

reader_language: ContextVar[Language | None] = ContextVar("reader", default=None)
"""The language of the caller. It is set before a projection that may need it."""


def because_for_reader(n: Notification) -> str:
    return because(n, reader_language.get() or language(DEFAULT))
