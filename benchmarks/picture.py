"""The picture of docs/PERFORMANCE.md, as SVG: how good everybody is beside the floor, wherever there is one.

A band for each kind of work and a line in it for each medium, on a logarithmic scale. The colours do on dark and on
light.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from math import ceil, floor, log10
from typing import NamedTuple

from benchmarks.rows import MEDIA, Figure, Report, Result

LEFT, RIGHT, TOP, LINE, GAP, MARGIN = 430, 950, 86, 18, 8, 30
GREY, FLOORS, OURS, PEERS = "#808080", "#888888", "#2f81f7", "#d29922"
LEGEND = (
    ("floors", f'fill="{FLOORS}"'),
    ("flowledger", f'fill="{OURS}"'),
    ("flowledger, goal missed", f'fill="none" stroke="{OURS}" stroke-width="2"'),
    ("other systems", f'fill="{PEERS}"'),
)
LESS_IS_BETTER = ("ms", "bytes", "MiB")


class Scale(NamedTuple):
    """The powers of ten that the picture reaches from and to."""

    least: int
    most: int

    def place(self, ratio: float) -> float:
        """Where a ratio is, from left to right."""
        return LEFT + (RIGHT - LEFT) * (log10(ratio) - self.least) / (self.most - self.least)


def times_as_good(result: Result, figure: Figure) -> float:
    """The ratio, or one over it where less is better."""
    return 1 / figure.ratio if result.unit in LESS_IS_BETTER and figure.ratio else figure.ratio


def svg(report: Report) -> str:
    """The whole picture. What is better is further to the right."""
    works = with_floors(report)
    scale = reaching([times_as_good(result, figure) for work in works for result in work for figure in result.figures])
    height = TOP + sum(LINE * len(work) + GAP for work in works)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {RIGHT + MARGIN} {height + MARGIN}" role="img">',
        f"<title>How good everybody is beside the floor of each row, {escape(report.date)}</title>",
        f'<g style="font: 12px sans-serif; fill: {GREY}">',
        *_legend(),
        *_works(works, scale),
        *_axis(scale, height),
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def with_floors(report: Report) -> list[list[Result]]:
    """The results that have a floor, together with those of the same work on other media."""
    names = list(dict.fromkeys(result.name for result in report.results))
    shown = [result for result in report.results if any(figure.role == "floor" for figure in result.figures)]
    shown.sort(key=lambda result: (names.index(result.name), MEDIA.index(result.medium)))
    return [list(same) for _, same in groupby(shown, key=lambda result: result.name)]


def reaching(ratios: Sequence[float]) -> Scale:
    """A scale on which all of them have a place, and one besides."""
    powers = [log10(ratio) for ratio in ratios if ratio]
    return Scale(min(-1, *map(floor, powers)), max(1, *map(ceil, powers)))


def _legend() -> Iterator[str]:
    across = 10
    for name, look in LEGEND:
        yield f'<circle cx="{across}" cy="14" r="4" {look}/><text x="{across + 9}" y="18">{name}</text>'
        across += 36 + 6 * len(name)
    middle = (LEFT + RIGHT) // 2
    yield f'<text x="{middle}" y="46" text-anchor="middle">times as good as the floor: right is better</text>'


def _axis(scale: Scale, height: int) -> Iterator[str]:
    for power in range(scale.least, scale.most + 1):
        across, weight = scale.place(10.0**power), "1" if power == 0 else "0.35"
        line = f'<line x1="{across:.0f}" y1="{TOP - 12}" x2="{across:.0f}" y2="{height}" stroke="{GREY}"'
        yield f'{line} stroke-opacity="{weight}"/>'
        for down in (TOP - 18, height + 16):
            yield f'<text x="{across:.0f}" y="{down}" text-anchor="middle">{10.0**power:g} ×</text>'


def _works(works: Sequence[Sequence[Result]], scale: Scale) -> Iterator[str]:
    down = TOP
    for number, work in enumerate(works):
        if number % 2 == 0:
            band = f'x="0" y="{down - GAP / 2:g}" width="{RIGHT + MARGIN}" height="{LINE * len(work) + GAP}"'
            yield f'<rect {band} fill="{GREY}" fill-opacity="0.08"/>'
        yield f'<text x="10" y="{down + LINE / 2 + 4:g}" font-weight="bold">{escape(work[0].name)}</text>'
        for result in work:
            yield from _row(result, down + LINE // 2, scale)
            down += LINE
        down += GAP


def _row(result: Result, down: int, scale: Scale) -> Iterator[str]:
    yield f'<text x="{LEFT - 12}" y="{down + 4}" text-anchor="end">{result.medium}</text>'
    for role in ("floor", "peer", "ours"):
        for figure in result.figures:
            ratio = times_as_good(result, figure)
            if figure.role == role and ratio:
                what = escape(f"{figure.contender}: {ratio:.2g} ×")
                at = f'cx="{scale.place(ratio):.1f}" cy="{down}" r="4" {_look(figure)}'
                yield f"<circle {at}><title>{what}</title></circle>"


def _look(figure: Figure) -> str:
    looks = dict(LEGEND)
    if figure.role == "ours":
        return looks["flowledger, goal missed" if figure.met is False else "flowledger"]
    return looks["floors" if figure.role == "floor" else "other systems"]
