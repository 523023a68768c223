"""The results, which are figures with a target and a floor."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row of the table.

    `floor` is the result of the baseline, in the unit of `value`. In the row of another server, `hub` is the result of
    the hub in the same run. `cpu_us` is the CPU time of the process per counted item, `memory_mb` its resident memory
    at the end.
    """

    group: str
    name: str
    value: float
    unit: str
    minimum: float | None = None
    maximum: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    memory_mb: float | None = None
    cpu_us: float | None = None
    floor: float | None = None
    hub: float | None = None

    @property
    def title(self) -> str:
        return f"{self.group}: {self.name}"

    @property
    def target(self) -> str:
        if self.minimum is not None:
            return f">= {format_number(self.minimum)}"
        return f"<= {format_number(self.maximum)}" if self.maximum is not None else ""

    @property
    def target_met(self) -> bool | None:
        """Return True if the value meets the target, or None without a target."""
        if self.minimum is not None:
            return self.value >= self.minimum
        return self.value <= self.maximum if self.maximum is not None else None

    @property
    def floor_ratio(self) -> float | None:
        """Return the value relative to the floor. 1 means equal, and 0.5 means half as good."""
        return self._relative(self.value, self.floor)

    @property
    def hub_ratio(self) -> float | None:
        """Return the result of the hub relative to the value. 2 means that the hub is twice as good."""
        return self._relative(self.hub, self.value)

    @property
    def more_is_better(self) -> bool:
        return self.unit.endswith("/s")

    def _relative(self, value: float | None, other: float | None) -> float | None:
        if not value or not other:
            return None
        return value / other if self.more_is_better else other / value


HEADER = ("", "measured", "target", "", "p50 ms", "p99 ms", "RSS MB", "CPU us each", "floor", "of floor", "hub is")


def rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Return the rows of the table. The first row is the header."""
    marks = {True: "ok", False: "MISSED", None: ""}
    head: list[tuple[str, ...]] = [HEADER]
    return head + [
        (
            figure.title,
            f"{format_number(figure.value)} {figure.unit}".strip(),
            figure.target,
            marks[figure.target_met],
            format_number(figure.p50_ms),
            format_number(figure.p99_ms),
            format_number(figure.memory_mb),
            format_number(figure.cpu_us),
            format_number(figure.floor),
            f"{figure.floor_ratio:.2f}" if figure.floor_ratio else "",
            f"{figure.hub_ratio:.2f} x" if figure.hub_ratio else "",
        )
        for figure in figures
    ]


def format_number(value: float | None) -> str:
    """Format a number with three significant digits."""
    if value is None:
        return ""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(figures: Sequence[Figure]) -> str:
    """Return the table for a terminal."""
    cells = rows(figures)
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADER))]
    lines = []
    for row in cells:
        first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        right = (cell.strip().rjust(len(cell)) for cell in others)
        lines.append("  ".join([first, *right]).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)
