"""The text of `/metrics`, of one process or of all processes that share a port."""

from collections.abc import Iterable, Iterator

from prometheus_client import REGISTRY, Metric, generate_latest
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

FAMILY = "# HELP "
"""The start of the first line of each metric."""


class _Labeled(Collector):
    """The metrics of this process with the label `process`."""

    def __init__(self, process: int) -> None:
        self._label = {"process": str(process)}

    def collect(self) -> Iterator[Metric]:
        for family in REGISTRY.collect():
            labeled = Metric(family.name, family.documentation, family.type, family.unit)
            labeled.samples = [
                Sample(sample.name, {**sample.labels, **self._label}, sample.value) for sample in family.samples
            ]
            yield labeled


def metrics_text(process: int | None = None) -> bytes:
    """Return the metrics of this process, with the label `process` if it is one of several."""
    return generate_latest(REGISTRY if process is None else _Labeled(process))


def merge_metrics(texts: Iterable[bytes]) -> bytes:
    """Return one text with the series of all these texts. The format requires the series of a metric to be together."""
    merged: dict[str, list[str]] = {}
    for text in texts:
        for family in text.decode().split(f"\n{FAMILY}"):
            lines = family.removeprefix(FAMILY).rstrip("\n").split("\n")
            merged.setdefault(lines[0], lines[:2]).extend(lines[2:])  # its help, its type, and its series
    return "".join(FAMILY + "\n".join(lines) + "\n" for lines in merged.values()).encode()
