"""Texts of the hub in the reader's language."""

from contextvars import ContextVar

from hub.model import Notification
from hub.platform.translations import DEFAULT, Language, because, language

PROJECTION = "projected"
"""The metadata key of the function that a projection uses to read a field whose resolver needs a context."""

reader_language: ContextVar[Language | None] = ContextVar("reader", default=None)
"""The caller's language. It is set before each projection that may need it."""


def because_for_reader(n: Notification) -> str:
    return because(n, reader_language.get() or language(DEFAULT))
