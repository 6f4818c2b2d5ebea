"""Commands for tasks that wait for something outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from projections.cli.output import (
    Format,
    examples,
    existing,
    format_option,
    limit_option,
    moment,
    print_rows,
    print_table,
    store_option,
)
from projections.cli.rerun import acting, actor_option, print_tasks, reason_option

if TYPE_CHECKING:
    from projections.task_queries import WaitKind

attempt_option = click.option(
    "--attempt", type=click.IntRange(min=1), help="Decide on this attempt only; on the newest one if not given."
)


@click.command(epilog=examples("waiting --store my-store", "waiting --kind gate --store my-store -o jsonl"))
@click.option("--kind", type=click.Choice(["gate", "timer"]), help="Only gates, or only timers.")
@limit_option
@store_option
@format_option
def waiting(kind: WaitKind | None, limit: int | None, address: str, format: Format) -> None:
    """List the tasks that wait for something outside.

    Gates wait for a decision: see `eventstore approve` and `eventstore reject`. Timers wait until a time.
    """
    with existing(address) as store:
        tasks = store.list_waiting(kind=kind, limit=limit)
    if format != "text":
        print_rows(tasks, format)
        return
    lines = ((t.run_id, t.task_id, t.attempt, moment(t.waiting_since), moment(t.due), t.reason) for t in tasks)
    print_table(("RUN", "TASK", "ATTEMPT", "SINCE", "UNTIL", "WAITS FOR"), lines)


@click.command(
    epilog=examples(
        "approve my-run release --store my-store --comment 'well done'",
        "approve my-run release --store my-store --output-json true",
    )
)
@click.argument("run")
@click.argument("task")
@click.option("--comment", default="", metavar="TEXT", help="What to say; it stays in the history.")
@click.option("--output-json", metavar="JSON", help="What the task puts out; null if not given.")
@attempt_option
@actor_option
@store_option
@format_option
def approve(
    run: str,
    task: str,
    comment: str,
    output_json: str | None,
    attempt: int | None,
    actor: str,
    address: str,
    format: Format,
) -> None:
    """Let a task that waits go on.

    A decision is made once. Whoever drives the run goes on with it.
    """
    output = None if output_json is None else _parsed(output_json)
    with existing(address) as store:
        changed = acting(store, actor).approve_task(run, task, output, comment=comment, attempt=attempt)
    print_tasks([changed], format)


@click.command(epilog=examples("reject my-run release --store my-store --reason 'not on a Friday'"))
@click.argument("run")
@click.argument("task")
@reason_option
@attempt_option
@actor_option
@store_option
@format_option
def reject(run: str, task: str, reason: str, attempt: int | None, actor: str, address: str, format: Format) -> None:
    """Refuse to let a task that waits go on.

    The task has failed then. A decision is made once.
    """
    with existing(address) as store:
        changed = acting(store, actor).reject_task(run, task, reason, attempt=attempt)
    print_tasks([changed], format)


def _parsed(text: str) -> object:
    from eventstore.errors import InvalidInput, InvalidValue
    from eventstore.values import decode_value

    try:
        return decode_value(text.encode(errors="surrogateescape"))
    except InvalidValue as error:
        hint = """Texts are in quotes, as in --output-json '"yes"'."""
        raise InvalidInput(f"--output-json {text!r} is not JSON", hint) from error
