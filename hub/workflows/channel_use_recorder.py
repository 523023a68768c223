"""Records which channels the sends of each category name, for `CategoryChannelPreference.reach`.

- The record is in the document of the tenant, which decisions and preferences read anyway.
- A send whose channels are recorded causes no query. Otherwise they are recorded in the background after the commit. If
  that fails, or the process ends, the next such send causes it again.
- The first send of a tenant without a record reads the channels of its SENDS_READ newest sends.
"""

import asyncio
from contextvars import Context

import structlog
from pymongo import DESCENDING
from pymongo.errors import PyMongoError

from hub.audience.tenants import COLLECTION as TENANTS
from hub.audience.tenants import Tenants
from hub.model import channel_use
from hub.platform.connections import Database
from hub.status.sends import COLLECTION as SENDS
from hub.workflows.send_request import SendRequest

SENDS_READ = 1000
WAITING_MAX = 1000  # tenants

log = structlog.get_logger(__name__)


class ChannelUseRecorder:
    def __init__(self, database: Database, tenants: Tenants) -> None:
        self._stored_tenants = database[TENANTS]
        self._sends = database[SENDS]
        self._tenants = tenants
        self._waiting: dict[str, set[str]] = {}  # the uses to record by tenant
        self._task: asyncio.Task[None] | None = None

    def note(self, tenant: str, request: SendRequest) -> None:
        """Record the channels that a committed send names, unless they are recorded. Does not wait."""
        channels = {*(request.channels or ()), *(one for step in request.steps or () for one in step.channels)}
        uses = {channel_use(request.category, channel) for channel in channels}
        recorded = self._tenants.cached(tenant).used_channels
        if recorded is not None and uses <= recorded:
            return
        if tenant in self._waiting or len(self._waiting) < WAITING_MAX:
            self._waiting.setdefault(tenant, set()).update(uses)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), context=Context())

    async def _run(self) -> None:
        try:
            while self._waiting:
                tenant, uses = self._waiting.popitem()
                try:
                    await self._record(tenant, uses)
                except PyMongoError as error:
                    log.warning("channel_use_not_recorded", tenant=tenant, error=repr(error), throttled=True)
        finally:
            self._task = None

    async def _record(self, tenant: str, uses: set[str]) -> None:
        doc = await self._stored_tenants.find_one({"_id": tenant}, {"categories.key": 1, "used_channels": 1})
        if doc is None:
            return
        recorded = doc.get("used_channels")
        found = uses if recorded is not None else uses | await self._read_sends(tenant)
        keys = {category.get("key") for category in doc.get("categories", ())}
        new = sorted(use for use in found.difference(recorded or ()) if use.partition(" ")[2] in keys)
        if new or recorded is None:
            update = {"$addToSet": {"used_channels": {"$each": new}}, "$inc": {"version": 1}}
            await self._stored_tenants.update_one({"_id": tenant}, update)

    async def _read_sends(self, tenant: str) -> set[str]:
        """Return the uses of the newest sends of a tenant."""
        fields = {"_id": 0, "category": 1, "channels": 1, "steps.channels": 1}
        newest = self._sends.find({"tenant": tenant}, fields, hint="tenant").sort("_id", DESCENDING).limit(SENDS_READ)
        return {
            channel_use(send["category"], channel)
            async for send in newest
            for channels in (send.get("channels") or (), *(step["channels"] for step in send.get("steps", ())))
            for channel in channels
        }
