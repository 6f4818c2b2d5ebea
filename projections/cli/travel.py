"""Commands that look at runs through time, and at how they differ. None appends anything."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import click

from projections.cli.arguments import parse_time
from projections.cli.gantt import LEGEND, gantt, seconds
from projections.cli.output import (
    Format,
    examples,
    existing,
    format_option,
    moment,
    print_json,
    print_rows,
    print_table,
    safe,
    short,
    store_option,
)
from projections.cli.runs import find_run, print_run

if TYPE_CHECKING:
    from projections.differences import Difference
    from projections.rows import Run
    from projections.store import Store
    from projections.travel import Point

_SHOWN = 200
_DIGITS = 19


@click.command(
    epilog=examples(
        "at my-run --version 7 --store my-store",
        "at my-run --time 2026-01-31T12:00Z --store my-store -o json",
    )
)
@click.argument("run")
@click.option("--version", type=click.IntRange(min=0), help="As it was after so many of its events.")
@click.option("--time", metavar="TIME", help="As it was when nothing later had been recorded of it.")
@click.option("--position", type=click.IntRange(min=0), help="As it was at this position of the whole log.")
@store_option
@format_option
def at(run: str, version: int | None, time: str | None, position: int | None, address: str, format: Format) -> None:
    """Show a run as it was, even if it is deleted now.

    Give one of --version, --time and --position. Times have a zone, as in 2026-01-31T12:00Z.
    """
    from eventstore.errors import NotFound
    from projections.rows import Attempt, Run, TaskRun

    if sum(given is not None for given in (version, time, position)) != 1:
        raise click.UsageError("Give one of --version, --time and --position.")
    when = parse_time("--time", time)
    with existing(address) as store:
        _check_known(store, run)
        fold = store.as_of(run, version=version, time=when, position=position)
    found = fold.row(Run, run)
    if found is None:
        raise NotFound("run", run, "It had not been created by then.")
    tasks = sorted(fold.rows(TaskRun), key=lambda task: (task.position, task.task_id))
    attempts = sorted(fold.rows(Attempt), key=lambda attempt: (attempt.task_id, attempt.attempt))
    print_run(found, tasks, attempts, format)


@click.command(
    epilog=examples(
        "diff my-run other-run --store my-store",
        "diff my-run --from 7 --to 12 --store my-store",
        "diff my-run --from 2026-01-31T12:00Z --store my-store -o jsonl",
    )
)
@click.argument("run")
@click.argument("other", required=False)
@click.option("--from", "from_", metavar="POINT", help="RUN as it was at this version or time.")
@click.option("--to", metavar="POINT", help="OTHER, or else RUN, as it was at this version or time.")
@click.option("--exact", is_flag=True, help="Versions, positions and times count, too.")
@store_option
@format_option
def diff(
    run: str, other: str | None, from_: str | None, to: str | None, exact: bool, address: str, format: Format
) -> None:
    """Show how two runs differ, or one run at two points.

    Tasks are the same if their ids are. A point is the number of a version, or a time with its zone. Where none is
    given, the run is taken as it is now.
    """
    if other is None and from_ == to:
        raise click.UsageError(
            "A run is compared with itself: give another run, or different points by --from and --to."
        )
    left, right = _point("--from", run, from_), _point("--to", run if other is None else other, to)
    with existing(address) as store:
        for each in (left.run_id, right.run_id):
            _check_known(store, each)
        found = store.diff(left, right, exact=exact)
    if format == "text":
        lines = ((_place(each), each.column, _cell(each.left), _cell(each.right)) for each in found)
        print_table(("WHERE", "COLUMN", "LEFT", "RIGHT"), lines)
    else:
        print_rows(found, format)


@click.command(
    epilog=examples("why my-run my-task --store my-store", "why my-run my-task --version 7 --store my-store")
)
@click.argument("run")
@click.argument("task")
@click.option("--version", type=click.IntRange(min=1), help="As it was after so many of the run's events.")
@store_option
@format_option
def why(run: str, task: str, version: int | None, address: str, format: Format) -> None:
    """Show why a task is what resume-plan says of it.

    And the events that this follows from: those of the task since its latest attempt was started, and those of other
    tasks.
    """
    with existing(address) as store:
        _check_shown(store, run, deleted=version is not None)
        found = store.explain(run, task, version=version)
    if format != "text":
        print_json(found)
        return
    click.echo(f"{safe(found.task_id)} is {found.state}: {short(found.reason)}")
    click.echo(f"{safe(found.run_id)} is {found.run_status}")
    click.echo()
    lines = ((each.version, moment(each.time), each.type, each.task_id, each.says, each.actor) for each in found.events)
    print_table(("VERSION", "TIME", "EVENT", "TASK", "SAYS", "ACTOR"), lines)


@click.command(epilog=examples("timeline my-run --store my-store", "timeline my-run --store my-store -o json"))
@click.argument("run")
@store_option
@format_option
def timeline(run: str, address: str, format: Format) -> None:
    """Show when the attempts of a run waited and executed.

    As wide as the terminal. In JSON, all times and durations, these in seconds.
    """
    with existing(address) as store:
        _check_known(store, run)
        found = store.timeline(run)
    if format != "text":
        print_json(found)
        return
    click.echo(f"run       {safe(found.run_id)}")
    click.echo(f"status    {found.status}")
    click.echo(f"makespan  {seconds(found.makespan)}")
    click.echo(f"attempts  {len(found.attempts):,}, of which retries: {found.retries:,}")
    if found.critical_path:
        path = ", ".join(found.critical_path)
        click.echo(f"critical  {seconds(found.critical_execution)}: {short(path)}")
    click.echo()
    for line in gantt(found, shutil.get_terminal_size().columns):
        click.echo(line)
    if found.attempts:
        click.echo()
        click.echo(LEGEND)


@click.command(epilog=examples("tree my-run --store my-store"))
@click.argument("run")
@click.option("--deleted", is_flag=True, help="Deleted runs, too.")
@store_option
@format_option
def tree(run: str, deleted: bool, address: str, format: Format) -> None:
    """Show a run and all below it: its children, theirs and so on."""
    with existing(address) as store:
        _check_shown(store, run, deleted=deleted)
        found = store.tree(run, include_deleted=deleted)
    if format != "text":
        print_rows(found, format)
        return
    runs = ((branch.depth, branch.run) for branch in found)
    lines = (
        (f"{'  ' * depth}{r.id}", r.workflow_name, _status(r), moment(r.created_at), moment(r.finished_at))
        for depth, r in runs
    )
    print_table(("RUN", "WORKFLOW", "STATUS", "CREATED", "FINISHED"), lines)


def _status(run: Run) -> str:
    return run.status if run.deleted_at is None else f"{run.status}, deleted"


def _check_shown(store: Store, run_id: str, *, deleted: bool) -> None:
    if not deleted:
        find_run(store, run_id)
    _check_known(store, run_id)


def _check_known(store: Store, run_id: str) -> None:
    """Raise `NotFound` if there is no such run, and never was one that has not been purged."""
    from eventstore.errors import NotFound

    if not store.log.version(run_id):
        raise NotFound("run", run_id, "List them with `eventstore runs`.")


def _point(option: str, run_id: str, text: str | None) -> Point:
    from projections.travel import Point

    if text is not None and text.isascii() and text.isdigit() and len(text) <= _DIGITS:
        return Point(run_id, version=int(text))
    return Point(run_id, time=parse_time(option, text))


def _place(difference: Difference) -> str:
    if not difference.key:
        return "run"
    task_id, *attempt = map(str, difference.key)
    if attempt:
        return f"{task_id}, attempt {attempt[0]}"
    return f"{task_id}, output" if difference.table == "node_outputs" else task_id


def _cell(value: object) -> str:
    """What stands on one side: text as it is, times as everywhere, anything else as JSON."""
    from datetime import datetime

    import msgspec

    from eventstore.payload import Value

    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Value):
        kept = value.preview if isinstance(value.json, msgspec.UnsetType) else bytes(value.json)[:_SHOWN]
        return kept.decode(errors="replace") if isinstance(kept, bytes) else str(kept)
    return msgspec.json.encode(value).decode()
