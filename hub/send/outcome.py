"""The results of a provider call. An expected failure is a value; an unexpected exception counts as `Retry`."""

import re
from collections.abc import Sequence

from msgspec import Struct

from hub.unicode_text import single_line

ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;:]+")
PHONE_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}(?![0-9])")
ERROR_MAX_CHARS = 200


class Sent(Struct, frozen=True):
    """The provider accepted the message. `provider_id` is the id that the provider assigned to the message. `pause_s`
    is the time for which a chat accepts no more messages for the same webhook."""

    provider_id: str | None = None
    pause_s: float | None = None


class Delivered(Struct, frozen=True):
    """The recipient's endpoint received the message."""

    provider_id: str | None = None


class Skipped(Struct, frozen=True):
    """Nothing was to be done."""


class Retry(Struct, frozen=True, eq=False):
    """A temporary failure. `after_s` is the delay that the provider requested. `shared` is True if the failure concerns
    all messages to the provider or host. None means True for a configured provider, and False for a host that a user or
    tenant chose."""

    error: str
    after_s: float | None = None
    shared: bool | None = None

    def __eq__(self, other: object) -> bool:
        """Compare all fields except `shared`, which only circuit breakers use."""
        return isinstance(other, Retry) and (self.error, self.after_s) == (other.error, other.after_s)

    def __hash__(self) -> int:
        return hash((self.error, self.after_s))


class Postponed(Struct, frozen=True):
    """A limit of the hub is reached. The message waits for `after_s`, which does not count as a try."""

    error: str
    after_s: float


class Dead(Struct, frozen=True):
    """A permanent failure: a retry would fail in the same way."""

    error: str


class Gone(Struct, frozen=True):
    """A permanent failure: the provider reported that the address no longer exists. The address is deactivated."""

    error: str


class OptedOut(Struct, frozen=True):
    """The recipient told the provider to stop messages of this sender."""

    error: str


Outcome = Sent | Delivered | Skipped | Retry | Postponed | Dead | Gone | OptedOut


def breaker_results(breakers: Sequence[str], outcome: Outcome) -> list[tuple[str, bool]]:
    """Return success or failure for each circuit breaker of a call. The shared breaker is the first one. A failure that
    concerns only the address does not count for it."""
    if not isinstance(outcome, Retry):
        return [(name, True) for name in breakers]
    shared, *of_address = breakers
    failed = not of_address if outcome.shared is None else outcome.shared
    return [(shared, not failed), *((name, False) for name in of_address)]


def sanitize_error(text: str) -> str:
    """Return an error text of a provider as one short line without email addresses and phone numbers."""
    return PHONE_NUMBER.sub("(number)", ADDRESS.sub("(address)", single_line(text)))[:ERROR_MAX_CHARS]
