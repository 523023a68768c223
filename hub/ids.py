"""Identifiers (UUIDv7 of RFC 9562, which sort by creation time) and webhook secrets."""

import random
import secrets
from base64 import b64encode
from datetime import UTC, datetime, timedelta

from uuid_utils import uuid7

ID_CHARS = 36
CLOCK_STEP_BACK_MS = 1000  # if the clock is set back by less, the step is ignored to keep ids in order
STEP_BITS = 32  # size of the random step between two ids of one millisecond
RANDOM_BITS = 74
MILLISECOND = timedelta(milliseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class IdGenerator:
    """Generates UUIDv7 for given times. Ids of one process sort in creation order: within one millisecond, each id adds
    a random step to the previous one (RFC 9562, section 6.2, method 2)."""

    def __init__(self) -> None:
        self._ms = 0
        self._random = 0

    def make(self, ms: int) -> str:
        if ms > self._ms or ms < self._ms - CLOCK_STEP_BACK_MS:
            self._ms, self._random = ms, secrets.randbits(RANDOM_BITS - 1)  # the top bit is reserved for the steps
        else:
            step = 1 + random.getrandbits(STEP_BITS)
            self._random = (self._random + step) % (1 << RANDOM_BITS)
        high, low = self._random >> 62, self._random & ((1 << 62) - 1)
        text = f"{self._ms << 80 | 7 << 76 | high << 64 | 2 << 62 | low:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def make_at(self, at: datetime) -> str:
        """Return the next id, which contains the time `at`, or the time of the previous id if that is later."""
        return self.make((at - EPOCH) // MILLISECOND)


_generator = IdGenerator()


def new_id(at: datetime | None = None) -> str:
    """Return a new id of ID_CHARS characters. Pass the hub's time as `at` for documents that are sorted by id. Without
    `at`, the id contains the local time of this machine."""
    if at is None:
        return str(uuid7())
    return _generator.make_at(at)


def new_secret() -> str:
    """Return a new signing key in the format of Standard Webhooks: `whsec_` and 32 bytes in base64."""
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"


def id_time(id: str) -> datetime:
    """Return the creation time of an id, with millisecond precision."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(id[:8] + id[9:13], 16))


def first_id_at(at: datetime) -> str:
    """Return the smallest possible id for the time `at`, as a lower bound for queries by time on `_id`."""
    millis = f"{max(0, round(at.timestamp() * 1000)):012x}"
    return f"{millis[:8]}-{millis[8:12]}-7000-8000-000000000000"
