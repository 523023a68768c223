"""What a provider answered. Expected failure is a value; an exception is a surprise, and counts as `Retry`."""

import re
from collections.abc import Sequence

from msgspec import Struct

from hub.model import CONTROLS

ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;:]+")
ERROR_MAX_CHARS = 200


class Sent(Struct, frozen=True):
    """The provider took it. `provider_id`: what it calls the message."""

    provider_id: str | None = None


class Delivered(Struct, frozen=True):
    """The other end itself has it."""

    provider_id: str | None = None


class Retry(Struct, frozen=True, eq=False):
    """Not now. `after_s`: seconds the provider asked to be left alone. `shared`: whether it is a failure of the
    provider or host that others use as well. None: of a provider of the settings it is, of a host it is not."""

    error: str
    after_s: float | None = None
    shared: bool | None = None

    def __eq__(self, other: object) -> bool:
        """Whether both mean the same for the delivery: `shared` is for circuit breakers only."""
        return isinstance(other, Retry) and (self.error, self.after_s) == (other.error, other.after_s)

    def __hash__(self) -> int:
        return hash((self.error, self.after_s))


class Dead(Struct, frozen=True):
    """Never: trying again would change nothing."""

    error: str


class Gone(Struct, frozen=True):
    """Never, because the address is dead, by the provider's own word: it is deactivated."""

    error: str


Outcome = Sent | Delivered | Retry | Dead | Gone


def breaker_results(breakers: Sequence[str], outcome: Outcome) -> list[tuple[str, bool]]:
    """Whether a call speaks for its provider, by the names of the call's breakers: the shared one first, where what
    concerns the address alone is no failure, and then that of the address."""
    if not isinstance(outcome, Retry):
        return [(name, True) for name in breakers]
    shared, *of_address = breakers
    failed = not of_address if outcome.shared is None else outcome.shared
    return [(shared, not failed), *((name, False) for name in of_address)]


def sanitize_error(text: str) -> str:
    """A provider's words as an error may hold them: one short line, and no mail address in it."""
    return ADDRESS.sub("(address)", " ".join(CONTROLS.sub(" ", text).split()))[:ERROR_MAX_CHARS]
