"""The chart of a run as an SVG image with one bar per target, for light and dark pages."""

from collections.abc import Sequence
from html import escape

from hub.bench.results import Figure, format_number

WIDTH, LABEL, BAR, ROW, TOP = 860, 330, 330, 34, 46
MAX_SCORE = 2.0  # a full bar is twice the target

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .quiet { fill: #59636e }
  .track { fill: #d1d9e0; opacity: .45 }
  .good { fill: #1a7f37 } .bad { fill: #bc4c00 }
  .line { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .quiet { fill: #9198a1 } .track { fill: #3d444d }
    .good { fill: #3fb950 } .bad { fill: #f0883e } .line { stroke: #f0f6fc }
  }
"""


def draw(figures: Sequence[Figure]) -> str:
    """Return the SVG image. The line marks the target. A bar that reaches the line meets its target."""
    with_target = [figure for figure in figures if figure.target_met is not None and (figure.minimum or figure.maximum)]
    height = TOP + ROW * len(with_target) + 14
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
    parts += [f'<line class="line" x1="{target_x}" x2="{target_x}" y1="28" y2="{height - 14}"/>', "</svg>", ""]
    return "\n".join(parts)


def _score(figure: Figure) -> float:
    """Return the length of a bar: 1 at the target, or 2 if the value is at least twice as good."""
    if figure.minimum is not None:
        return min(MAX_SCORE, figure.value / figure.minimum)
    assert figure.maximum is not None
    return min(MAX_SCORE, figure.maximum / max(figure.value, figure.maximum / MAX_SCORE))
