"""How many of something there may be at once, by name: sockets of a user, connections from an address."""

from collections import Counter

BUSY_S = 5.0  # when to come back, for who got none


class Places:
    """As many as `most` for each name; 0 is no limit."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    def take(self, name: str) -> bool:
        """Whether there was one left. Who got one leaves it in the end."""
        if self._most and self._taken[name] >= self._most:
            return False
        self._taken[name] += 1
        return True

    def leave(self, name: str) -> None:
        self._taken[name] -= 1
        if not self._taken[name]:
            del self._taken[name]
