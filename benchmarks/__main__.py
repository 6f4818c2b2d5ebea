"""The command behind `scripts/bench`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from benchmarks import appends
from benchmarks.bench import Bench
from benchmarks.harness import measure
from benchmarks.machine import machine, versions
from benchmarks.report import frame, lines_of
from benchmarks.rows import FULL, QUICK, Report, Result, Row

ROWS: Sequence[Row] = (*appends.ROWS,)


def chosen(only: str) -> list[Row]:
    """The rows whose name or medium has this in it."""
    return [row for row in ROWS if only.lower() in f"{row.name}, {row.medium}".lower()]


def results(rows: Sequence[Row], bench: Bench) -> Iterator[Result]:
    """Each row as it is done. One that fails says so, and the others go on."""
    for row in rows:
        try:
            yield measure(row, bench)
        except Exception as error:
            yield Result(row.name, row.medium, row.unit, row.about, (), f"{type(error).__name__}: {error}")


@click.command(help="Measure bare floors, this library and other systems, in turns. See docs/PERFORMANCE.md.")
@click.option("--full", is_flag=True, help="Large stores and many rounds: a quarter of an hour instead of two minutes.")
@click.option("--only", default="", metavar="TEXT", help="Only rows with this in their name or medium.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="On the disk to measure.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Where to put the figures.")
def main(full: bool, only: str, folder: Path | None, json_file: Path | None) -> None:
    rows, start = chosen(only), time.perf_counter()
    if not rows:
        raise click.BadParameter(f"no row has {only!r} in its name or medium", param_hint="--only")
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as place,
        Bench(Path(place), FULL if full else QUICK) as bench,
    ):
        found = []
        for result in results(rows, bench):
            found.append(result)
            click.echo("\n".join(lines_of(result)))
        report = Report(
            datetime.now(UTC).date().isoformat(),
            time.perf_counter() - start,
            bench.scale,
            machine(bench.folder),
            versions(bench.dsn),
            {},
            tuple(found),
        )
    click.echo("\n" + "\n".join(frame(report)))
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))


if __name__ == "__main__":
    main()
