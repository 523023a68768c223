"""How many of something there may be at once, by name: sockets of a user, connections from an address."""

from collections import Counter

RETRY_AFTER_S = 5.0  # when to come back, for who got none


class KeyedLimiter:
    """As many as `most` for each name; 0 is no limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_use: Counter[str] = Counter()

    def acquire(self, key: str) -> bool:
        """Whether there was one left. Who got one leaves it in the end."""
        if self._limit and self._in_use[key] >= self._limit:
            return False
        self._in_use[key] += 1
        return True

    def release(self, key: str) -> None:
        self._in_use[key] -= 1
        if not self._in_use[key]:
            del self._in_use[key]
