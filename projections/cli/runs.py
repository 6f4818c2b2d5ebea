"""Commands that show runs: which there are, how far they have come, and what they can go on from."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from projections.cli.arguments import parse_pairs, parse_time
from projections.cli.output import (
    Format,
    examples,
    existing,
    format_option,
    limit_option,
    moment,
    print_json,
    print_rows,
    print_table,
    safe,
    short,
    store_option,
)

if TYPE_CHECKING:
    from eventstore.failure import Failure
    from projections.resume import Plan
    from projections.rows import Attempt, Run, TaskRun
    from projections.store import Store


@click.command(
    epilog=examples(
        "runs --store my-store",
        "runs --store my-store --status failed --status waiting -o jsonl",
        "runs --store my-store --since 2026-01-31T12:00Z --newest",
        """runs --store my-store --metadata 'customer="acme"' --count""",
    )
)
@click.option("--status", multiple=True, help="Only runs in this status; may be given several times.")
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--since", metavar="TIME", help="Only runs created at this time or later.")
@click.option("--until", metavar="TIME", help="Only runs created before this time.")
@click.option("--metadata", metavar="KEY=JSON", multiple=True, help="Only runs whose metadata have this; repeatable.")
@click.option("--parent", metavar="RUN", help="Only runs that were created by this one.")
@click.option("--deleted", is_flag=True, help="Deleted runs, too.")
@click.option("--newest", is_flag=True, help="Newest first.")
@click.option("--count", is_flag=True, help="Only how many there are in each status.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out the first so many.")
@limit_option
@store_option
@format_option
def runs(
    status: tuple[str, ...],
    workflow: str | None,
    since: str | None,
    until: str | None,
    metadata: tuple[str, ...],
    parent: str | None,
    deleted: bool,
    newest: bool,
    count: bool,
    offset: int,
    limit: int | None,
    address: str,
    format: Format,
) -> None:
    """List runs, oldest first.

    Times are in ISO 8601 and have a zone, as in 2026-01-31T12:00Z or 2026-01-31T14:00+02:00.
    """
    from projections.run_filter import RunFilter

    wanted = RunFilter(
        workflow=workflow,
        parent=parent,
        created_from=parse_time("--since", since),
        created_before=parse_time("--until", until),
        metadata=parse_pairs(metadata),
        include_deleted=deleted,
    )
    if count:
        if status:
            raise click.UsageError("--count counts the runs in every status: leave out --status.")
        with existing(address) as store:
            _print_counts(store.count_runs(**wanted), format)
        return
    with existing(address) as store:
        page = store.page_runs(
            status=status or None,
            offset=offset,
            limit=sys.maxsize if limit is None else limit,
            newest_first=newest,
            **wanted,
        )
    if format == "text":
        lines = ((r.id, r.workflow_name, r.status, moment(r.created_at), moment(r.finished_at)) for r in page.items)
        print_table(("RUN", "WORKFLOW", "STATUS", "CREATED", "FINISHED"), lines)
        if page.next_after is not None:
            shown = offset + len(page.items)
            click.echo(f"{offset + 1:,} to {shown:,} of {page.total:,}; go on with --offset {shown}", err=True)
    else:
        print_rows(page.items, format)


def _print_counts(counts: dict[str, int], format: Format) -> None:
    if format == "text":
        print_table(("STATUS", "RUNS"), ((status, f"{count:,}") for status, count in counts.items()))
    else:
        print_json(counts)


@click.command(epilog=examples("show my-run --store my-store"))
@click.argument("run")
@store_option
@format_option
def show(run: str, address: str, format: Format) -> None:
    """Show a run, its tasks and, in JSON, all their attempts."""
    with existing(address) as store:
        found = find_run(store, run)
        tasks, attempts = store.list_task_runs(run), store.list_attempts(run)
    print_run(found, tasks, attempts, format)


def print_run(found: Run, tasks: Sequence[TaskRun], attempts: Sequence[Attempt], format: Format) -> None:
    """A run, its tasks and, in JSON, all their attempts."""
    if format != "text":
        print_json({"run": found, "task_runs": tasks, "attempts": attempts})
        return
    click.echo(f"run       {safe(found.id)}")
    for name, value in _facts(found):
        if value:
            click.echo(f"{name:<10}{short(value)}")
    click.echo()
    last = {(attempt.task_id, attempt.attempt): attempt for attempt in attempts}
    lines = (
        (t.task_id, t.status, t.attempt, moment(t.finished_at), _note(t, last.get((t.task_id, t.attempt))))
        for t in tasks
    )
    print_table(("TASK", "STATUS", "ATTEMPT", "FINISHED", "NOTE"), lines)


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    yield "workflow", run.workflow_name
    yield "message", run.user_message
    yield "status", run.status
    if run.forked_from is not None:
        yield "forked", f"from {run.forked_from} at version {run.forked_version}"
    yield "created", moment(run.created_at)
    yield "started", moment(run.started_at)
    yield "finished", moment(run.finished_at)
    yield "worker", run.worker or ""
    yield "lease", moment(run.lease_until)
    if run.status == "waiting":
        yield "waits for", _until(run.waiting_reason, moment(run.waiting_until))
    if run.failure is not None:
        yield "failure", _failure(run.failure)
    yield "deleted", moment(run.deleted_at)


def _note(task: TaskRun, attempt: Attempt | None) -> str:
    if task.status == "failed" and attempt is not None and attempt.failure is not None:
        return _failure(attempt.failure)
    if task.reused_version is not None:
        return f"reused from version {task.reused_version}"
    return _until(task.reason, moment(task.due))


def _failure(failure: Failure) -> str:
    return f"{failure.type}: {failure.message}"


def _until(reason: str | None, time: str) -> str:
    return ", ".join(part for part in (reason, time and f"until {time}") if part)


@click.command("resume-plan", epilog=examples("resume-plan my-run --store my-store"))
@click.argument("run")
@store_option
@format_option
def resume_plan(run: str, address: str, format: Format) -> None:
    """Show what resuming a run would go on from. Changes nothing."""
    with existing(address) as store:
        find_run(store, run)
        plan = store.resume_plan(run)
    if format != "text":
        print_json(plan)
        return
    click.echo(f"{safe(plan.run_id)} is {plan.status}")
    click.echo()
    print_table(("TASK", "PLAN", "WHY"), _steps(plan))


def _steps(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Every task with what the plan says of it; two things, if it is to run again although it had come further."""
    for reusable in plan.reusable:
        again = "; runs again in the next resumption" if reusable.task_id in plan.again else ""
        yield reusable.task_id, "reusable", f"completed at version {reusable.version}{again}"
    for stale in plan.stale:
        yield stale.task_id, "stale", stale.reason
    for doubtful in plan.in_doubt:
        yield doubtful.task_id, "in doubt", f"attempt {doubtful.attempt} was started and never ended"
    for waiting in plan.waiting:
        yield waiting.task_id, "waiting", _until(waiting.reason, moment(waiting.due))
    for timer in plan.due:
        yield timer.task_id, "due", _until(timer.reason, moment(timer.due))
    for task_id in plan.failed:
        yield task_id, "failed", "runs again once it is retried"
    for task_id in plan.ready:
        yield task_id, "ready", "may start now"
    for task_id, needs in plan.blocked.items():
        yield task_id, "blocked", f"needs {', '.join(needs)}"


def find_run(store: Store, run_id: str) -> Run:
    """The run. Raises `NotFound`."""
    from eventstore.errors import NotFound

    run = store.get_run(run_id)
    if run is None:
        raise NotFound("run", run_id, "List them with `eventstore runs`.")
    return run
