"""Commands that bring runs of other systems into a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from projections.cli.output import Format, examples, format_option, print_rows, print_table, progress, store_option

if TYPE_CHECKING:
    from projections.import_temporal import ImportedHistory
    from projections.import_wfformat import Imported
    from projections.store import Store

ReadT = TypeVar("ReadT")
ImportedT = TypeVar("ImportedT")

_NOTES = {True: "already there", False: ""}


@click.group(
    "import",
    epilog=examples(
        "import wfformat traces/*.json.gz --store my-store", "import temporal histories/*.json --store my-store"
    ),
)
def import_() -> None:
    """Bring in runs that other systems have recorded."""


@import_.command(epilog=examples("import wfformat traces/*.json.gz --store my-store"))
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@store_option
@format_option
def wfformat(files: tuple[Path, ...], address: str, format: Format) -> None:
    """Import workflow traces: one run per file.

    Reads WfFormat 1.4 and 1.5, compressed by gzip or not. A file is imported whole or not at all; importing it again
    changes nothing. The first bad file ends the command: those before it are in the store. If there is no store, one
    is begun.
    """
    from projections.import_wfformat import import_trace
    from projections.wfformat import read_trace

    def show(imported: Sequence[Imported]) -> None:
        lines = ((i.run_id, i.tasks, i.edges, f"{i.makespan:,.3f}", _NOTES[i.repeated]) for i in imported)
        print_table(("RUN", "TASKS", "EDGES", "MAKESPAN, s", "NOTE"), lines)

    _import(files, read_trace, import_trace, show, address, format)


@import_.command(epilog=examples("import temporal histories/*.json --store my-store"))
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@store_option
@format_option
def temporal(files: tuple[Path, ...], address: str, format: Format) -> None:
    """Import workflow histories of Temporal: one run per file.

    Reads the JSON that Temporal exports, compressed by gzip or not. Activities become task runs, timers and signals
    what the run waits for; every event of the history is kept as it is. A file is imported whole or not at all;
    importing it again changes nothing. The first bad file ends the command: those before it are in the store. If there
    is no store, one is begun.
    """
    from projections.import_temporal import import_history
    from projections.temporal import read_history

    def show(imported: Sequence[ImportedHistory]) -> None:
        lines = ((i.run_id, i.workflow, i.events, i.tasks, _NOTES[i.repeated]) for i in imported)
        print_table(("RUN", "WORKFLOW", "EVENTS", "TASKS", "NOTE"), lines)

    _import(files, read_history, import_history, show, address, format)


def _import(
    files: Sequence[Path],
    read: Callable[[Path], ReadT],
    import_one: Callable[[Store, ReadT, Path], ImportedT],
    show: Callable[[Sequence[ImportedT]], None],
    address: str,
    format: Format,
) -> None:
    """Read and import file after file, and print what was imported, as a table with `show`."""
    from projections.store import open_store

    contents = ((file, read(file)) for file in files)
    first = next(contents)  # before a store is begun for a file that is not what it should be
    imported: list[ImportedT] = []
    try:
        with open_store(address) as store, progress(len(files), "importing") as advance:
            for file, content in chain([first], contents):
                imported.append(import_one(store, content, file))
                advance(1)
    finally:
        if imported and format == "text":
            show(imported)
        elif imported:
            print_rows(imported, format)
