"""The gauge of the age of the newest backup in `/metrics`. Every worker reports the same value."""

import asyncio

import structlog
from pymongo.errors import PyMongoError

from hub.backup.backup_record import read_newest
from hub.platform import metrics
from hub.platform.connections import Database, is_cancelling
from hub.utc_time import RealClock, elapsed

SAMPLE_EVERY_S = 30.0

log = structlog.get_logger(__name__)


async def sample_backup_age(database: Database, clock: RealClock) -> None:
    """Sample every SAMPLE_EVERY_S until cancelled."""
    while not is_cancelling():
        try:
            newest = await read_newest(database)
            metrics.backup_age.set(elapsed(newest, clock()).total_seconds() if newest else 0)
        except PyMongoError as error:
            log.warning("backup_sampling_failed", error=error)
        await asyncio.sleep(SAMPLE_EVERY_S)
