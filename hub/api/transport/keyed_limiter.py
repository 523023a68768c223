"""A concurrency limiter per key, for example for sockets per user or connections per address."""

from collections import Counter

RETRY_AFTER_S = 5.0  # sent to rejected clients


class KeyedLimiter:
    """Allows at most `limit` slots per key. 0 means no limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_use: Counter[str] = Counter()

    def acquire(self, key: str) -> bool:
        """Acquire a slot. Return False if no slot is free. Call `release` after use."""
        if self._limit and self._in_use[key] >= self._limit:
            return False
        self._in_use[key] += 1
        return True

    def release(self, key: str) -> None:
        """Release a slot that was acquired."""
        self._in_use[key] -= 1
        if not self._in_use[key]:
            del self._in_use[key]
