"""The language of the caller, for texts of the hub in fields that a projection reads without a context."""

from contextvars import ContextVar

from hub.model import Notification
from hub.platform.translations import DEFAULT, Language, because, language

reader_language: ContextVar[Language | None] = ContextVar("reader_language", default=None)
"""Set before each projection that may need it."""


def because_for_reader(n: Notification) -> str:
    return because(n, reader_language.get() or language(DEFAULT))
