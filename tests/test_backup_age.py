"""The age of the newest backup: its record, the metric of the workers, and `hub doctor`."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.backup_setup import Servers, new_site
from tests.client import eventually
from tests.hub_process import CONSTANTS
from tests.telemetry import metric_value, scrape_metrics

OFTEN = json.dumps({"hub.runtime.backup_metrics.SAMPLE_EVERY_S": 0.1})


def read_manifest(target: Path) -> str:
    """Return the text of the manifest, or an empty text."""
    path = target / "manifest.json"
    return path.read_text() if path.exists() else ""


async def test_age_of_the_newest_backup_is_a_metric_and_a_line_of_doctor(servers: Servers, folder: Path) -> None:
    site = new_site(servers)
    async with site.running(work_port="0") as (deployment, acme):
        await acme.fill_inbox("alice", 1)
        [worker] = deployment.workers
        worker.environment[CONSTANTS] = OFTEN
        await worker.start()

        async def age_s() -> float:
            return metric_value(
                await scrape_metrics(f"http://127.0.0.1:{worker.port}/metrics"), "hub_backup_age_seconds"
            )

        async def is_over(limit_s: float) -> bool:
            return await age_s() > limit_s

        assert "`hub backup` has made no backup of this database" in site.run("doctor").stdout
        assert await age_s() == 0
        before = datetime.now(UTC).date()
        site.back_up(f"{folder}/{{date}}")
        days = {before, datetime.now(UTC).date()}
        [manifest] = [text for day in days if (text := await asyncio.to_thread(read_manifest, folder / f"{day}"))]
        assert "ok     the newest backup of `hub backup` is 0." in site.run("doctor").stdout
        await eventually(lambda: is_over(0))

        async with site.database() as database:
            [record] = await database.backups.find().to_list()
            assert record["at"] == datetime.fromisoformat(json.loads(manifest)["snapshot_at"])
            await database.backups.update_one({}, {"$set": {"at": record["at"] - timedelta(hours=27)}})
        await eventually(lambda: is_over(26 * 3600))
        assert "note   the newest backup of `hub backup` is 27." in site.run("doctor").stdout


async def test_backup_whose_record_is_rejected_is_complete(servers: Servers, folder: Path) -> None:
    site = new_site(servers)
    async with site.running() as (_, acme), site.database() as database:
        await acme.fill_inbox("alice", 1)
        await database.create_collection("backups", validator={"none": {"$exists": True}})
    done = site.run("backup", str(folder / "backup"))
    assert done.returncode == 0
    assert "its time could not be recorded" in done.stderr
    assert await asyncio.to_thread(read_manifest, folder / "backup")
