"""The check of `hub doctor` for the keys that encrypt stored credentials."""

import contextlib

from pymongo.errors import PyMongoError

from hub.cli.findings import CheckFailed, Findings
from hub.platform import connections
from hub.platform.encryption import SETTING, create_encryption
from hub.settings import Settings
from hub.workflows.credential_encryption import COUNTED_MAX, STORED, CredentialEncryption


async def check_encryption(settings: Settings, findings: Findings) -> None:
    """Check that the keys decrypt what is stored. Other checks report an unavailable store or missing indexes."""
    encryption = create_encryption(settings)
    with contextlib.suppress(PyMongoError, connections.StoreUnavailable):
        async with connections.mongo(settings) as database:
            credentials = CredentialEncryption(database, encryption)
            if problems := await _find_problems(credentials):
                raise CheckFailed(" ".join(problems))
            if encryption.first_key is None:
                if settings.mode == "production":
                    findings.note(
                        "keys and addresses of devices and secrets of webhooks are stored unencrypted: set "
                        f"{SETTING} (`hub keys generate-encryption-key` creates a key)"
                    )
                return
            findings.ok(f"credentials are encrypted with the key `{encryption.first_key}` ({SETTING})")
            for key in encryption.key_ids[1:]:
                uses, used = await describe_uses(credentials, key)
                if used:
                    findings.note(
                        f"the key `{key}` still encrypts {uses}: run `hub keys rotate-encryption` before you remove it"
                    )
                else:
                    findings.ok(f"nothing is encrypted with the key `{key}`: it may be removed from {SETTING}")
            uses, used = await describe_uses(credentials, None)
            if used:
                findings.note(f"not encrypted yet: {uses}; `hub work` encrypts them in the background")


async def _find_problems(credentials: CredentialEncryption) -> list[str]:
    """Return the missing and wrong keys, with what each of them encrypts."""
    problems = []
    missing = await credentials.missing_keys()
    for key in missing:
        uses, _ = await describe_uses(credentials, key)
        problems.append(
            f"{SETTING} does not contain the key `{key}`, which encrypts {uses}. If the hub has the key, run this "
            "command with the environment of the hub. Otherwise add the key: deliveries to them are retried and fail "
            "in the end. If it is lost, devices must be registered again, and secrets must be rotated."
        )
    for where in STORED:
        keys = [key for key in await credentials.used_keys(where) if key not in missing]
        faults = [await credentials.find_fault(where, key) for key in keys]
        problems += [f"{fault[0].upper()}{fault[1:]}. Correct {SETTING}." for fault in faults if fault]
    return problems


async def describe_uses(credentials: CredentialEncryption, key: str | None) -> tuple[str, int]:
    """Return what a key encrypts, or what is not encrypted, as a text and as a number."""
    counts = {where.name: await credentials.count(where, key) for where in STORED}
    text = " and ".join(f"{'at least ' * (n >= COUNTED_MAX)}{n:,} {name}" for name, n in counts.items() if n)
    return text or "nothing", sum(counts.values())
