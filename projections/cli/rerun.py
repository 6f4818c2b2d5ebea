"""Commands that have tasks of a run done again."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from projections.cli.output import (
    Format,
    examples,
    existing,
    format_option,
    print_rows,
    print_table,
    store_option,
)

if TYPE_CHECKING:
    from projections.rows import TaskRun
    from projections.store import Store


def _user() -> str:
    with suppress(OSError, KeyError, ImportError):  # not every process has a user with a name
        return getpass.getuser()
    return ""


reason_option = click.option("--reason", default="", metavar="TEXT", help="Why; it stays in the history.")
actor_option = click.option("--actor", default=_user, metavar="NAME", help="Who wants it; your user name if not given.")


@click.command(epilog=examples("invalidate my-run fetch --store my-store --reason 'bad data'"))
@click.argument("run")
@click.argument("task")
@reason_option
@actor_option
@store_option
@format_option
def invalidate(run: str, task: str, reason: str, actor: str, address: str, format: Format) -> None:
    """Have one task run again.

    What was made from its output runs again only if it puts out something else. See also `eventstore rerun`.
    """
    with existing(address) as store:
        changed = acting(store, actor).invalidate_task(run, task, reason)
    print_tasks([changed], format)


@click.command(
    epilog=examples(
        "rerun my-run --from fetch --store my-store --reason 'bad data'",
    )
)
@click.argument("run")
@click.option("--from", "task", required=True, metavar="TASK", help="The first task that is to run again.")
@reason_option
@actor_option
@store_option
@format_option
def rerun(run: str, task: str, reason: str, actor: str, address: str, format: Format) -> None:
    """Have a task run again, with all that was made from it.

    Prints the tasks that will run again when the run goes on. Completed and cancelled runs are final.
    """
    with existing(address) as store:
        changed = acting(store, actor).rerun_from(run, task, reason=reason)
    print_tasks(changed, format)


def acting(store: Store, actor: str) -> Store:
    """The store, whose commands note who acts, if that is known."""
    return store.acting(actor=actor) if actor else store


def print_tasks(tasks: Sequence[TaskRun], format: Format) -> None:
    """What has become of some tasks."""
    if format == "text":
        print_table(("TASK", "STATUS", "WHY"), ((task.task_id, task.status, task.reason) for task in tasks))
    else:
        print_rows(tasks, format)
