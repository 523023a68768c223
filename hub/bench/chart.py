"""The chart of a run: a bar a target, drawn by hand as SVG, legible on light and on dark."""

from collections.abc import Sequence
from html import escape

from hub.bench.results import Figure, number

WIDTH, LABEL, BAR, ROW, TOP = 860, 330, 330, 34, 46
FULL = 2.0  # the bar's end: twice the target

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
    """Bars of how well each target is met: the line is the target, what reaches it is met, whichever way is better."""
    asked = [figure for figure in figures if figure.met is not None and (figure.least or figure.most)]
    height = TOP + ROW * len(asked) + 14
    goal = LABEL + BAR / FULL
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'role="img" aria-label="Figures of hub bench beside their targets">'
    )
    parts = [
        head,
        f"<style>{STYLE}</style>",
        f'<text class="quiet" x="{LABEL}" y="20">worse</text>',
        f'<text class="quiet" x="{goal}" y="20" text-anchor="middle">target</text>',
        f'<text class="quiet" x="{LABEL + BAR}" y="20" text-anchor="end">twice as good</text>',
    ]
    for index, figure in enumerate(asked):
        y = TOP + ROW * index
        score = _score(figure)
        kind = "good" if figure.met else "bad"
        said = f"{number(figure.value)} {figure.unit} ({figure.target})"
        parts += [
            f'<text x="{LABEL - 12}" y="{y + 5}" text-anchor="end">{escape(f"{figure.group}: {figure.name}")}</text>',
            f'<rect class="track" x="{LABEL}" y="{y - 8}" width="{BAR}" height="16" rx="3"/>',
            f'<rect class="{kind}" x="{LABEL}" y="{y - 8}" width="{BAR * score / FULL:.1f}" height="16" rx="3"/>',
            f'<text x="{LABEL + BAR + 12}" y="{y + 5}">{escape(said)}</text>',
        ]
    parts += [f'<line class="line" x1="{goal}" x2="{goal}" y1="28" y2="{height - 14}"/>', "</svg>", ""]
    return "\n".join(parts)


def _score(figure: Figure) -> float:
    """1 at the target, 2 where it is twice as good or better."""
    if figure.least is not None:
        return min(FULL, figure.value / figure.least)
    assert figure.most is not None
    return min(FULL, figure.most / max(figure.value, figure.most / FULL))
