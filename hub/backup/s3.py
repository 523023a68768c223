"""Backups in Amazon S3, which the standard variables of AWS configure."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from hub.backup.storage import Storage, StorageError

ATTEMPTS = 5
TIMEOUT_S = 60
NOT_FOUND_CODES = frozenset({"NoSuchKey", "404"})


class _NotFound(StorageError):
    pass


class Bucket:
    """The objects under a prefix of a bucket."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    async def read(self, name: str) -> bytes | None:
        try:
            found = await self._call("get_object", Key=self._prefix + name)
        except _NotFound:
            return None
        async with found["Body"] as body:
            return bytes(await body.read())

    async def write(self, name: str, data: bytes) -> None:
        await self._call("put_object", Key=self._prefix + name, Body=data)

    async def delete(self, name: str) -> None:
        await self._call("delete_object", Key=self._prefix + name)

    async def is_empty(self) -> bool:
        found = await self._call("list_objects_v2", Prefix=self._prefix, MaxKeys=1)
        return not found.get("Contents")

    async def _call(self, name: str, **arguments: Any) -> Any:
        try:
            return await getattr(self._client, name)(Bucket=self._bucket, **arguments)
        except ClientError as error:
            details = error.response.get("Error", {})
            if details.get("Code") in NOT_FOUND_CODES:
                raise _NotFound from None
            text = f"{details.get('Code')}: {details.get('Message')}"
            raise StorageError(f"S3 refused {name} in the bucket {self._bucket}: {text}") from None
        except (BotoCoreError, OSError) as error:
            raise StorageError(f"S3 cannot be used: {type(error).__name__}: {error}") from None


@asynccontextmanager
async def open_bucket(target: str) -> AsyncIterator[Storage]:
    """Yield the storage of `s3://bucket/prefix`. Raise StorageError."""
    parts = urlsplit(target)
    prefix = parts.path.strip("/")
    if not parts.netloc or not prefix:
        raise StorageError(f"{target}: name a bucket and a prefix, such as s3://backups/hub/2026-11-30.")
    retries = {"total_max_attempts": ATTEMPTS, "mode": "standard"}
    config = AioConfig(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries=retries)
    try:
        async with aioboto3.Session().client("s3", region_name=os.environ.get("AWS_REGION"), config=config) as client:
            yield Bucket(client, parts.netloc, f"{prefix}/")
    except NoRegionError:
        raise StorageError("Set AWS_REGION: the buckets of S3 are regional.") from None
