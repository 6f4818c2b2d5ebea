"""A report as text: for a terminal, and as the table of docs/PERFORMANCE.md."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.rows import Figure, Report, Result


def number(value: float) -> str:
    """Three digits, or all of a large number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def verdict(figure: Figure) -> str:
    """The goal, and whether it is met."""
    return "" if figure.met is None else f"{figure.goal}: {'met' if figure.met else 'missed'}"


def lines_of(result: Result) -> Iterator[str]:
    """A row for a terminal."""
    yield f"{result.name}, {result.medium} ({result.unit})"
    for figure in result.figures:
        spread = f"{number(figure.low)}–{number(figure.high)}"
        mark = "*" if figure.unlike else ""
        text = f"  {figure.contender + mark:<34}{number(figure.median):>10}  {spread:<20}{figure.ratio:>8.2f} ×"
        yield f"{text}  {verdict(figure)}".rstrip()
    for figure in result.figures:
        if figure.unlike:
            yield f"  * {figure.contender}: {figure.unlike}"
    if result.error:
        yield f"  failed: {result.error}"


def frame(report: Report) -> Iterator[str]:
    """What the figures are of."""
    yield f"{report.date}, {report.scale.name} run of {report.seconds:.0f} s"
    for names in (report.machine, report.versions):
        yield ", ".join(f"{name} {value}" for name, value in names.items())
    for peer, reason in report.missing.items():
        yield f"not measured: {peer}: {reason}"
