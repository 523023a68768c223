"""Refuses templates whose renderings are stopped at a limit again and again.

Such a rendering takes as much processor time as hundreds of sends. A process counts its own renderings."""

import time
from collections.abc import Callable

from cachetools import TTLCache

from hub.errors import BadUserInput

STOPS_MAX = 3  # in a row
PAUSE_S = 60.0
ENTRIES_MAX = 10_000


class StoppedRenderings:
    """The renderings in a row that were stopped, by what was rendered."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stops: TTLCache[tuple[object, ...], int] = TTLCache(ENTRIES_MAX, PAUSE_S, monotonic)

    def check(self, id: tuple[object, ...], field: str) -> None:
        """Raise BadUserInput if the last STOPS_MAX renderings were stopped, and the last one less than PAUSE_S ago."""
        if self._stops.get(id, 0) >= STOPS_MAX:
            raise BadUserInput(
                f"The last {STOPS_MAX} renderings were stopped because they took too long. The next one is possible "
                f"after {PAUSE_S:g} s. Simplify the template: in particular, shorten its loops.",
                field,
            )

    def record(self, id: tuple[object, ...], *, stopped: bool) -> None:
        """Record a rendering, which was stopped at a limit of nodes or time or not."""
        if stopped:
            self._stops[id] = self._stops.get(id, 0) + 1
        else:
            self._stops.pop(id, None)
