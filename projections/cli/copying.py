"""Commands that take a whole store, or one run, to another store."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

import click

from projections.cli.importing import import_
from projections.cli.output import (
    Format,
    examples,
    existing,
    format_option,
    print_json,
    print_rows,
    print_table,
    progress,
    safe,
    store_option,
)

if TYPE_CHECKING:
    from projections.transfer import CheckedRun, ImportedRun


@click.command(epilog=examples("copy my-store jsonl:my-copy"))
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@format_option
def copy(source: str, target: str, format: Format) -> None:
    """Copy a store into another one, and compare the two.

    FROM and TO are addresses of stores, of any kind. TO is begun if it is not there; else it must be an earlier copy
    of FROM, finished or not: copying goes on where that ended. Events keep their ids, order, versions, times and
    hashes; consumers keep their places. Others may use FROM meanwhile. Exits with 5 if the two differ.
    """
    import msgspec

    from eventstore.copying import copy_log
    from eventstore.errors import InvalidInput
    from projections.store import open_store

    if _place_of(source) == _place_of(target):
        raise InvalidInput("FROM and TO are the same store", "Give another address for the copy.")
    with existing(source) as old, open_store(target) as new:
        copied = copy_log(old.log, old.values.blobs, new.log, new.values.blobs, progress)
    equal = not copied.differences
    if format == "text":
        for difference in copied.differences:
            click.echo(safe(difference))
        events = f"{copied.new_events:,} of {copied.events:,} events"
        blobs = f"{copied.new_blobs:,} of {copied.blobs:,} blobs"
        click.echo(f"{'equal' if equal else 'NOT equal'}: copied {events}, {blobs}, {copied.checkpoints:,} checkpoints")
    else:
        print_json({"equal": equal, **msgspec.structs.asdict(copied)})
    if not equal:
        raise click.exceptions.Exit(5)


def _place_of(address: str) -> tuple[object, ...]:
    from projections.addresses import parse_address

    parsed = parse_address(address)
    return parsed.scheme, parsed.path.resolve(), parsed.dsn


@click.command(
    epilog=examples(
        "export my-run --store my-store > my-run.jsonl",
        "export my-run --store my-store --to my-run.jsonl",
    )
)
@click.argument("run")
@click.option("--to", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@click.option("--yes", is_flag=True, help="Replace the file if it is there.")
@store_option
def export(run: str, to: Path | None, yes: bool, address: str) -> None:
    """Write a run to one file, with its large values.

    The file is JSON, one document a line, and says the same wherever the run is exported. `eventstore import run`
    takes it. A deleted run is whole in it; with a fork goes what it has of the runs it was forked from.
    """
    from eventstore.errors import Conflict
    from projections.transfer import export_run

    with existing(address) as store:
        if to is not None and to.exists() and not yes:
            raise Conflict(f"{to} is there already", "Give --yes to replace it.")
        with progress(store.log.version(run), "exporting") as advance:
            lines = export_run(store, run, advance)
            if to is None:
                sys.stdout.buffer.writelines(lines)
            else:
                with _whole(to) as file:
                    file.writelines(lines)
                click.echo(f"exported {store.log.version(run):,} events to {safe(to)}")


@import_.command("run", epilog=examples("import run my-run.jsonl --store my-store"))
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path, allow_dash=True))
@store_option
@format_option
def import_runs(files: tuple[Path, ...], address: str, format: Format) -> None:
    """Import runs that `eventstore export` has written.

    A file that is - is the standard input. Each is checked whole before anything of it is written; importing it again
    changes nothing. The first bad file ends the command: those before it are in the store. If there is no store, one
    is begun.
    """
    from projections.store import open_store
    from projections.transfer import import_run

    checked = _checked(files)
    first = next(checked)  # before a store is begun for a file that is no run
    imported: list[ImportedRun] = []
    try:
        with open_store(address) as store:
            for run in chain([first], checked):
                with progress(run.events, "importing") as advance:
                    imported.append(import_run(store, run, advance))
    finally:
        if imported and format == "text":
            notes = ("already there" if run.new_events == 0 else "" for run in imported)
            lines = ((i.run_id, i.events, i.new_events, i.blobs, note) for i, note in zip(imported, notes, strict=True))
            print_table(("RUN", "EVENTS", "NEW", "BLOBS", "NOTE"), lines)
        elif imported:
            print_rows(imported, format)


def _checked(files: tuple[Path, ...]) -> Iterator[CheckedRun]:
    from eventstore.codec import Codec
    from projections.transfer import check_run

    for path in files:
        with _rereadable(path) as file:
            with progress(os.fstat(file.fileno()).st_size, "checking") as advance:
                run = check_run(file, str(path), Codec(), advance)
            yield run


@contextmanager
def _rereadable(path: Path) -> Iterator[BinaryIO]:
    """The file, or a copy of what a pipe brings."""
    from shutil import copyfileobj
    from tempfile import TemporaryFile

    with ExitStack() as stack:
        file = sys.stdin.buffer if str(path) == "-" else stack.enter_context(path.open("rb"))
        if str(path) == "-" or not file.seekable():
            copy = stack.enter_context(TemporaryFile())
            copyfileobj(file, copy)
            copy.seek(0)
            file = copy
        yield file


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that has its name once it is whole."""
    from tempfile import NamedTemporaryFile

    with NamedTemporaryFile(dir=path.parent, prefix=".export-", delete=False) as draft:
        try:
            yield draft
            draft.flush()
            os.fsync(draft.fileno())
        except BaseException:
            os.unlink(draft.name)
            raise
    os.replace(draft.name, path)
