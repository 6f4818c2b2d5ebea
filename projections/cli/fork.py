"""The command that forks a run."""

from __future__ import annotations

import click

from projections.cli.arguments import parse_time
from projections.cli.output import Format, examples, existing, format_option, store_option
from projections.cli.rerun import acting, actor_option, reason_option
from projections.cli.runs import print_run


@click.command(
    epilog=examples(
        "fork my-run --store my-store",
        "fork my-run --version 7 --reason 'new prompt' --store my-store",
    )
)
@click.argument("run")
@click.option("--version", type=click.IntRange(min=1), help="From where it was after so many of its events.")
@click.option("--time", metavar="TIME", help="From where it was when nothing later had been recorded of it.")
@click.option("--position", type=click.IntRange(min=1), help="From where it was at this position of the whole log.")
@click.option("--id", "fork_id", metavar="ID", help="What the fork is called; a fresh id if not given.")
@reason_option
@actor_option
@store_option
@format_option
def fork(
    run: str,
    version: int | None,
    time: str | None,
    position: int | None,
    fork_id: str | None,
    reason: str,
    actor: str,
    address: str,
    format: Format,
) -> None:
    """Begin a run that goes on from where another one was.

    It refers to that run's events up to there, and neither sees what becomes of the other. As that run is now, unless
    one of --version, --time and --position is given. Times have a zone, as in 2026-01-31T12:00Z. Repeated with the same
    --id, it changes nothing.
    """
    if sum(given is not None for given in (version, time, position)) > 1:
        raise click.UsageError("Give one of --version, --time and --position, or none.")
    when = parse_time("--time", time)
    with existing(address) as store:
        made = acting(store, actor).fork_run(
            run, version=version, time=when, position=position, fork_id=fork_id, reason=reason
        )
        tasks, attempts = store.list_task_runs(made.id), store.list_attempts(made.id)
    print_run(made, tasks, attempts, format)
