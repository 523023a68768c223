"""How long a backup and a restore take, and how much memory they need, while the hub is used. The numbers in
`docs/operations/backup-and-restore.md` are those of the full scale."""

import asyncio
import contextlib
import logging
import re
import time
from pathlib import Path

from hub.bench.seed import create_deliveries, create_mailbox
from hub.model import mailbox_of
from tests.backup_setup import Servers, Site, new_site
from tests.cli_commands import environment
from tests.client import Tenant
from tests.conftest import scaled
from tests.hub_process import ForkedProcess
from tests.processes import SECRET

MAILBOXES = scaled(7, 70)
NOTIFICATIONS = scaled(1_000, 10_000)  # of each mailbox
DELIVERIES = scaled(3_000, 300_000)  # that wait, with a notification each
MEMORY_MAX_MB = 400  # of the command, with the imports of the tests

log = logging.getLogger(__name__)


def read_peak_kb(pid: int) -> int:
    """Return the memory that a process used at most, or 0 if it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) if found else 0
    return 0


async def measure(site: Site, folder: Path, *arguments: str) -> tuple[str, float, int]:
    """Run a command. Return its output, its seconds, and the megabytes that it used at most."""
    settings = {"mongo_url": site.mongo_url, "redis_url": site.redis_url, "mongo_database": site.name}
    output = folder / f"{arguments[0]}.log"
    variables = environment(**settings, redis_prefix=f"{site.name}:", jwt_secret=SECRET)
    started_s = time.monotonic()
    process = ForkedProcess(arguments, variables, output, output)
    peak_kb = 0
    try:
        while process.poll() is None:
            peak_kb = max(peak_kb, await asyncio.to_thread(read_peak_kb, process.pid))
            await asyncio.sleep(0.1)
    finally:
        process.kill()
    text = await asyncio.to_thread(output.read_text)
    assert process.poll() == 0, text
    return text, time.monotonic() - started_s, peak_kb >> 10


async def keep_sending(acme: Tenant) -> None:
    while True:
        await acme.fill_inbox("alice", 50)


async def test_backup_and_restore_of_many_notifications(servers: Servers, folder: Path) -> None:
    """Sends go on during the backup, so it is consistent only because it reads one snapshot."""
    site, new = new_site(servers), new_site(servers)
    async with site.running() as (_, acme):
        for number in range(MAILBOXES):
            mailbox = mailbox_of("large", f"user-{number}")
            await asyncio.to_thread(create_mailbox, site.mongo_url, site.name, mailbox, NOTIFICATIONS, lambda _: None)
        await asyncio.to_thread(create_deliveries, site.mongo_url, site.name, DELIVERIES, "https://hooks.example.org")
        sending = asyncio.create_task(keep_sending(acme))
        text, backup_s, backup_mb = await measure(site, folder, "backup", str(folder / "backup"))
        sending.cancel()
    restored, restore_s, restore_mb = await measure(new, folder, "restore", str(folder / "backup"))
    assert f"Held: {DELIVERIES:,} deliveries" in restored
    sample = re.search(r"([\d,]+) of a sample of ([\d,]+) inboxes have correct counts", restored)
    assert sample
    assert sample[1] == sample[2]
    async with new.database() as database:
        head = await database.mailboxes.find_one({"_id": "acme/alice"})
        assert head
        assert await database.notifications.count_documents({"mailbox": "acme/alice"}) == head["modseq"]
    total = MAILBOXES * NOTIFICATIONS + DELIVERIES
    log.info("%d notifications: backup %.0f s, %d MB; restore %.0f s, %d MB; %s", total, backup_s, backup_mb, restore_s,
             restore_mb, text.splitlines()[-1])  # fmt: skip
    assert max(backup_mb, restore_mb) < MEMORY_MAX_MB
