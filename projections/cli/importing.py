"""Commands that bring runs of other systems into a store."""

from __future__ import annotations

from pathlib import Path

import click

from projections.cli.output import Format, format_option, print_rows, store_option


@click.group("import")
def import_() -> None:
    """Bring in runs that other systems have recorded."""


@import_.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path))
@store_option
@format_option
def wfformat(files: tuple[Path, ...], address: str, format: Format) -> None:
    """Import WfFormat 1.4 and 1.5 traces (.json or .json.gz): one run per file.

    A file is imported whole or not at all; importing it again changes nothing. The first bad file ends the command.
    """
    from projections.import_wfformat import Imported, import_wfformat
    from projections.store import open_store

    with open_store(address) as store:
        imported = [import_wfformat(store, file) for file in files]

    def cells(run: Imported) -> tuple[object, ...]:
        return run.run_id, run.tasks, run.edges, f"{run.makespan:,.3f}", "already there" if run.repeated else ""

    print_rows(imported, format, ("RUN", "TASKS", "EDGES", "MAKESPAN, s", "NOTE"), cells)
