"""The command that shows the end of the log, and what comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from projections.cli.output import (
    Format,
    examples,
    existing,
    format_option,
    moment,
    print_rows,
    safe,
    short,
    store_option,
)

if TYPE_CHECKING:
    from eventstore.follow import Follower
    from eventstore.log import RecordedEvent
    from projections.store import Store

_LAST = 10
_SHOWN = 200


@click.command(
    epilog=examples(
        "tail --store my-store",
        "tail --follow --stream my-run --store my-store",
        "tail --follow --type runFailed --store my-store -o jsonl",
    )
)
@click.option("--follow", "-f", "live", is_flag=True, help="Go on with what is appended, until interrupted.")
@click.option("--after", type=click.IntRange(min=0), help="Begin after this position of the whole log; 0: with all.")
@click.option(
    "--last", "-n", type=click.IntRange(min=0), help=f"Begin with the last so many; {_LAST} if nothing is said."
)
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only events of this type; repeatable.")
@click.option("--stream", "streams", multiple=True, metavar="STREAM", help="Only of this stream or run; repeatable.")
@store_option
@format_option
def tail(
    live: bool,
    after: int | None,
    last: int | None,
    types: tuple[str, ...],
    streams: tuple[str, ...],
    address: str,
    format: Format,
) -> None:
    """Show the newest events of the whole log, in its order.

    With --follow, and what comes, whichever process appends it. Who keeps the position of the last event that is dealt
    with goes on there with --after, and misses nothing.
    """
    import msgspec

    from projections.run_files import event_json

    if after is not None and last is not None:
        raise click.UsageError("Give one of --after and --last.")
    if live and format == "json":
        raise click.UsageError("With --follow there is no end to put into one document: use -o jsonl.")
    wanted = types or None, streams or None
    with suppress(KeyboardInterrupt), existing(address) as store:
        begin = _before_the_last(store, _LAST if last is None else last, *wanted) if after is None else after
        with store.follow(after=begin, types=wanted[0], streams=wanted[1]) as follower:
            found = follower if live else _there(follower)
            if format == "text":
                for event in found:
                    click.echo(_line(event))
            else:
                print_rows((msgspec.Raw(event_json(event)) for event in found), format)


def _before_the_last(store: Store, count: int, types: tuple[str, ...] | None, streams: tuple[str, ...] | None) -> int:
    """The position after which there are so many events."""
    position = store.log.head()
    if count:
        for event in store.log.read_all(backward=True, types=types, streams=streams, limit=count):
            position = event.position - 1
    return position


def _there(follower: Follower) -> Iterator[RecordedEvent]:
    while (event := follower.next(timeout=0)) is not None:
        yield event


def _line(event: RecordedEvent) -> str:
    data = short(event.data[:_SHOWN].decode(errors="replace"))
    return f"{event.position}  {moment(event.time)}  {safe(event.stream)}  {safe(event.type)}  {data}"
