"""The command that says how consumers stand, and why one does not come further."""

from __future__ import annotations

import click

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
    store_option,
)


@click.command(epilog=examples("consumers --store my-store", "consumers letters --store my-store -o json"))
@click.argument("name", required=False)
@store_option
@format_option
def consumers(name: str | None, address: str, format: Format) -> None:
    """Say how far consumers have come, and why one is stuck.

    With a NAME, say of that one who runs it, on which event it fails, how, and what to do.
    """
    from eventstore.errors import NotFound
    from eventstore.standing import standing

    with existing(address) as store:
        names = sorted(store.log.checkpoints()) if name is None else [name]
        found = [standing(store.log, each) for each in names]
    if name is not None:
        (one,) = found
        if one.checkpoint is None and one.holder is None:
            raise NotFound("consumer", name, "List those that there are: eventstore consumers.")
        if format != "text":
            print_json(one)
            return
        said = {
            "checkpoint": one.checkpoint,
            "head": one.head,
            "lag": one.lag,
            "run by": _holder(one.holder),
            "stuck at": one.stuck_at,
            "event": one.event_id,
            "stream": one.stream or None,
            "error": one.error or None,
            "since": moment(one.since) or None,
            "errors": one.errors or None,
        }
        for key, value in said.items():
            if value is not None:
                click.echo(f"{key:<12}{safe(value)}")
        click.echo(one.advice)
    elif format == "text":
        lines = ((o.name, o.checkpoint, o.lag, _holder(o.holder), o.stuck_at, o.error) for o in found)
        print_table(("NAME", "CHECKPOINT", "LAG", "RUN BY", "STUCK AT", "ERROR"), lines)
    else:
        print_rows(found, format)


def _holder(holder: str | None) -> str:
    return "nobody" if holder is None else holder or "somebody"
