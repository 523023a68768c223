"""`hub bench` runs and reports its results. The figures themselves are not tested."""

import asyncio
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hub.bench.plan import Plan
from hub.bench.results import Figure
from hub.bench.runner import Report
from tests.conftest import FULL_SCALE

needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="the load client is for Linux and needs a C compiler"
)


async def bench(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hub", "bench", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@needs_compiler
async def test_bench_send_prints_a_table() -> None:
    output = await bench("send", "--seconds", "2", "--repeat", "1")
    assert "send: to one user each" in output
    assert "floor: insert and publish" in output


@needs_compiler
@pytest.mark.serial
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not FULL_SCALE, reason="takes some minutes: `make prove` runs it")
async def test_bench_all_at_a_small_size_writes_its_page_and_chart(tmp_path: Path) -> None:
    small = ["--seconds", "0.5", "--repeat", "1", "--size", "2000", "--sockets", "100", "--deliveries", "500"]
    small += ["--items", "500", "--digests", "20", "--recipients", "1000", "--audience", "20000"]
    output = await bench("all", *small, "--into", str(tmp_path))
    page = (tmp_path / "benchmarks.md").read_text()
    for figure in (
        "send: to one user",
        "latency: mutation",
        "fanout: last of 100",
        "inbox: page",
        "memory: an idle",
        "dispatch: webhooks",
        "digest: 500 held items",
        "storage: IN_APP",
        "expansion: IN_APP, 20,000 recipients",
        "expansion: CRITICAL sends",
    ):
        assert figure in output
        assert figure in page
    assert (tmp_path / "benchmarks.svg").exists()


def test_report_compares_figures_with_their_targets(tmp_path: Path) -> None:
    figures = [
        Figure(group="send", name="fast <enough>", value=3000, unit="/s", minimum=2500, floor=6000),
        Figure(group="fanout", name="too slow", value=250, unit="ms", maximum=200, floor=50),
    ]
    report = Report(figures, Plan(seconds=1, repeat=1), pinned=True, took_s=1, load=0)
    page, picture = (path.read_text() for path in report.write(tmp_path))
    assert "| send: fast <enough> | 3,000 /s | >= 2,500 | ok |" in page
    assert "| fanout: too slow | 250 ms | <= 200 | MISSED |" in page
    assert [figure.floor_ratio for figure in figures] == [0.5, 0.2]
    assert ElementTree.fromstring(picture).tag.endswith("svg")
