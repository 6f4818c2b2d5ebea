"""Commands that bring runs of other systems into a store."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from projections.cli.output import Format, examples, format_option, print_rows, print_table, progress, store_option

if TYPE_CHECKING:
    from projections.import_wfformat import Imported


@click.group("import", epilog=examples("import wfformat traces/*.json.gz --store my-store"))
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
    from projections.store import open_store
    from projections.wfformat import read_trace

    traces = ((file, read_trace(file)) for file in files)
    first = next(traces)  # before a store is begun for a file that is no trace
    imported: list[Imported] = []
    try:
        with open_store(address) as store, progress(len(files), "importing") as advance:
            for file, trace in chain([first], traces):
                imported.append(import_trace(store, trace, file))
                advance(1)
    finally:
        if imported:
            _print(imported, format)


def _print(imported: list[Imported], format: Format) -> None:
    if format == "text":
        notes = {True: "already there", False: ""}
        lines = ((i.run_id, i.tasks, i.edges, f"{i.makespan:,.3f}", notes[i.repeated]) for i in imported)
        print_table(("RUN", "TASKS", "EDGES", "MAKESPAN, s", "NOTE"), lines)
    else:
        print_rows(imported, format)
