"""The chart of a run as an SVG image, for light and dark pages: one bar per target, and one per other server."""

from collections.abc import Sequence
from html import escape

from hub.bench.results import Figure, format_number

WIDTH, LABEL, BAR, ROW, TOP = 860, 330, 330, 34, 46
MAX_SCORE = 2.0  # a full bar is twice the target

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .quiet { fill: #59636e }
  .track { fill: #d1d9e0; opacity: .45 }
  .good { fill: #1a7f37 } .bad { fill: #bc4c00 } .other { fill: #8c959f }
  .line { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .quiet { fill: #9198a1 } .track { fill: #3d444d }
    .good { fill: #3fb950 } .bad { fill: #f0883e } .other { fill: #6e7681 } .line { stroke: #f0f6fc }
  }
"""


def draw(figures: Sequence[Figure]) -> str:
    """Return the SVG image. The line marks the target. A bar that reaches the line meets its target."""
    with_target = [figure for figure in figures if figure.target_met is not None and (figure.minimum or figure.maximum)]
    compared = _compared(figures)
    targets_end = TOP + ROW * len(with_target) + 14
    height = targets_end + (TOP + ROW * len(compared) if compared else 0)
    target_x = LABEL + BAR / MAX_SCORE
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-label="Figures of hub bench next to their targets">'
    )
    parts = [
        head,
        f"<style>{STYLE}</style>",
        f'<text class="quiet" x="{LABEL}" y="20">worse</text>',
        f'<text class="quiet" x="{target_x}" y="20" text-anchor="middle">target</text>',
        f'<text class="quiet" x="{LABEL + BAR}" y="20" text-anchor="end">twice as good</text>',
    ]
    for index, figure in enumerate(with_target):
        y = TOP + ROW * index
        score = _score(figure)
        kind = "good" if figure.target_met else "bad"
        label = f"{format_number(figure.value)} {figure.unit} ({figure.target})"
        parts += [
            f'<text x="{LABEL - 12}" y="{y + 5}" text-anchor="end">{escape(figure.title)}</text>',
            f'<rect class="track" x="{LABEL}" y="{y - 8}" width="{BAR}" height="16" rx="3"/>',
            f'<rect class="{kind}" x="{LABEL}" y="{y - 8}" width="{BAR * score / MAX_SCORE:.1f}" height="16" rx="3"/>',
            f'<text x="{LABEL + BAR + 12}" y="{y + 5}">{escape(label)}</text>',
        ]
    parts.append(f'<line class="line" x1="{target_x}" x2="{target_x}" y1="28" y2="{targets_end - 14}"/>')
    return "\n".join([*parts, *_draw_comparisons(compared, targets_end), "</svg>", ""])


def _compared(figures: Sequence[Figure]) -> list[tuple[str, Figure, float]]:
    """Return the bars of the hub and of other servers: label, figure, and value."""
    bars: list[tuple[str, Figure, float]] = []
    for figure in figures:
        if figure.hub is None:
            continue
        if not any(bar.group == figure.group for _, bar, _ in bars):
            bars.append((f"{figure.group}: hub", figure, figure.hub))
        bars.append((figure.title, figure, figure.value))
    return bars


def _draw_comparisons(bars: Sequence[tuple[str, Figure, float]], top: float) -> list[str]:
    """Draw the bars of each benchmark. The largest value has a full bar."""
    if not bars:
        return []
    parts = [f'<text class="quiet" x="{LABEL}" y="{top + 20}">other servers in the same run</text>']
    for index, (label, figure, value) in enumerate(bars):
        y = top + TOP + ROW * index
        largest = max(other for _, same, other in bars if same.group == figure.group)
        better = "more is better" if figure.more_is_better else "less is better"
        kind = "good" if value is figure.hub else "other"
        parts += [
            f'<text x="{LABEL - 12}" y="{y + 5}" text-anchor="end">{escape(label.partition(",")[0])}</text>',
            f'<rect class="{kind}" x="{LABEL}" y="{y - 8}" width="{BAR * value / largest:.1f}" height="16" rx="3"/>',
            f'<text x="{LABEL + BAR + 12}" y="{y + 5}">{format_number(value)} {figure.unit} ({better})</text>',
        ]
    return parts


def _score(figure: Figure) -> float:
    """Return the length of a bar: 1 at the target, or 2 if the value is at least twice as good."""
    if figure.minimum is not None:
        return min(MAX_SCORE, figure.value / figure.minimum)
    assert figure.maximum is not None
    return min(MAX_SCORE, figure.maximum / max(figure.value, figure.maximum / MAX_SCORE))
