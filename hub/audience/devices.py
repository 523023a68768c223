"""Devices of users: browsers, apps, and personal webhooks.

Within a tenant, a browser or an app belongs to the user who registered it last. A user who signs in on a shared device
takes over the device from the previous user.

The addresses and keys of devices are encrypted. `key` finds a device by its address.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from hashlib import sha256

from cachetools import LRUCache
from msgspec.structs import replace
from pymongo import UpdateOne, WriteConcern
from pymongo.errors import DuplicateKeyError

from hub.audience.users import COLLECTION, DEVICE_CREDENTIALS, Users
from hub.errors import TooLarge
from hub.model import Device, DeviceKind, User, tenant_of
from hub.platform.connections import Database
from hub.platform.encryption import Encryption
from hub.utc_time import Clock

EXCLUSIVE_KINDS = frozenset({DeviceKind.WEB_PUSH, DeviceKind.MOBILE_PUSH})
"""The kinds of devices that belong to one user at a time. Several users may share the address of another kind."""
TOUCH_INTERVAL = timedelta(hours=1)
"""The shortest interval between two updates of a device's `last_used_at`."""
LAST_USED_CACHE_SIZE = 50_000  # devices


def device_key(mailbox: str, kind: DeviceKind, address: str) -> str:
    """Return the key that identifies a device: within the tenant for exclusive kinds, otherwise within the user."""
    owner = tenant_of(mailbox) if kind in EXCLUSIVE_KINDS else mailbox
    return sha256("\n".join((owner, kind, address)).encode()).hexdigest()


class Devices:
    def __init__(
        self, database: Database, users: Users, clock: Clock, max_devices: int, encryption: Encryption
    ) -> None:
        self._docs = database[COLLECTION]
        self._fast_writes = self._docs.with_options(write_concern=WriteConcern(w=1))  # writes that a failover may lose
        self._users = users
        self._clock = clock
        self._max_devices = max_devices
        self._encryption = encryption
        self._touched: LRUCache[tuple[str, str], datetime] = LRUCache(LAST_USED_CACHE_SIZE)

    async def register(self, mailbox: str, device: Device) -> Device:
        """Register a device for a user, and remove it from any other user. Return the device with its id.

        A device that the user has already registered keeps its id. Raise TooLarge if the user has too many."""
        while True:
            other_owners = {"devices.key": device.key, "_id": {"$ne": mailbox}}
            await self._docs.update_many(other_owners, {"$pull": {"devices": {"key": device.key}}})
            try:
                user = await self._users.change(mailbox, lambda user: self._with_device(user, device))
            except DuplicateKeyError:  # another user registered the device in the meantime
                continue
            return next(registered for registered in user.devices if registered.key == device.key)

    def decrypted(self, device: Device) -> Device:
        """Return a device with its address and keys. Raise CredentialUnavailable."""
        return self._encryption.decrypted(DEVICE_CREDENTIALS, device)

    async def remove(self, mailbox: str, id: str) -> bool:
        """Remove a device. Return True if the user had it."""
        owner = {"_id": mailbox, "devices.id": id}
        return (await self._docs.update_one(owner, {"$pull": {"devices": {"id": id}}})).modified_count == 1

    async def set_sns_endpoint(self, mailbox: str, id: str, arn: str) -> None:
        """Store the Amazon SNS endpoint of a device."""
        await self._docs.update_one({"_id": mailbox, "devices.id": id}, {"$set": {"devices.$.arn": arn}})

    async def touch(self, used: Collection[tuple[str, str]]) -> None:
        """Update `last_used_at` of devices, given as pairs of a mailbox and a device id.

        Devices that this process updated within TOUCH_INTERVAL are skipped."""
        now = self._clock()
        oldest = now - TOUCH_INTERVAL
        due = {device for device in used if self._touched.get(device, oldest) <= oldest}
        if not due:
            return
        stale = {"last_used_at": {"$not": {"$gt": oldest}}}
        update = {"$set": {"devices.$.last_used_at": now}}
        await self._fast_writes.bulk_write(
            [
                UpdateOne({"_id": mailbox, "devices": {"$elemMatch": {"id": id, **stale}}}, update)
                for mailbox, id in due
            ],
            ordered=False,
        )
        self._touched.update(dict.fromkeys(due, now))

    def _with_device(self, user: User, device: Device) -> User:
        """Return the user with the device, encrypted. The id is part of the encryption, so it is assigned first."""
        for index, existing in enumerate(user.devices):
            if existing.key == device.key:
                kept = {"id": existing.id, "created_at": existing.created_at, "last_used_at": device.created_at}
                registered = replace(device, **kept)  # without the ARN, so SNS enables the endpoint again
                registered = self._encryption.encrypted(DEVICE_CREDENTIALS, registered)
                return replace(user, devices=(*user.devices[:index], registered, *user.devices[index + 1 :]))
        if len(user.devices) >= self._max_devices:
            raise TooLarge(f"A user has at most {self._max_devices} devices (HUB_USER_MAX_DEVICES). Remove one first.")
        return replace(user, devices=(*user.devices, self._encryption.encrypted(DEVICE_CREDENTIALS, device)))
