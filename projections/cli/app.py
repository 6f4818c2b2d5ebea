"""The `eventstore` command: its sub-commands, and how errors end it.

stdout is for data only. Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 corrupt or verification failed,
6 unavailable.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from projections.cli.demo import demo
from projections.cli.importing import import_
from projections.cli.runs import events, outputs, resume_plan, runs, show
from projections.cli.upkeep import rebuild, verify


class _App(click.Group):
    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BrokenPipeError:
            # Whoever read our output has seen enough. What is still buffered must not be flushed into the closed pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            context.exit(0)
        except Exception as error:
            from eventstore.errors import EventStoreError

            if context.params["debug"] or not isinstance(error, EventStoreError):
                raise
            click.echo(f"error: {error}", err=True)
            if error.hint:
                click.echo(f"hint: {error.hint}", err=True)
            context.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    from eventstore.errors import BlobCorrupt, BlobMissing, Conflict, InvalidInput, LogCorrupt, NotFound, Unavailable

    codes: list[tuple[type[Exception] | tuple[type[Exception], ...], int]] = [
        ((LogCorrupt, BlobCorrupt, BlobMissing), 5),
        (InvalidInput, 2),
        (NotFound, 3),
        (Conflict, 4),
        (Unavailable, 6),
    ]
    return next((code for kinds, code in codes if isinstance(error, kinds)), 1)


@click.group(cls=_App, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="flowledger", prog_name="eventstore")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
def main(debug: bool) -> None:
    """Look into a store of workflow runs, check it, and bring runs into it.

    The store is a folder, given with --store or in EVENTSTORE_URL. New here? Try: eventstore demo
    """


for command in (demo, runs, show, events, outputs, resume_plan, verify, rebuild, import_):
    main.add_command(command)
