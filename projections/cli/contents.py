"""Commands that show what a run holds: its events and its outputs."""

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
    print_json,
    print_rows,
    print_table,
    store_option,
)
from projections.cli.runs import find_run

if TYPE_CHECKING:
    from eventstore.payload import Value

_SHOWN = 200


@click.command(
    epilog=examples(
        "events my-run --store my-store",
        "events my-run --store my-store -o jsonl | grep taskRunFailed",
    )
)
@click.argument("run")
@limit_option
@store_option
@format_option
def events(run: str, limit: int | None, address: str, format: Format) -> None:
    """Show a run's events, in order; those of a deleted run, too.

    In JSON an event has the form that it has in the run's events.jsonl.
    """
    import msgspec

    from eventstore.errors import NotFound
    from projections.run_files import event_json

    with existing(address) as store:
        found = store.log.read(run, limit=limit)
        if not store.log.version(run):
            raise NotFound("run", run, "List them with `eventstore runs`.")
        if format == "text":
            lines = ((e.version, moment(e.time), e.type, e.data[:_SHOWN].decode(errors="replace")) for e in found)
            print_table(("VERSION", "TIME", "EVENT", "DATA"), lines)
        else:
            print_rows((msgspec.Raw(event_json(event)) for event in found), format)


@click.command(
    epilog=examples(
        "outputs my-run --store my-store",
        "outputs my-run my-task --store my-store > my-task.json",
    )
)
@click.argument("run")
@click.argument("task", required=False)
@store_option
@format_option
def outputs(run: str, task: str | None, address: str, format: Format) -> None:
    """Show what a run's tasks have put out.

    With a TASK, shows that one's whole output as JSON.
    """
    with existing(address) as store:
        find_run(store, run)
        if task is not None:
            print_json(store.get_result(run, task))
            return
        found = [(output, output.output) for output in store.list_outputs(run) if output.output is not None]
        if format == "text":
            lines = ((output.task_id, f"{value.size:,}", *_kept(value)) for output, value in found)
            print_table(("TASK", "BYTES", "KEPT", "OUTPUT"), lines)
        else:
            rows = ({"task_id": o.task_id, "version": o.version, "output": store.load(value)} for o, value in found)
            print_rows(rows, format)


def _kept(value: Value) -> tuple[str, object]:
    import msgspec

    if isinstance(value.json, msgspec.UnsetType):
        return "blob", value.preview
    return "inline", bytes(value.json)[:_SHOWN].decode(errors="replace")
