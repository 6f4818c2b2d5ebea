"""The picture of docs/PERFORMANCE.md, as SVG: how good everybody is beside the first one of the row, mostly the floor.

One line for each row that has a floor or a goal, on a logarithmic scale. The colours do on dark and on light.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from math import log10

from benchmarks.rows import Figure, Report, Result

LINE, LEFT, RIGHT, TOP = 18, 400, 900, 44
LEAST, MOST = 0.01, 100.0
COLOURS = {"floor": "#888888", "ours": "#2f81f7", "peer": "#d29922"}
NAMES = {"floor": "floors", "ours": "flowledger", "peer": "other systems"}
LESS_IS_BETTER = ("ms", "bytes", "MiB")
STYLE = "font: 12px sans-serif; fill: #808080"


def place(ratio: float) -> float:
    """Where a ratio is, from left to right."""
    inside = min(max(ratio, LEAST), MOST)
    return LEFT + (RIGHT - LEFT) * (log10(inside) - log10(LEAST)) / (log10(MOST) - log10(LEAST))


def times_as_good(result: Result, figure: Figure) -> float:
    """The ratio, or one over it where less is better."""
    return 1 / figure.ratio if result.unit in LESS_IS_BETTER and figure.ratio else figure.ratio


def svg(report: Report) -> str:
    """The whole picture. What is better is further to the right."""
    shown = [result for result in report.results if any(f.role == "floor" or f.goal for f in result.figures)]
    height = TOP + LINE * len(shown) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {RIGHT + 30} {height}" role="img">',
        f"<title>How good everybody is beside the floor of each row, {escape(report.date)}</title>",
        f'<g style="{STYLE}">',
        *_legend(),
        *_scale(height),
        *(line for number, result in enumerate(shown) for line in _row(result, TOP + LINE * number + LINE // 2)),
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _legend() -> Iterator[str]:
    for number, (role, name) in enumerate(NAMES.items()):
        across = 10 + 120 * number
        yield f'<circle cx="{across}" cy="14" r="4" fill="{COLOURS[role]}"/><text x="{across + 9}" y="18">{name}</text>'


def _scale(height: int) -> Iterator[str]:
    for ratio in (0.01, 0.1, 1.0, 10.0, 100.0):
        across = place(ratio)
        yield f'<line x1="{across:.0f}" y1="36" x2="{across:.0f}" y2="{height}" stroke="#808080" stroke-opacity="0.4"/>'
        yield f'<text x="{across:.0f}" y="30" text-anchor="middle">{ratio:g} ×</text>'


def _row(result: Result, down: int) -> Iterator[str]:
    yield f'<line x1="{LEFT}" y1="{down}" x2="{RIGHT}" y2="{down}" stroke="#808080" stroke-opacity="0.15"/>'
    yield f'<text x="{LEFT - 12}" y="{down + 4}" text-anchor="end">{escape(f"{result.name}, {result.medium}")}</text>'
    for role in ("floor", "peer", "ours"):
        for figure in result.figures:
            if figure.role == role:
                ratio = times_as_good(result, figure)
                what = escape(f"{figure.contender}: {ratio:.2f} ×")
                at = f'cx="{place(ratio):.1f}" cy="{down}" r="4" fill="{COLOURS[role]}"'
                yield f"<circle {at}><title>{what}</title></circle>"
