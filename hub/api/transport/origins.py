"""Allowed origins of browser requests."""

import re

import structlog

from hub.settings import Settings

LOCAL = r"https?://(localhost|127\.0\.0\.1)(:\d+)?"
"""Front ends on the developer's machine, on any port."""
LOGGED_MAX = 100  # limited because clients choose the origins

log = structlog.get_logger(__name__)


class Origins:
    """Allows the hub's own origin, the origins in HUB_ALLOWED_ORIGINS, and, in development, origins on this machine."""

    def __init__(self, settings: Settings) -> None:
        self.allowed = settings.allowed_origins
        self.pattern = LOCAL if settings.mode == "development" else None
        self._logged: set[str] = set()

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Return True if a page from `origin` may call the hub at `host`. A rejected origin is logged once."""
        if origin is None or origin in self.allowed or origin.partition("://")[2] == host:
            return True
        if self.pattern and re.fullmatch(self.pattern, origin):
            return True
        if origin not in self._logged and len(self._logged) < LOGGED_MAX:
            self._logged.add(origin)
            log.warning("origin_refused", origin=origin[:200], setting="HUB_ALLOWED_ORIGINS")
        return False
