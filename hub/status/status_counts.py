"""The counts of sends: what they contain, and how they are read from aggregations."""

from collections.abc import AsyncIterable, Collection, Iterable

from msgspec import Struct

from hub.model import Channel, DeliveryStatus
from hub.platform.connections import Document
from hub.platform.tolerant_decoding import decode

Counts = dict[tuple[Channel, DeliveryStatus, str | None], int]
"""The number of deliveries by channel, status, and reason."""


class Reactions(Struct, frozen=True):
    """The number of recipients of a send who did something with its notification."""

    seen: int = 0
    read: int = 0
    acknowledged: int = 0
    acted: int = 0


async def counts_by_send(
    groups: AsyncIterable[Document], sends: Collection[str], more: Iterable[Document] = ()
) -> dict[str, Counts]:
    """Return the counts of aggregation groups. Unknown statuses are replaced (`ENUM_FALLBACKS`), and unknown channels
    are omitted."""
    counts: dict[str, Counts] = {send: {} for send in sends}
    for doc in [*more, *[doc async for doc in groups]]:
        if group := decode(doc["_id"], _Group):
            key = group.k, group.v, group.r
            of_send = counts[group.send]
            of_send[key] = of_send.get(key, 0) + doc["count"]
    return counts


class _Group(Struct, frozen=True):
    """The send, channel, status, and reason of a count."""

    send: str
    k: Channel
    v: DeliveryStatus
    r: str | None = None
