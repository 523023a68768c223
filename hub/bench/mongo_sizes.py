"""The sizes of the collections and indexes in MongoDB."""

from typing import Any

from msgspec import Struct

from hub.bench.results import Figure
from hub.platform.connections import Database, Mongo

FREE = "file bytes available for reuse"


class Growth(Struct, frozen=True):
    """Bytes per recipient. `data` and `indexes` are files after a checkpoint, compressed, without space for reuse."""

    data: float
    indexes: float
    logical: float
    oplog: float
    by_collection: dict[str, str] = {}


def growth_figures(group: str, name: str, grown: Growth, maximum: float | None) -> list[Figure]:
    """Return figures of the bytes per recipient. `maximum` is the target of data and indexes."""

    def figure(what: str, value: float, maximum: float | None = None) -> Figure:
        return Figure(group=group, name=f"{name}, {what}", value=value, unit="B", maximum=maximum)

    return [
        figure("data and indexes on disk", grown.data + grown.indexes, maximum),
        figure("indexes on disk", grown.indexes),
        figure("data uncompressed", grown.logical),
        figure("oplog uncompressed", grown.oplog),
    ]


async def measure_sizes(client: Mongo, database: Database) -> dict[str, dict[str, Any]]:
    """Return the statistics of each collection after a checkpoint."""
    await client.admin.command("fsync")
    names = await database.list_collection_names()
    stats = {name: await database.command("collStats", name) for name in names}
    stats["oplog"] = await client.local.command("collStats", "oplog.rs")
    return stats


def growth(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]], recipients: int) -> Growth:
    """Return the difference of two results of `measure_sizes`, per recipient."""

    def grown(name: str, size: Any) -> float:
        return float(size(after[name]) - (size(before[name]) if name in before else 0)) / recipients

    names = [name for name in after if name != "oplog"]
    by_collection = {}
    for name in names:
        data, logical = grown(name, _data), grown(name, lambda stats: stats["size"])
        by_index = {index: grown(name, lambda stats, i=index: _index(stats, i)) for index in after[name]["indexSizes"]}
        if data + logical + sum(by_index.values()) >= 1:
            indexes = ", ".join(f"{index} {size:.0f}" for index, size in by_index.items() if size >= 0.5)
            by_collection[name] = f"{data:.0f} B data ({logical:.0f} uncompressed), indexes: {indexes or 'none'}"
    return Growth(
        data=sum(grown(name, _data) for name in names),
        indexes=sum(grown(name, _indexes) for name in names),
        logical=sum(grown(name, lambda stats: stats["size"]) for name in names),
        oplog=grown("oplog", lambda stats: stats["size"]),
        by_collection=by_collection,
    )


def _data(stats: dict[str, Any]) -> int:
    return int(stats["storageSize"] - stats["freeStorageSize"])


def _indexes(stats: dict[str, Any]) -> int:
    return sum(_index(stats, name) for name in stats["indexSizes"])


def _index(stats: dict[str, Any], name: str) -> int:
    if name not in stats["indexSizes"]:
        return 0
    return int(stats["indexSizes"][name] - stats["indexDetails"][name]["block-manager"][FREE])
