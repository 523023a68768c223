"""The units of systemd are valid, and the hub has the settings and commands that they use."""

import re
import sys
from pathlib import Path

import pytest

from hub.settings import Settings
from tests.infra.tools import INFRA, find_tool, run_tool

UNITS = sorted((INFRA / "systemd").glob("*.service"))
PROCESSES = [unit for unit in UNITS if "@" in unit.name]
BACKUP = INFRA / "systemd" / "hub-backup.service"
TIMER = BACKUP.with_suffix(".timer")


@pytest.mark.parametrize("unit", UNITS, ids=[unit.name for unit in UNITS])
def test_unit_is_valid(unit: Path, tmp_path: Path) -> None:
    analyze = find_tool("systemd-analyze")
    program = ("/opt/hub/bin/hub", sys.executable)  # systemd-analyze checks that it exists
    text = unit.read_text().replace(*program)
    copy = tmp_path / unit.name.replace("@", "@8001")
    copy.write_text(text.replace("User=hub", "User=root").replace("Group=hub", "Group=root"))
    done = run_tool(analyze, "verify", copy)
    assert str(copy.name) not in done.stderr, done.stderr


@pytest.mark.parametrize("unit", PROCESSES, ids=[unit.name for unit in PROCESSES])
def test_unit_leaves_time_to_stop(unit: Path) -> None:
    service = dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE))
    defaults = [Settings.model_fields[name].default for name in ("drain_s", "shutdown_timeout_s")]
    assert int(service["TimeoutStopSec"]) > sum(defaults) + 5
    assert re.fullmatch(r"/opt/hub/bin/hub (serve|work)", service["ExecStart"])
    setting = service["Environment"].partition("=")[0].removeprefix("HUB_").lower()
    assert setting in Settings.model_fields


def test_timer_starts_a_backup_every_day(tmp_path: Path) -> None:
    analyze = find_tool("systemd-analyze")
    (tmp_path / BACKUP.name).write_text(BACKUP.read_text().replace("/opt/hub/bin/hub", sys.executable))
    (tmp_path / TIMER.name).write_text(TIMER.read_text())
    done = run_tool(analyze, "verify", tmp_path / TIMER.name)
    assert TIMER.name not in done.stderr, done.stderr
    timer = dict(re.findall(r"^(\w+)=(.*)$", TIMER.read_text(), re.MULTILINE))
    done = run_tool(analyze, "calendar", "--iterations=2", timer["OnCalendar"])
    assert re.search(r"Normalized form: \*-\*-\* 03:30:00 UTC", done.stdout), done.stdout
    service = dict(re.findall(r"^(\w+)=(.*)$", BACKUP.read_text(), re.MULTILINE))
    folder = f"/var/lib/{service['StateDirectory']}"
    assert service["ExecStart"] == f"/opt/hub/bin/hub backup {folder}/{{date}}"
    assert service["ExecStartPost"].startswith(f"/usr/bin/find {folder} ")
