"""`hub migrate`: prepare MongoDB for this version."""

import asyncio
import time

from pymongo.errors import PyMongoError

from hub.cli.target_hub import fail, load_settings
from hub.platform import connections, index_builds
from hub.platform.connections import Database, first_line
from hub.platform.index_builds import names_of
from hub.settings import Settings


def migrate() -> None:
    """Prepare MongoDB for this version: create missing indexes, and drop those of earlier versions.

    Run this once before you start the processes of a new version. Processes of the previous version may run meanwhile:
    MongoDB builds indexes in the background. If nothing is left to do, the command says so. It can be interrupted and
    repeated.

    Example: HUB_MONGO_URL=mongodb://127.0.0.1/?replicaSet=hub hub migrate
    """
    settings = load_settings()
    try:
        asyncio.run(_migrate(settings))
    except connections.StoreUnavailable as error:
        fail(str(error))
    except PyMongoError as error:
        fail(f"MongoDB cannot be used (HUB_MONGO_URL): {first_line(error)}. Run this again: it continues.")
    except KeyboardInterrupt:
        fail("Stopped. MongoDB may complete the index that it was building. Run this again: it continues.", 130)


async def _migrate(settings: Settings) -> None:
    from hub.runtime.stores import open_database

    async with connections.mongo(settings) as database:
        state = await open_database(database, settings)
        if state.different:
            fail(
                f"These indexes have other keys or options than those of this version: {names_of(state.different)}. "
                "Drop them, and run this again."
            )
        await _build(database, state)
        print(f"MongoDB has all {state.count} indexes of this version.", flush=True)


async def _build(database: Database, state: index_builds.IndexState) -> None:
    from hub.runtime.indexes import OBSOLETE

    began_s = None
    async for names, documents in index_builds.build(database, state.missing):
        if began_s is not None:
            print(f"  built in {time.monotonic() - began_s:.1f} s", flush=True)
        print(f"Building {names}: about {documents:,} documents", flush=True)
        began_s = time.monotonic()
    if began_s is not None:
        print(f"  built in {time.monotonic() - began_s:.1f} s", flush=True)
    for name in await index_builds.drop(database, OBSOLETE):
        print(f"Dropped {name}, an index of an earlier version", flush=True)
