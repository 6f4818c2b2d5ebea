"""The `eventstore` command: its sub-commands, and how errors end it.

stdout is for data only. Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 corrupt or verification failed,
6 unavailable.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import click

from projections.cli.board import board
from projections.cli.consumers import consumers
from projections.cli.contents import events, outputs
from projections.cli.copying import copy, export
from projections.cli.demo import demo
from projections.cli.fork import fork
from projections.cli.importing import import_
from projections.cli.orphans import orphans, repair
from projections.cli.output import examples, safe
from projections.cli.purging import gc, purge
from projections.cli.recovery import recover
from projections.cli.rerun import invalidate, rerun
from projections.cli.runs import resume_plan, runs, show
from projections.cli.seal import seal
from projections.cli.tail import tail
from projections.cli.travel import at, diff, timeline, tree, why
from projections.cli.upkeep import rebuild, verify
from projections.cli.waiting import approve, reject, waiting
from projections.cli.workflows import workflow, workflows


class _App(click.Group):
    def invoke(self, context: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # not every terminal has every character
        try:
            return super().invoke(context)
        except BrokenPipeError:
            # Whoever read our output has seen enough. What is still buffered must not be flushed into the closed pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(0)
        except Exception as error:
            from eventstore.disk import unavailable
            from eventstore.errors import EventStoreError

            if context.params["debug"] or not isinstance(error, EventStoreError | OSError):
                raise
            if not isinstance(error, EventStoreError):
                error = unavailable(error, f"cannot use {error.filename or 'a file'}")
            click.echo(f"error: {safe(error)}", err=True)
            if error.hint:
                click.echo(f"hint: {safe(error.hint)}", err=True)
            context.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    from eventstore.errors import (
        BlobCorrupt,
        BlobMissing,
        Conflict,
        InvalidInput,
        LogCorrupt,
        NotFound,
        Unavailable,
        UnsupportedStore,
    )
    from eventstore.seal import BadSeal

    codes: dict[type[Exception], int] = {
        InvalidInput: 2,
        NotFound: 3,
        Conflict: 4,
        LogCorrupt: 5,
        BlobCorrupt: 5,
        BlobMissing: 5,
        BadSeal: 5,
        Unavailable: 6,
        UnsupportedStore: 6,
    }
    return next((code for kind, code in codes.items() if isinstance(error, kind)), 1)


@click.group(
    cls=_App,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples("demo --store demo-store", "runs --store demo-store"),
)
@click.version_option(package_name="flowledger", prog_name="eventstore")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
def main(debug: bool) -> None:
    """Look into a store of workflow runs, check it, and bring runs into it.

    Give the store's address with --store or in EVENTSTORE_URL: jsonl:FOLDER, sqlite:FILE,
    postgresql://USER@HOST/DATABASE?schema=NAME, or just the path of a folder or file. Keep passwords out of it: the
    Postgres client looks into PGPASSWORD and ~/.pgpass by itself.
    """


for command in (
    demo,
    runs,
    show,
    events,
    outputs,
    resume_plan,
    at,
    diff,
    why,
    timeline,
    tree,
    tail,
    consumers,
    recover,
    waiting,
    approve,
    reject,
    invalidate,
    rerun,
    fork,
    workflows,
    workflow,
    verify,
    orphans,
    repair,
    purge,
    gc,
    rebuild,
    import_,
    export,
    copy,
    board,
    seal,
):
    main.add_command(command)
