"""The hub's clock for components that a test creates itself."""

from hub import utc_time
from hub.utc_time import HubTime


def hub_now() -> HubTime:
    """Return the hub's time of a clock that was not moved."""
    return HubTime(utc_time.now())
