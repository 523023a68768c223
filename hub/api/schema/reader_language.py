"""Texts of the hub in the language of whoever reads the answer."""

from contextvars import ContextVar

from hub.model import Notification
from hub.platform.translations import DEFAULT, Language, because, language

PROJECTION = "projected"
"""In the metadata of a field: how its value is read where its resolver would need a context."""

reader_language: ContextVar[Language | None] = ContextVar("reader", default=None)
"""The language of whoever the answer is for, set before each use of a projection that may need it."""


def because_for_reader(n: Notification) -> str:
    return because(n, reader_language.get() or language(DEFAULT))
