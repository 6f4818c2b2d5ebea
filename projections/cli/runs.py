"""Commands that look at runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from projections.cli.output import (
    Format,
    existing,
    format_option,
    moment,
    print_json,
    print_rows,
    print_table,
    safe,
    store_option,
)

if TYPE_CHECKING:
    from eventstore.log import RecordedEvent
    from projections.rows import Run
    from projections.store import Store


@click.command()
@click.option("--status", multiple=True, help="Only runs in this status; may be given several times.")
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many.")
@store_option
@format_option
def runs(status: tuple[str, ...], workflow: str | None, limit: int | None, address: str, format: Format) -> None:
    """List runs, oldest first."""
    with existing(address) as store:
        found = store.list_runs(status=status or None, workflow=workflow, limit=limit)
        columns = ("RUN", "WORKFLOW", "STATUS", "CREATED", "FINISHED")
        print_rows(
            found,
            format,
            columns,
            lambda run: (run.id, run.workflow_name, run.status, moment(run.created_at), moment(run.finished_at)),
        )


@click.command()
@click.argument("run")
@store_option
@format_option
def show(run: str, address: str, format: Format) -> None:
    """Show a run, its tasks and their attempts."""
    with existing(address) as store:
        found = _run(store, run)
        tasks = store.list_task_runs(run)
        attempts = store.list_attempts(run)
        if format != "text":
            print_json({"run": found, "task_runs": tasks, "attempts": attempts})
            return
        click.echo(f"{safe(found.id)}  {safe(found.workflow_name)}  {found.status}")
        click.echo(f"created {moment(found.created_at)}  started {moment(found.started_at)}  "
                   f"finished {moment(found.finished_at)}")  # fmt: skip
        if found.user_message:
            click.echo(safe(found.user_message))
        if found.failure is not None:
            click.echo(f"failed: {safe(found.failure.type)}: {safe(found.failure.message)}")
        click.echo()
        last = {(attempt.task_id, attempt.attempt): attempt for attempt in attempts}
        lines = []
        for task in tasks:
            attempt = last.get((task.task_id, task.attempt))
            failure = attempt.failure if attempt and task.status == "failed" else None
            note = f"{failure.type}: {failure.message}" if failure else task.reason
            reused = "reused" if task.reused_version else None
            lines.append((task.task_id, task.status, task.attempt, moment(task.finished_at), reused or note))
        print_table(("TASK", "STATUS", "ATTEMPT", "FINISHED", "NOTE"), lines)


@click.command()
@click.argument("run")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many.")
@store_option
@format_option
def events(run: str, limit: int | None, address: str, format: Format) -> None:
    """Show a run's events, in order."""
    with existing(address) as store:
        _run(store, run)
        columns = ("VERSION", "TIME", "EVENT", "DATA")
        print_rows(
            (_readable(event, whole=format != "text") for event in store.log.read(run, limit=limit)),
            format,
            columns,
            lambda event: (event["version"], event["time"], event["type"], event["data"]),
        )


def _readable(event: RecordedEvent, *, whole: bool) -> dict[str, Any]:
    import msgspec

    from eventstore.log import JSON

    if whole:
        row = msgspec.structs.asdict(event)
        if event.content_type == JSON:
            row["data"] = msgspec.Raw(event.data)
        return row
    data = event.data.decode(errors="replace")
    short = data if len(data) <= 100 else f"{data[:99]}…"
    return {"version": event.version, "time": moment(event.time), "type": event.type, "data": short}


@click.command()
@click.argument("run")
@click.argument("task", required=False)
@store_option
@format_option
def outputs(run: str, task: str | None, address: str, format: Format) -> None:
    """Show what a run's tasks have put out; with a TASK, that one's whole output as JSON."""
    with existing(address) as store:
        _run(store, run)
        if task is not None:
            print_json(store.get_result(run, task))
            return
        found = store.list_outputs(run)
        if format != "text":
            rows = [
                {"task_id": o.task_id, "version": o.version, "output": store.load(o.output)} for o in found if o.output
            ]
            print_rows(rows, format, (), lambda row: ())
            return
        lines = []
        for output in found:
            value = output.output
            if value is None:
                continue
            import msgspec

            inline = not isinstance(value.json, msgspec.UnsetType)
            text = bytes(value.json).decode() if not isinstance(value.json, msgspec.UnsetType) else value.preview
            short = str(text)
            lines.append(
                (
                    output.task_id,
                    f"{value.size:,}",
                    "" if inline else "blob",
                    short if len(short) <= 80 else f"{short[:79]}…",
                )
            )
        print_table(("TASK", "BYTES", "KEPT", "OUTPUT"), lines)


@click.command("resume-plan")
@click.argument("run")
@store_option
@format_option
def resume_plan(run: str, address: str, format: Format) -> None:
    """Show what resuming a run would go on from. Changes nothing."""
    with existing(address) as store:
        plan = store.resume_plan(run)
        if format != "text":
            print_json(plan)
            return
        reasons = {
            **{task.task_id: ("reusable", f"completed at version {task.version}") for task in plan.reusable},
            **{task.task_id: ("stale", task.reason) for task in plan.stale},
            **{task_id: ("failed", "runs again once it is retried") for task_id in plan.failed},
            **{task.task_id: ("waiting", task.reason) for task in plan.waiting},
            **{task_id: ("blocked", f"needs {', '.join(needs)}") for task_id, needs in plan.blocked.items()},
            **{task_id: ("ready", "may start now") for task_id in plan.ready},
            **{
                task.task_id: ("in doubt", f"attempt {task.attempt} was started and never ended")
                for task in plan.in_doubt
            },
        }
        click.echo(f"{safe(plan.run_id)}  {plan.status}")
        print_table(("TASK", "PLAN", "WHY"), [(task_id, *why) for task_id, why in reasons.items()])


def _run(store: Store, run_id: str) -> Run:
    from eventstore.errors import NotFound

    run = store.get_run(run_id)
    if run is None:
        raise NotFound("run", run_id, "List them with `eventstore runs`.")
    return run
