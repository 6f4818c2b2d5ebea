"""A report as text: for a terminal, and as the tables of docs/PERFORMANCE.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.rows import Figure, Report, Result

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
"""What the document has before and after its figures."""


def number(value: float) -> str:
    """Three digits, or all of a large number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def times(ratio: float) -> str:
    """Two digits behind the point, or two that say something."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def verdict(figure: Figure) -> str:
    """The goal, and whether it is met."""
    return "" if figure.met is None else f"{figure.goal}: {'met' if figure.met else 'missed'}"


def lines_of(result: Result) -> Iterator[str]:
    """A row for a terminal."""
    yield f"{result.name}, {result.medium} ({result.unit})"
    for figure in result.figures:
        spread = f"{number(figure.low)}–{number(figure.high)}"
        mark = "*" if figure.unlike else ""
        text = f"  {figure.contender + mark:<34}{number(figure.median):>10}  {spread:<20}{times(figure.ratio):>8} ×"
        yield f"{text}  {verdict(figure)}".rstrip()
    for note in notes_on(result.figures):
        yield f"  * {note}"
    if result.error:
        yield f"  failed: {result.error}"


def notes_on(figures: Sequence[Figure]) -> Iterator[str]:
    """What is not comparable, each once, with all of whom it is true."""
    notes: dict[str, list[str]] = {}
    for figure in figures:
        if figure.unlike:
            notes.setdefault(figure.unlike, []).append(figure.contender)
    for note, names in notes.items():
        yield f"{', '.join(dict.fromkeys(names))}: {note}"


def frame(report: Report) -> Iterator[str]:
    """What the figures are of."""
    yield f"{report.date}, {report.scale.name} run of {report.seconds:.0f} s"
    for names in (report.machine, report.versions):
        yield ", ".join(f"{name} {value}" for name, value in names.items())
    for peer, reason in report.missing.items():
        yield f"not measured: {peer}: {reason}"


def markdown(report: Report) -> str:
    """The figures as tables: first the goals, then every row."""
    return "\n".join((*_frame_lines(report), "", *_goals(report), "", *_tables(report)))


def written_into(document: str, report: Report) -> str:
    """A document with the report between its two marks. Raises ValueError if it has none."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{markdown(report)}\n\n{END}{after}"


def _frame_lines(report: Report) -> Iterator[str]:
    yield f"Measured on {report.date}, in {report.scale.name} size, which took {report.seconds:,.0f} seconds."
    yield ""
    for names in (report.machine, report.versions):
        yield f"* {', '.join(f'{name} {value}' for name, value in names.items())}"
    for peer, reason in report.missing.items():
        yield f"* not measured: {peer}: {reason}"


def _goals(report: Report) -> Iterator[str]:
    yield "| goal | medium | who | figure | ratio | wanted | |"
    yield "|---|---|---|--:|--:|--:|---|"
    for result in report.results:
        for figure in result.figures:
            if figure.met is not None:
                verdict = "met" if figure.met else "**missed**"
                value = f"{number(figure.median)} {result.unit}"
                yield (
                    f"| {result.name} | {result.medium} | {figure.contender} | {value} | {times(figure.ratio)} "
                    f"| {figure.goal} | {verdict} |"
                )


def _tables(report: Report) -> Iterator[str]:
    for name in dict.fromkeys(result.name for result in report.results):
        same = [result for result in report.results if result.name == name]
        yield f"### {name[0].upper()}{name[1:]}"
        yield ""
        if same[0].about:
            yield same[0].about
            yield ""
        yield f"| medium | who | {same[0].unit} | quartiles | ratio |"
        yield "|---|---|--:|--:|--:|"
        for result in same:
            yield from (_line(result, figure) for figure in result.figures)
            if result.error:
                yield f"| {result.medium} | failed: {result.error} | | | |"
        yield ""
        yield from _notes(same)


def _line(result: Result, figure: Figure) -> str:
    who = f"**{figure.contender}**" if figure.role == "ours" else figure.contender
    mark = " \\*" if figure.unlike else ""
    spread = f"{number(figure.low)}–{number(figure.high)}"
    return f"| {result.medium} | {who}{mark} | {number(figure.median)} | {spread} | {times(figure.ratio)} |"


def _notes(results: Sequence[Result]) -> Iterator[str]:
    """What is not alike, and how durable who is, each once."""
    figures = [figure for result in results for figure in result.figures]
    notes = [f"* \\* {note}" for note in notes_on(figures)]
    yield from notes
    if notes:
        yield ""
    settings: dict[str, list[str]] = {}
    for figure in figures:
        if figure.settings:
            settings.setdefault(figure.settings, []).append(figure.contender)
    for text, names in settings.items():
        yield f"* {', '.join(dict.fromkeys(names))}: {text}"
    if settings:
        yield ""
