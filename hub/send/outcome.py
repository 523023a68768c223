"""What a provider answered. Expected failure is a value; an exception is a surprise, and counts as `Retry`."""

import re

from msgspec import Struct

from hub.model import CONTROLS

ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;:]+")
SAID_MAX_CHARS = 200


class Sent(Struct, frozen=True):
    """The provider took it. `provider_id`: what it calls the message."""

    provider_id: str | None = None


class Delivered(Struct, frozen=True):
    """The other end itself has it."""

    provider_id: str | None = None


class Retry(Struct, frozen=True):
    """Not now. `after_s`: seconds the provider asked to be left alone."""

    error: str
    after_s: float | None = None


class Dead(Struct, frozen=True):
    """Never: trying again would change nothing."""

    error: str


class Gone(Struct, frozen=True):
    """Never, because the address is dead, by the provider's own word: it is deactivated."""

    error: str


Outcome = Sent | Delivered | Retry | Dead | Gone


def said(words: str) -> str:
    """A provider's words as an error may hold them: one short line, and no mail address in it."""
    return ADDRESS.sub("(address)", " ".join(CONTROLS.sub(" ", words).split()))[:SAID_MAX_CHARS]
