"""The parameters of a run."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """The sizes and durations of a run. `send` and `latency` use `users`; `fanout` and `memory` use `sockets`."""

    seconds: float
    repeat: int
    users: int = 1_000
    sockets: int = 5_000
    rounds: int = 15
    rate: int = 100  # sends per second
    size: int = 1_000_000
    deliveries: int = 20_000
    items: int = 100_000
    digests: int = 1_000
    recipients: int = 5_000
    audience: int = 50_000
    against: bool = False
    progress: Callable[[str], None] = lambda _: None

    async def best(self, measure: Callable[[], Awaitable[T]], badness: Callable[[T], float]) -> T:
        """Return the best of `repeat` results, because other load on the machine only makes results worse."""
        return min([await measure() for _ in range(self.repeat)], key=badness)
