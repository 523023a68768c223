"""The plan for one send: values in, values out."""

from collections.abc import Sequence

from msgspec import Struct

from hub.model import Channel, Priority

DEFAULT_CHANNELS = (Channel.IN_APP,)
DEFAULT_PRIORITY = Priority.MEDIUM
NAMED = "You were named by the sender."


class Plan(Struct, frozen=True):
    """`hidden`: not shown in the inbox, because IN_APP was not asked for. `skipped`: channels decided against, and
    the reason."""

    priority: Priority
    because: str
    hidden: bool
    skipped: dict[str, str]


def plan(channels: Sequence[Channel] | None, priority: Priority | None) -> Plan:
    """Decides for every channel asked for; the category's defaults where none is named."""
    wanted = tuple(dict.fromkeys(channels if channels is not None else DEFAULT_CHANNELS))
    return Plan(
        priority=priority or DEFAULT_PRIORITY,
        because=NAMED,
        hidden=Channel.IN_APP not in wanted,
        skipped={channel.value: "NOT_CONFIGURED" for channel in wanted if channel is not Channel.IN_APP},
    )
