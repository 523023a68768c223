"""`hub bench` runs and reports its results. The figures themselves are not tested."""

import asyncio
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hub.bench import comparison
from hub.bench.plan import Plan
from hub.bench.regressions import RECORD, find_regressions, read_record, write_record
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
@pytest.mark.skipif(not shutil.which("npm"), reason="needs Node and npm")
@pytest.mark.skipif(not FULL_SCALE, reason="starts three other servers: `make prove` runs it")
@pytest.mark.serial
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("benchmark", ["send", "fanout"])
async def test_bench_against_other_servers_shows_all_of_them(benchmark: str) -> None:
    output = await bench(benchmark, "--against", "--seconds", "5", "--repeat", "1", "--sockets", "100")
    for server in comparison.SERVERS:
        row = next(line for line in output.splitlines() if line.startswith(f"{benchmark}: {server.name}"))
        assert row.endswith(" x")


async def test_other_servers_without_node_are_skipped_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    servers, skipped = await comparison.select_servers()
    assert [server.name for server in servers] == ["strawberry"]
    assert skipped.startswith("Skipped yoga and mercurius: Node 20.19 or later and npm are not installed")
    assert skipped in Report([], Plan(seconds=1, repeat=1), pinned=True, took_s=1, load=0, skipped=skipped).text()


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
        "fanout: burst of 20 events to 100 sockets",
        "fanout: 10,000 messages/s to 100 sockets",
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


def test_report_compares_the_hub_with_other_servers(tmp_path: Path) -> None:
    figures = [
        Figure(group="fanout", name="yoga, last of 100", value=300, unit="ms", hub=150),
        Figure(group="send", name="yoga, four writes", value=1000, unit="/s", hub=1500),
    ]
    report = Report(figures, Plan(seconds=1, repeat=1), pinned=True, took_s=1, load=0)
    page, picture = (path.read_text() for path in report.write(tmp_path))
    assert "| send: yoga, four writes | 1,000 /s |" in page
    assert [line.split(" | ")[-1] for line in page.splitlines() if ": yoga" in line] == ["2.00 x |", "1.50 x |"]
    bars = [(bar.get("class"), bar.get("width")) for bar in ElementTree.fromstring(picture) if bar.tag.endswith("rect")]
    assert bars == [("good", "165.0"), ("other", "330.0"), ("good", "330.0"), ("other", "220.0")]


def ratios(**values: float) -> list[Figure]:
    """Return figures whose ratio to the floor is the value."""
    named = {name.replace("_", " "): value for name, value in values.items()}
    return [Figure(group="send", name=name, value=1000 * value, unit="/s", floor=1000) for name, value in named.items()]


def test_regressions_name_each_ratio_below_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "ratios.toml"
    write_record(ratios(to_one_user=0.8, to_all=0.5), ["send"], path)
    path.write_text(
        path.read_text().replace(
            '"send: to one user" = { ratio = 0.8, slack = 0.3 }', '"send: to one user" = { ratio = 0.8, slack = 0.1 }'
        )
    )
    record = read_record(path)
    assert find_regressions(ratios(to_one_user=0.73, to_all=0.36), ["send"], record) == []
    assert find_regressions(ratios(to_one_user=0.71, to_all=0.36), ["send"], record) == [
        "send: to one user: the ratio to the floor is 0.71, below the limit 0.72 (recorded: 0.80, slack: 10%)."
    ]


def test_regressions_of_times_are_those_that_take_longer(tmp_path: Path) -> None:
    def last(ms: float) -> list[Figure]:
        return [Figure(group="fanout", name="last", value=ms, unit="ms", floor=50)]

    write_record(last(100), ["fanout"], path := tmp_path / "ratios.toml")
    assert find_regressions(last(140), ["fanout"], read_record(path)) == []
    assert len(find_regressions(last(150), ["fanout"], read_record(path))) == 1


def test_regressions_name_ratios_that_cannot_be_compared(tmp_path: Path) -> None:
    write_record(ratios(to_one_user=0.8), ["send"], path := tmp_path / "ratios.toml")
    faults = find_regressions(ratios(to_nobody=0.9), ["send"], read_record(path))
    assert [fault.partition(": ")[2].partition(".")[0] for fault in faults] == [
        "to one user: a ratio is recorded, but this run did not measure it",
        "to nobody: no ratio is recorded",
    ]
    assert find_regressions([], ["fanout"], read_record(path)) == []


def test_recorded_ratios_replace_those_of_the_same_benchmark_and_keep_the_slack(tmp_path: Path) -> None:
    path = tmp_path / "ratios.toml"
    path.write_text(
        '"send: to one user" = { ratio = 0.8, slack = 0.1 }\n"send: old" = { ratio = 1, slack = 0.1 }\n'
        '"inbox: page" = { ratio = 2.0, slack = 0.5 }\n'
    )
    write_record(ratios(to_one_user=0.9123), ["send"], path)
    record = {name: (recorded.ratio, recorded.slack) for name, recorded in read_record(path).items()}
    assert record == {"send: to one user": (0.912, 0.1), "inbox: page": (2.0, 0.5)}


def test_recorded_ratios_are_those_of_the_benchmarks_with_a_floor() -> None:
    assert {name.partition(":")[0] for name in read_record(RECORD)} == {
        "send",
        "fanout",
        "inbox",
        "memory",
        "expansion",
    }
