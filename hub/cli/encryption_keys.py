"""The keys that encrypt stored credentials, for `hub keys generate-encryption-key` and `rotate-encryption`."""

import asyncio
import secrets
import sys

from msgspec import Struct
from pymongo.errors import PyMongoError

from hub import base64url
from hub.audience.tenants import list_tenants
from hub.cli.encryption_check import describe_uses
from hub.cli.target_hub import fail, load_settings
from hub.platform import connections
from hub.platform.audit import record_command
from hub.platform.connections import first_line
from hub.platform.encryption import SETTING, StoredCredentials, create_encryption
from hub.settings import Settings
from hub.settings.value_parsers import ENCRYPTION_KEY_BYTES
from hub.workflows.credential_encryption import SLICE, STORED, CredentialEncryption

CONTINUE = "Run this again: it continues."
SHOWN_FAILURES = 10
KEY_ID_BYTES = 3


class _Result(Struct):
    """The number of items that a run has written, by name, and the first items that it could not decrypt, with the
    reason."""

    written: dict[str, int]
    failed: dict[str, str]


def new_key_setting() -> str:
    """Return the setting with a new key, as a line of an environment file."""
    key = base64url.encode(secrets.token_bytes(ENCRYPTION_KEY_BYTES))
    return f"{SETTING}=k{secrets.token_hex(KEY_ID_BYTES)}:{key}"


def rotate() -> None:
    """Encrypt all stored credentials with the first key, and print what still uses others. Exit with an error if any
    do, or if MongoDB cannot be used."""
    settings = load_settings()
    if not settings.encryption_keys:
        fail(f"Set {SETTING} to the keys, the new one first. `hub keys generate-encryption-key` creates a key.", 2)
    try:
        complete = asyncio.run(_rotate(settings))
    except connections.StoreUnavailable as error:
        fail(str(error))
    except PyMongoError as error:
        fail(f"MongoDB cannot be used (HUB_MONGO_URL): {first_line(error)}. {CONTINUE}")
    except KeyboardInterrupt:
        fail(f"Stopped. {CONTINUE}", 130)
    if not complete:
        sys.exit(1)


async def _rotate(settings: Settings) -> bool:
    encryption = create_encryption(settings)
    async with connections.mongo(settings) as database:
        credentials = CredentialEncryption(database, encryption)
        tenants = await list_tenants(database)
        await record_command(database, tenants, "hub keys rotate-encryption", {"key": encryption.first_key})
        result = _Result(dict.fromkeys((where.name for where in STORED), 0), {})
        for where in STORED:
            await _rotate_items(credentials, where, encryption.key_ids, result)
        print(f"Encrypted with the key `{encryption.first_key}`: {_counts(result)}.")
        for id, reason in result.failed.items():
            print(f"{id}: {reason}.", file=sys.stderr)
        missing = await credentials.missing_keys()
        return await _report_uses(credentials, [*encryption.key_ids[1:], *missing], missing)


async def _rotate_items(
    credentials: CredentialEncryption, where: StoredCredentials, known: tuple[str, ...], result: _Result
) -> None:
    """Repeat until a round writes nothing: items may be registered with another key meanwhile."""
    first, *_ = known
    while True:
        written = 0
        others = [key for key in await credentials.used_keys(where) if key in known and key != first]
        for key in (None, *others):
            after = ""
            while True:
                done = await credentials.encrypt_slice(where, key, after)
                written += done.written
                result.written[where.name] += done.written
                result.failed = dict([*result.failed.items(), *done.failed][:SHOWN_FAILURES])
                if done.found < SLICE or (key is None and not done.written):
                    break
                after = done.last if key else ""
                print(f"{_counts(result)} ...", file=sys.stderr)
        if not written:
            return


def _counts(result: _Result) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in result.written.items())


async def _report_uses(credentials: CredentialEncryption, others: list[str], missing: list[str]) -> bool:
    """Print what still uses each other key. Return True if nothing does."""
    complete = True
    for key in (*others, None):
        uses, used = await describe_uses(credentials, key)
        complete = complete and not used
        if key is None:
            if used:
                print(f"Not encrypted: {uses}. A process of the hub may run without {SETTING}.")
        elif not used:
            print(f"`{key}` encrypts nothing: it may be removed from {SETTING}.")
        elif key in missing:
            print(f"`{key}` encrypts {uses}, and {SETTING} does not contain it: add it, and run this again.")
        else:
            print(f"`{key}` still encrypts {uses}: keep it. A process of the hub may still have it as its first key.")
    return complete
