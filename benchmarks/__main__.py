"""The command behind `scripts/bench`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import click
import msgspec

from benchmarks import appends, peers, questions, reads, steps, upkeep, writers
from benchmarks.bench import Bench
from benchmarks.harness import measure
from benchmarks.machine import machine, versions
from benchmarks.picture import svg
from benchmarks.report import frame, lines_of, written_into
from benchmarks.rows import FULL, QUICK, Report, Result, Row, Scale

DOCUMENT = Path(__file__).parents[1] / "docs" / "PERFORMANCE.md"


def rows_of(scale: Scale) -> list[Row]:
    """All rows; those that need large stores are last."""
    return [
        *appends.ROWS,
        *writers.ROWS,
        *steps.ROWS,
        *reads.ROWS,
        *upkeep.REBUILD,
        *upkeep.FOLLOW,
        *questions.rows(scale),
        *reads.MEMORY,
        *upkeep.OPEN,
        *appends.BY_SIZE,
    ]


def chosen(scale: Scale, only: str) -> list[Row]:
    """The rows whose name or medium has this in it."""
    return [row for row in rows_of(scale) if only.lower() in f"{row.name}, {row.medium}".lower()]


def results(rows: Sequence[Row], bench: Bench) -> Iterator[Result]:
    """Each row as it is done. One that fails says so, and the others go on."""
    for row in rows:
        try:
            yield measure(row, bench)
        except Exception as error:
            yield Result(row.name, row.medium, row.unit, row.about, (), f"{type(error).__name__}: {error}")


def measured(rows: Sequence[Row], bench: Bench, tell: Callable[[Result], None] = lambda _: None) -> Report:
    """All rows, one after the other; `tell` hears of each when it is done."""
    start, found = time.perf_counter(), []
    for result in results(rows, bench):
        found.append(result)
        tell(result)
    return Report(
        datetime.now(UTC).date().isoformat(),
        time.perf_counter() - start,
        bench.scale,
        machine(bench.folder),
        versions(bench.dsn) | peers.versions(),
        bench.missing,
        tuple(found),
    )


def write(report: Report) -> None:
    """Put the figures into the documents."""
    DOCUMENT.write_text(written_into(DOCUMENT.read_text(), report))
    DOCUMENT.with_suffix(".json").write_bytes(as_json(report))
    DOCUMENT.with_suffix(".svg").write_text(svg(report))


def as_json(report: Report) -> bytes:
    """All there is to know of a run, turn by turn; a line for each row."""
    return msgspec.json.encode(report).replace(b'{"name":', b'\n{"name":') + b"\n"


@click.command(help="Measure bare floors, this library and other systems, in turns. See docs/PERFORMANCE.md.")
@click.option(
    "--full", is_flag=True, help="Large stores, more rounds: up to a quarter of an hour instead of two minutes."
)
@click.option("--only", default="", metavar="TEXT", help="Only rows with this in their name or medium.")
@click.option("--folder", type=click.Path(exists=True, file_okay=False, writable=True), help="On the disk to measure.")
@click.option("--json", "json_file", type=click.File("wb", lazy=False), help="Where to put the figures.")
@click.option("--svg", "svg_file", type=click.File("w", lazy=False), help="Where to put the picture.")
@click.option("--write", "into_documents", is_flag=True, help="Put table, figures and picture into docs.")
def main(
    full: bool,
    only: str,
    folder: str | None,
    json_file: IO[bytes] | None,
    svg_file: IO[str] | None,
    into_documents: bool,
) -> None:
    scale = FULL if full else QUICK
    rows = chosen(scale, only)
    if not rows:
        raise click.BadParameter(f"no row has {only!r} in its name or medium", param_hint="--only")
    if only and into_documents:
        raise click.BadParameter("the documents are for all rows", param_hint="--only")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as place, Bench(Path(place), scale) as bench:
        report = measured(rows, bench, lambda result: click.echo("\n".join(lines_of(result))))
    click.echo("\n" + "\n".join(frame(report)))
    if json_file is not None:
        json_file.write(as_json(report))
    if svg_file is not None:
        svg_file.write(svg(report))
    if into_documents:
        write(report)
    sys.exit(any(result.error for result in report.results))


if __name__ == "__main__":
    main()
