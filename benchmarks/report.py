"""A report as text: for a terminal, and as the tables of docs/PERFORMANCE.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

import msgspec

from benchmarks.rows import MEDIA, ROLES, Figure, Report, Result

BLOCKS = ("goals", "figures")
"""What stands in the document between marks, see `marks`."""


def number(value: float) -> str:
    """Three digits, or all of a large number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def times(ratio: float) -> str:
    """Two digits behind the point, or two that say something."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def verdict(figure: Figure) -> str:
    """The goal, and whether it is met."""
    return "" if figure.met is None else f"{figure.goal}: {'met' if figure.met else 'missed'}"


def who(figure: Figure) -> str:
    """Whose figure it is, whatever was measured of him."""
    return {"floor": "the floors", "ours": "flowledger"}.get(figure.role, figure.contender.partition(",")[0])


def lines_of(result: Result) -> Iterator[str]:
    """A row for a terminal."""
    yield f"{result.name}, {result.medium} ({result.unit}), in {result.seconds:.1f} s"
    for figure in result.figures:
        spread = f"{number(figure.low)}–{number(figure.high)}"
        mark = "*" if figure.unlike else ""
        text = f"  {figure.contender + mark:<34}{number(figure.median):>10}  {spread:<20}{times(figure.ratio):>8} ×"
        yield f"{text}  {verdict(figure)}".rstrip()
    if result.error:
        yield f"  failed: {result.error}"


def frame(report: Report) -> Iterator[str]:
    """What the figures are of, and how far they can be compared."""
    yield f"{report.date}, {report.scale.name} run of {report.seconds:,.0f} s: {sizes(report)}"
    for names in (report.machine, report.versions):
        yield listed(names)
    yield from durability(report.results)
    yield from (f"* {note}" for note in unlikeness(report.results))
    for peer, reason in report.missing.items():
        yield f"not measured: {peer}: {reason}"


def sizes(report: Report) -> str:
    """How much was done, in the words of `Scale`."""
    return listed({name: value for name, value in msgspec.to_builtins(report.scale).items() if name != "name"})


def listed(names: dict[str, str]) -> str:
    """Names, each with what it is."""
    return ", ".join(f"{name} {value}" for name, value in names.items())


def durability(results: Sequence[Result]) -> Iterator[str]:
    """How durable who is on which medium, as what does the work has said; each once."""
    said: dict[str, list[str]] = {}
    for result in results:
        for figure in result.figures:
            if figure.settings:
                said.setdefault(f"{result.medium}, {figure.settings}", []).append(who(figure))
    for settings, names in said.items():
        yield f"{settings}: {', '.join(dict.fromkeys(names))}"


def unlikeness(results: Sequence[Result]) -> Iterator[str]:
    """What is not comparable, each once, with all of whom it is true."""
    notes: dict[str, list[str]] = {}
    for result in results:
        for figure in result.figures:
            if figure.unlike:
                notes.setdefault(figure.unlike, []).append(who(figure))
    for note, names in notes.items():
        yield f"{', '.join(dict.fromkeys(names))}: {note}"


def marks(block: str) -> tuple[str, str]:
    """What the document has before and after a block."""
    return f"<!-- {block}: begin -->", f"<!-- {block}: end -->"


def written_into(document: str, report: Report) -> str:
    """A document with goals and figures between their marks. Raises ValueError if it has none."""
    for block, lines in zip(BLOCKS, (_goals(report), _figures(report)), strict=True):
        begin, end = marks(block)
        before, found, rest = document.partition(begin)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise ValueError(f"the document has no {begin} and {end}")
        text = "\n".join(lines).strip()
        document = f"{before}{begin}\n\n{text}\n\n{end}{after}"
    return document


def _goals(report: Report) -> Iterator[str]:
    """A line for each goal, the media beside each other; and for each floor besides the one that it is held against."""
    verdicts = [figure.met for result in report.results for figure in result.figures if figure.met is not None]
    yield f"Of {len(verdicts)} goals, {sum(verdicts)} are met."
    yield ""
    yield f"| goal | wanted | {' | '.join(MEDIA)} |"
    yield f"|---|--:|{'---|' * len(MEDIA)}"
    wanted: dict[str, list[str]] = {}
    cells: dict[str, dict[str, str]] = {}
    for result in report.results:
        for figure in result.figures:
            if figure.met is None:
                continue
            name = f"{result.name}: {figure.contender}"
            value = f"{times(figure.ratio)} × ({number(figure.median)} {result.unit})"
            wanted.setdefault(name, []).append(figure.goal)
            cells.setdefault(name, {})[result.medium] = f"{value} {'met' if figure.met else '**missed**'}"
            for floor in result.figures[1:]:
                if floor.role == "floor":
                    beside = f"{name}, beside {floor.contender}"
                    cells.setdefault(beside, {})[result.medium] = f"{times(_ratio(figure, floor))} ×"
    for name, found in cells.items():
        goals = wanted.get(name, [])
        goal = " / ".join(goals if len(set(goals)) > 1 else goals[:1])
        yield f"| {name} | {goal} | {' | '.join(found.get(medium, '') for medium in MEDIA)} |"


def _ratio(figure: Figure, other: Figure) -> float:
    """The median of the rounds' ratios."""
    return median(mine / his if his else 0.0 for mine, his in zip(figure.turns, other.turns, strict=True))


def _figures(report: Report) -> Iterator[str]:
    """What everything was measured on, and a table for each kind of work."""
    yield f"Measured on {report.date}, in {report.scale.name} size, which took {report.seconds:,.0f} seconds."
    yield ""
    yield f"* {listed(report.machine)}"
    yield f"* {listed(report.versions)}"
    yield f"* {sizes(report)}"
    for peer, reason in report.missing.items():
        yield f"* not measured: {peer}: {reason}"
    yield ""
    yield "How durable each of them is, as it says itself:"
    yield ""
    yield from (f"* {line}" for line in durability(report.results))
    yield ""
    notes = [f"* {note}" for note in unlikeness(report.results)]
    if notes:
        yield "What has an asterisk in the tables cannot be held against the others without care:"
        yield ""
        yield from notes
        yield ""
    yield from _tables(report)


def _tables(report: Report) -> Iterator[str]:
    """A line for each contender of a kind of work, the media beside each other."""
    for name in dict.fromkeys(result.name for result in report.results):
        same = [result for result in report.results if result.name == name]
        yield f"### {name[0].upper()}{name[1:]}"
        yield ""
        if same[0].about:
            yield same[0].about
            yield ""
        yield f"| {same[0].unit} | {' | '.join(result.medium for result in same)} |"
        yield f"|---|{'--:|' * len(same)}"
        lines: dict[str, dict[str, str]] = {}
        for role in ROLES:
            for result in same:
                for figure in result.figures:
                    if figure.role == role:
                        lines.setdefault(_contender(figure), {})[result.medium] = _cell(figure)
        for result in same:
            if result.error:
                lines.setdefault("failed", {})[result.medium] = result.error
        for contender, cells in lines.items():
            yield f"| {contender} | {' | '.join(cells.get(result.medium, '') for result in same)} |"
        yield ""


def _contender(figure: Figure) -> str:
    who = f"**{figure.contender}**" if figure.role == "ours" else figure.contender
    return f"{who} \\*" if figure.unlike else who


def _cell(figure: Figure) -> str:
    spread = f"{number(figure.low)}–{number(figure.high)}"
    return f"{number(figure.median)} ({spread}), {times(figure.ratio)} ×"
