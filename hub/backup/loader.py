"""Loads a backup into an empty database. At most one chunk is in memory. Each chunk is checked before it is written."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from typing import Any

import pymongo
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import CollectionInvalid

from hub import __version__
from hub.backup import manifest as manifests
from hub.backup.manifest import Chunk, CollectionCopy, Manifest, ManifestError, from_extended_json
from hub.backup.storage import Storage
from hub.platform.connections import Database
from hub.platform.index_builds import BUILD_TIMEOUT_S

RAW: "CodecOptions[RawBSONDocument]" = CodecOptions(document_class=RawBSONDocument)
SMALL_DOCUMENTS = 10_000  # up to this number, indexes are created before the documents, as each build takes a moment
LENGTH_BYTES = 4  # a BSON document begins with its length
LISTED_ONLY = ("v", "ns")  # fields of an index that MongoDB chooses
Report = Callable[[str], None]


class RestoreError(Exception):
    """The backup cannot be restored. The text says what to change."""


async def read_manifest(storage: Storage, data_version: int) -> Manifest:
    """Return the manifest of a complete backup that this hub can restore. Raise RestoreError or StorageError."""
    data = await storage.read(manifests.COMPLETE)
    if data is None:
        if await storage.read(manifests.INCOMPLETE) is not None:
            raise RestoreError("This backup was stopped. Complete it with `hub backup`, or restore another one.")
        raise RestoreError("No manifest.json was found, so this is not a backup.")
    try:
        manifest = manifests.decode(data)
    except ManifestError as error:
        raise RestoreError(str(error)) from None
    versions = manifest.hub_version.split(".")[0], __version__.split(".")[0]
    if versions[0] != versions[1] or manifest.data_version != data_version:
        raise RestoreError(
            f"hub {manifest.hub_version} made this backup, with version {manifest.data_version} of the stored data. "
            f"This is hub {__version__} with version {data_version}. Restore the backup with hub "
            f"{manifest.hub_version}, and then upgrade."
        )
    return manifest


async def check_empty(database: Database) -> None:
    """Raise RestoreError if the database contains documents."""
    for name in await database.list_collection_names(filter={"type": "collection"}):
        if await database[name].find_one({}, {"_id": 1}):
            raise RestoreError(
                f"The database {database.name} is not empty: {name} contains documents. Stop all processes of the hub, "
                "and set HUB_MONGO_DATABASE to a new database, or drop this one."
            )


async def load(database: Database, storage: Storage, manifest: Manifest, report: Report) -> None:
    """Write the documents and the indexes. Raise RestoreError, StorageError, or PyMongoError."""
    for copy in manifest.collections:
        small = copy.documents <= SMALL_DOCUMENTS
        if small:
            await _create_indexes(database, copy)
        await _load_collection(database, storage, copy, report)
        if not small:
            report(f"{copy.name}: {len(copy.indexes)} indexes ...")
            await _create_indexes(database, copy)


async def _create_indexes(database: Database, copy: CollectionCopy) -> None:
    indexes = [_definition(from_extended_json(index)) for index in copy.indexes if index["name"] != "_id_"]
    if indexes:
        with pymongo.timeout(BUILD_TIMEOUT_S):
            await database.command("createIndexes", copy.name, indexes=indexes)


def _definition(index: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in index.items() if name not in LISTED_ONLY}


async def _load_collection(database: Database, storage: Storage, copy: CollectionCopy, report: Report) -> None:
    with suppress(CollectionInvalid):  # it exists and is empty, or contains the record of the restore
        await database.create_collection(copy.name)
    collection = database.get_collection(copy.name, codec_options=RAW)
    written = 0
    for chunk in copy.chunks:
        documents = await _read_chunk(storage, chunk)
        await collection.insert_many(documents, ordered=False)
        written += len(documents)
        report(f"{copy.name}: {written:,} of {copy.documents:,} documents")


async def _read_chunk(storage: Storage, chunk: Chunk) -> list[RawBSONDocument]:
    data = await storage.read(chunk.file)
    if data is None:
        raise RestoreError(f"{chunk.file} is missing. The backup is damaged: restore another one.")
    if len(data) != chunk.bytes or sha256(data).hexdigest() != chunk.sha256:
        raise RestoreError(f"{chunk.file} has another SHA-256. The backup is damaged: restore another one.")
    return list(_split(data))


def _split(data: bytes) -> Iterator[RawBSONDocument]:
    start = 0
    while start < len(data):
        length = int.from_bytes(data[start : start + LENGTH_BYTES], "little")
        yield RawBSONDocument(data[start : start + length])
        start += length
