"""Compares the indexes in MongoDB with those of this version, and creates what is missing.

- `prepare` runs when a process starts, and takes no time: it creates collections, the indexes of empty collections, and
  changes how long documents are kept. It does not build indexes over stored documents.
- `build` runs in `hub migrate`. MongoDB serves reads and writes meanwhile, also those of processes of another version.

An index has the same keys and options in all versions. A changed index has another name.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pymongo
from msgspec import Struct
from pymongo import IndexModel
from pymongo.errors import CollectionInvalid, OperationFailure

from hub.platform.connections import NAMESPACE_EXISTS, Database, Document, Indexes

OPTIONS = ("unique", "sparse", "partialFilterExpression")
EXPIRY = "expireAfterSeconds"
NAMESPACE_NOT_FOUND = 26
INDEX_NOT_FOUND = 27
BUILD_TIMEOUT_S = 24 * 3600.0  # None means the client's timeoutMS


class IndexState(Struct):
    """The indexes of this version that MongoDB does not have, that have other keys or options there, and that keep
    documents for another time, as `(collection, index)`. `count` is the number of indexes of this version."""

    count: int
    missing: list[tuple[str, IndexModel]]
    different: list[tuple[str, IndexModel]]
    other_expiry: list[tuple[str, IndexModel]]


def names_of(found: Sequence[tuple[str, IndexModel]]) -> str:
    return ", ".join(f"{collection}.{index.document['name']}" for collection, index in found)


async def compare(database: Database, *indexes: Indexes) -> IndexState:
    """Compare the indexes in MongoDB with `indexes`."""
    models = [(collection, index) for stage in indexes for collection, found in stage.items() for index in found]
    collections = sorted({collection for collection, _ in models})
    stored = dict(zip(collections, await asyncio.gather(*(_stored(database, one) for one in collections)), strict=True))
    state = IndexState(len(models), [], [], [])
    for collection, index in models:
        wanted = index.document
        existing = stored[collection].get(wanted["name"])
        if existing is None:
            state.missing.append((collection, index))
        elif _definition(existing) != _definition(wanted):
            state.different.append((collection, index))
        elif existing.get(EXPIRY) != wanted.get(EXPIRY):
            state.other_expiry.append((collection, index))
    return state


async def prepare(database: Database, *indexes: Indexes) -> IndexState:
    """Create collections and the indexes of empty collections, and change how long documents are kept. Return what
    remains. Several processes may do this at the same time."""
    state = await compare(database, *indexes)
    for collection, index in state.other_expiry:
        change = {"name": index.document["name"], EXPIRY: index.document[EXPIRY]}
        await database.command("collMod", collection, index=change)
    existing = set(await database.list_collection_names())
    for collection in {name for stage in indexes for name, models in stage.items() if not models} - existing:
        await _create_collection(database, collection)
    empty = set()
    for collection in {collection for collection, _ in state.missing}:
        if await database[collection].find_one({}, {"_id": 1}) is None:
            empty.add(collection)
    await make_indexes(database, _by_collection([(name, index) for name, index in state.missing if name in empty]))
    missing = [(collection, index) for collection, index in state.missing if collection not in empty]
    return IndexState(state.count, missing, state.different, [])


async def build(database: Database, missing: Sequence[tuple[str, IndexModel]]) -> AsyncIterator[tuple[str, int]]:
    """Create indexes, all those of a collection in one scan. Before each, yield their names and the approximate number
    of documents."""
    for collection, models in _by_collection(missing).items():
        yield names_of([(collection, model) for model in models]), await database[collection].estimated_document_count()
        await make_indexes(database, {collection: models})


async def drop(database: Database, obsolete: Mapping[str, Sequence[str]]) -> list[str]:
    """Drop indexes of earlier versions, given as names by collection. Return those that existed."""
    dropped = []
    for collection, names in obsolete.items():
        for name in names:
            try:
                await database[collection].drop_index(name)
                dropped.append(f"{collection}.{name}")
            except OperationFailure as error:
                if error.code not in (NAMESPACE_NOT_FOUND, INDEX_NOT_FOUND):
                    raise
    return dropped


async def make_indexes(database: Database, *indexes: Indexes) -> None:
    """Create missing indexes and collections. Several processes may do this at the same time."""
    with pymongo.timeout(BUILD_TIMEOUT_S):
        for stage in indexes:
            for collection, models in stage.items():
                if models:
                    await database[collection].create_indexes(models)
                else:
                    await _create_collection(database, collection)


async def _create_collection(database: Database, collection: str) -> None:
    """Create a collection, because transactions that create one conflict with each other."""
    with suppress(CollectionInvalid):
        try:
            await database.create_collection(collection)
        except OperationFailure as error:  # another process created it in the meantime
            if error.code != NAMESPACE_EXISTS:
                raise


async def _stored(database: Database, collection: str) -> dict[str, Mapping[str, Any]]:
    return {doc["name"]: doc async for doc in await database[collection].list_indexes()}


def _by_collection(found: Sequence[tuple[str, IndexModel]]) -> dict[str, list[IndexModel]]:
    grouped: dict[str, list[IndexModel]] = {}
    for collection, index in found:
        grouped.setdefault(collection, []).append(index)
    return grouped


def _definition(index: Mapping[str, Any]) -> tuple[list[tuple[str, Any]], Document, bool]:
    """Return the keys in order, the options that determine what the index contains, and whether it expires."""
    options = {name: index[name] for name in OPTIONS if index.get(name) is not None}
    return list(index["key"].items()), options, EXPIRY in index
