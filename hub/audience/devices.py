"""Where people are reached beside mail and phone. A browser or an app belongs to whoever registered it last within its
tenant: who signs in on a device takes it over from who did before."""

from collections import OrderedDict
from collections.abc import Collection
from datetime import datetime, timedelta
from hashlib import sha256

from msgspec.structs import replace
from pymongo import UpdateOne, WriteConcern
from pymongo.errors import DuplicateKeyError

from hub.audience.users import COLLECTION, Users
from hub.clock import Clock
from hub.errors import TooLarge
from hub.model import Device, DeviceKind, User, tenant_of
from hub.platform.connections import Database

EXCLUSIVE_KINDS = frozenset({DeviceKind.WEB_PUSH, DeviceKind.MOBILE_PUSH})
"""Kinds that are a thing in somebody's hand. Other addresses may serve several people at once."""
TOUCH_INTERVAL = timedelta(hours=1)
"""So often at most it is noted that a device was reached."""
LAST_USED_CACHE_SIZE = 50_000  # of which a process remembers it


def device_key(mailbox: str, kind: DeviceKind, address: str) -> str:
    """Tells devices apart: within the tenant what people pass on, within one person the rest. Tenants know nothing of
    one another."""
    owner = tenant_of(mailbox) if kind in EXCLUSIVE_KINDS else mailbox
    return sha256("\n".join((owner, kind, address)).encode()).hexdigest()


class Devices:
    def __init__(self, database: Database, users: Users, clock: Clock, max_devices: int) -> None:
        self._docs = database[COLLECTION]
        self._fast_writes = self._docs.with_options(
            write_concern=WriteConcern(w=1)
        )  # what a failover loses is noted again
        self._users = users
        self._clock = clock
        self._max_devices = max_devices
        self._touched: OrderedDict[tuple[str, str], datetime] = OrderedDict()  # the latest last

    async def register(self, mailbox: str, device: Device) -> Device:
        """The person's own from now on, and nobody else's. What was registered before keeps its id. TooLarge beyond
        what a person may have."""
        while True:
            theirs = {"devices.key": device.key, "_id": {"$ne": mailbox}}
            await self._docs.update_many(theirs, {"$pull": {"devices": {"key": device.key}}})
            try:
                user = await self._users.change(mailbox, lambda user: self._with_device(user, device))
            except DuplicateKeyError:  # somebody else registered it in between
                continue
            return next(mine for mine in user.devices if mine.key == device.key)

    async def remove(self, mailbox: str, id: str) -> bool:
        """Whether it was there."""
        found = {"_id": mailbox, "devices.id": id}
        return (await self._docs.update_one(found, {"$pull": {"devices": {"id": id}}})).modified_count == 1

    async def set_sns_endpoint(self, mailbox: str, id: str, arn: str) -> None:
        """The endpoint that Amazon SNS made for it."""
        await self._docs.update_one({"_id": mailbox, "devices.id": id}, {"$set": {"devices.$.arn": arn}})

    async def touch(self, used: Collection[tuple[str, str]]) -> None:
        """Notes in one round trip that these were reached: mailbox and device id. Whom this process has noted lately is
        passed over."""
        now = self._clock()
        unnoted = {one for one in used if one not in self._touched or self._touched[one] <= now - TOUCH_INTERVAL}
        if not unnoted:
            return
        stale = {"last_used_at": {"$not": {"$gt": now - TOUCH_INTERVAL}}}
        noted = {"$set": {"devices.$.last_used_at": now}}
        await self._fast_writes.bulk_write(
            [UpdateOne({"_id": box, "devices": {"$elemMatch": {"id": id, **stale}}}, noted) for box, id in unnoted],
            ordered=False,
        )
        for one in unnoted:
            self._touched[one] = now
            self._touched.move_to_end(one)
        while len(self._touched) > LAST_USED_CACHE_SIZE:
            self._touched.popitem(last=False)

    def _with_device(self, user: User, device: Device) -> User:
        for index, known in enumerate(user.devices):
            if known.key == device.key:
                again = {"id": known.id, "created_at": known.created_at, "last_used_at": device.created_at}
                kept = replace(device, **again)  # without its ARN: SNS enables it anew
                return replace(user, devices=(*user.devices[:index], kept, *user.devices[index + 1 :]))
        if len(user.devices) >= self._max_devices:
            raise TooLarge(
                f"A person has at most {self._max_devices} devices (HUB_DEVICES_PER_USER): remove one first."
            )
        return replace(user, devices=(*user.devices, device))
