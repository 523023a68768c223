"""The regression gate of `make prove`: ratios to the floors, compared with recorded ones.

Load on the machine slows the hub and its floor, so a ratio differs less between two machines than a time does.
"""

import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hub.bench.results import Figure

RECORD = Path(__file__).with_name("recorded_ratios.toml")
DEFAULT_SLACK = 0.3  # of the recorded ratio
HEAD = """# The ratios to the floors, as `hub bench all --record` measured them: 1 is as good as the floor.
# `hub bench all --check` fails if a ratio is below its recorded one by more than its slack, a share of that ratio.
# `--record` replaces the ratios and keeps each slack, which may be edited.
"""


@dataclass(frozen=True)
class RecordedRatio:
    ratio: float
    slack: float = DEFAULT_SLACK

    @property
    def limit(self) -> float:
        """The smallest ratio that is not a regression."""
        return self.ratio * (1 - self.slack)


def read_record(path: Path = RECORD) -> dict[str, RecordedRatio]:
    """Return the recorded ratios by the name of the figure, or none if the file does not exist."""
    if not path.exists():
        return {}
    return {name: RecordedRatio(**fields) for name, fields in tomllib.loads(path.read_text()).items()}


def write_record(figures: Sequence[Figure], benchmarks: Collection[str], path: Path = RECORD) -> None:
    """Record the ratios of these benchmarks. Those of other benchmarks stay as they are."""
    record = read_record(path)
    kept = {name: recorded for name, recorded in record.items() if _benchmark_of(name) not in benchmarks}
    for name, ratio in _ratios(figures).items():
        slack = record[name].slack if name in record else DEFAULT_SLACK
        kept[name] = RecordedRatio(round(ratio, 3), slack)
    lines = (
        f"{json.dumps(name)} = {{ ratio = {recorded.ratio}, slack = {recorded.slack} }}"
        for name, recorded in sorted(kept.items())
    )
    path.write_text("\n".join([HEAD, *lines, ""]))


def find_regressions(
    figures: Sequence[Figure], benchmarks: Collection[str], record: Mapping[str, RecordedRatio]
) -> list[str]:
    """Return one sentence for each ratio that is worse than its limit, or that cannot be compared."""
    ratios = _ratios(figures)
    faults = []
    for name, recorded in record.items():
        if name in ratios and ratios[name] < recorded.limit:
            faults.append(
                f"{name}: the ratio to the floor is {ratios[name]:.2f}, below the limit {recorded.limit:.2f} "
                f"(recorded: {recorded.ratio:.2f}, slack: {recorded.slack:.0%})."
            )
        elif name not in ratios and _benchmark_of(name) in benchmarks:
            faults.append(
                f"{name}: a ratio is recorded, but this run did not measure it. Choose the sizes of the recorded run, "
                "or record the ratios again with --record."
            )
    missing = (name for name in ratios if name not in record)
    return faults + [f"{name}: no ratio is recorded. Record it with --record." for name in missing]


def _ratios(figures: Sequence[Figure]) -> dict[str, float]:
    return {figure.title: figure.floor_ratio for figure in figures if figure.floor_ratio}


def _benchmark_of(name: str) -> str:
    return name.partition(":")[0]
