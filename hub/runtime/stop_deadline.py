"""The deadline of a shutdown, which is `HUB_SHUTDOWN_TIMEOUT_S` plus 5 s after SIGTERM or SIGINT."""

import os
import threading

import structlog

MARGIN_S = 5.0
EXIT_HUNG = 70  # EX_SOFTWARE

log = structlog.get_logger(__name__)


class StopDeadline:
    """Ends the process if it is still running `shutdown_s` + MARGIN_S after `start`.

    The deadline runs in a thread, so it works even if the event loop is blocked. Accepted sends are already stored.
    Other workers claim the deliveries in progress when their leases expire.
    """

    def __init__(self, shutdown_s: float) -> None:
        self._timer = threading.Timer(shutdown_s + MARGIN_S, _end, (shutdown_s,))
        self._timer.daemon = True
        self._started = False

    def start(self) -> None:
        """Start the timer. Further calls have no effect."""
        if not self._started:
            self._started = True
            self._timer.start()


def _end(shutdown_s: float) -> None:
    log.critical("shutdown_hung", setting="HUB_SHUTDOWN_TIMEOUT_S", seconds=shutdown_s + MARGIN_S, exit_code=EXIT_HUNG)
    os._exit(EXIT_HUNG)
