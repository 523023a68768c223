"""Writes a backup, chunk by chunk.

The manifest is stored after chunks, as incomplete until the end. A backup that was stopped continues with the same
snapshot if MongoDB still has its history. Otherwise, it starts again. At most one chunk is in memory.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from bson.raw_bson import RawBSONDocument

from hub import __version__
from hub.backup import manifest as manifests
from hub.backup.manifest import Chunk, CollectionCopy, Manifest, from_extended_json, to_extended_json
from hub.backup.snapshot import Snapshot, SnapshotGone
from hub.backup.storage import Storage
from hub.platform.connections import Database

CHUNK_BYTES = 16 << 20
SAVE_EVERY_S = 5.0  # how often the manifest is stored
Report = Callable[[str], None]


class BackupError(Exception):
    """The backup cannot be made. The text says what to change."""


class BackupWriter:
    """`excluded`: the collections that are left out."""

    def __init__(
        self, database: Database, storage: Storage, data_version: int, excluded: Sequence[str], report: Report
    ) -> None:
        self._database = database
        self._storage = storage
        self._data_version = data_version
        self._excluded = excluded
        self._report = report
        self._saved_s = 0.0

    async def run(self) -> Manifest:
        """Write the backup, or the rest of one that was stopped. Raise BackupError, StorageError, or PyMongoError."""
        manifest = await self._begin()
        resumed = manifest.snapshot is not None
        try:
            return await self._copy(manifest)
        except SnapshotGone as error:
            if not resumed:
                raise BackupError(_gone(error, manifest)) from None
        self._report("The snapshot of the backup that was stopped no longer exists. The backup starts again.")
        await self._remove(manifest)
        try:
            manifest = await self._new_manifest()
            return await self._copy(manifest)
        except SnapshotGone as error:
            raise BackupError(_gone(error, manifest)) from None

    async def _begin(self) -> Manifest:
        if await self._storage.read(manifests.COMPLETE) is not None:
            raise BackupError("A complete backup is stored there already. Choose another folder or prefix.")
        if data := await self._storage.read(manifests.INCOMPLETE):
            manifest = manifests.decode(data)
            self._report(f"The backup continues: {manifest.documents:,} documents are stored.")
            return manifest
        if not await self._storage.is_empty():
            raise BackupError("The folder or prefix contains other files. Choose an empty one.")
        return await self._new_manifest()

    async def _new_manifest(self) -> Manifest:
        listed = await self._database.list_collections(filter={"type": "collection"})
        names = [doc["name"] async for doc in listed]
        return Manifest(
            hub_version=__version__,
            data_version=self._data_version,
            mongodb_version=(await self._database.client.server_info())["version"],
            database=self._database.name,
            collections=[
                CollectionCopy(name=name)
                for name in sorted(names)
                if name not in self._excluded and not name.startswith("system.")
            ],
        )

    async def _remove(self, manifest: Manifest) -> None:
        await self._storage.delete(manifests.INCOMPLETE)
        for copy in manifest.collections:
            for chunk in copy.chunks:
                await self._storage.delete(chunk.file)

    async def _copy(self, manifest: Manifest) -> Manifest:
        snapshot = Snapshot(self._database, manifest.snapshot, manifest.window_s)
        await self._storage.write(manifests.INCOMPLETE, manifests.encode(manifest))
        try:
            for copy in manifest.collections:
                if not copy.complete:
                    await self._copy_collection(manifest, copy, snapshot)
        finally:
            await snapshot.close()
        manifest.finished_at = _rfc3339(time.time())
        await self._storage.write(manifests.COMPLETE, manifests.encode(manifest))
        await self._storage.delete(manifests.INCOMPLETE)
        return manifest

    async def _copy_collection(self, manifest: Manifest, copy: CollectionCopy, snapshot: Snapshot) -> None:
        if not copy.chunks:
            indexes = await self._database[copy.name].list_indexes()
            copy.indexes = [to_extended_json(doc) async for doc in indexes]
        last: list[Any] = from_extended_json(copy.last)
        while docs := await snapshot.read(copy.name, last):
            part = _first_bytes(docs, CHUNK_BYTES)
            last = [part[-1]["_id"]]
            await self._store(copy, [bytes(doc.raw) for doc in part])
            copy.last = to_extended_json(last)
            await self._save(manifest, snapshot)
        copy.complete, copy.last = True, []
        await self._save(manifest, snapshot)
        self._report(f"{copy.name}: {copy.documents:,} documents, {copy.bytes:,} bytes")

    async def _store(self, copy: CollectionCopy, documents: Sequence[bytes]) -> None:
        data = b"".join(documents)
        file = f"{quote(copy.name, safe='')}-{len(copy.chunks) + 1:06}.bson"
        await self._storage.write(file, data)
        copy.chunks.append(Chunk(file, len(documents), len(data), sha256(data).hexdigest()))
        copy.documents += len(documents)
        copy.bytes += len(data)

    async def _save(self, manifest: Manifest, snapshot: Snapshot) -> None:
        """Store the progress, at most every SAVE_EVERY_S. Later chunks are copied again after a stop."""
        manifest.window_s = snapshot.original_window_s
        if manifest.snapshot is None and snapshot.at:
            manifest.snapshot, manifest.snapshot_at = snapshot.at, _rfc3339(snapshot.at[0])
        if time.monotonic() - self._saved_s >= SAVE_EVERY_S:
            await self._storage.write(manifests.INCOMPLETE, manifests.encode(manifest))
            self._saved_s = time.monotonic()
            self._report(f"{manifest.documents:,} documents, {manifest.bytes:,} bytes ...")


def _first_bytes(docs: list[RawBSONDocument], limit: int) -> list[RawBSONDocument]:
    """Return the first documents up to the one that reaches the limit."""
    size = 0
    for number, doc in enumerate(docs, 1):
        size += len(doc.raw)
        if size >= limit:
            return docs[:number]
    return docs


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _gone(error: SnapshotGone, manifest: Manifest) -> str:
    missing = ", ".join(copy.name for copy in manifest.collections if not copy.complete)
    return (
        f"MongoDB no longer has the snapshot that the backup reads ({error}), so these collections are incomplete: "
        f"{missing}. Let the MongoDB user change minSnapshotHistoryWindowInSeconds, raise it yourself while the backup "
        "runs, or take a snapshot of MongoDB's volume instead, which `hub restore --adopt` prepares after its restore."
    )
