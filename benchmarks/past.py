"""What it takes to look at the end of a long run, the first time and again, when its last fold was kept as a snapshot.

The run's tasks are run again and again, or its lease is renewed, until it has so many events. Each question is asked by
a store that has just been opened. The figures are seconds, the packing of the rows being part of the first ones, and
the bytes of the snapshot and of the events' data.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import count, islice
from pathlib import Path

import click
import msgspec

from eventstore.codec import Codec
from eventstore.events import (
    RunCreated,
    RunLeaseRenewed,
    RunStarted,
    TaskRunCompleted,
    TaskRunScheduled,
    TaskRunStarted,
)
from eventstore.log import Append, Log, NewEvent, now
from eventstore.payload import Value
from projections import open_store
from projections.fold import Fold
from projections.snapshot import encoded, packed

SHAPES = ("tasks", "attempts", "leases")
_AT_ONCE = 1_000
_OUTPUT = Value("ab" * 32, 21, json=msgspec.Raw(b'{"rows":1024,"ms":187}'))


def events(shape: str) -> Iterator[msgspec.Struct]:
    """The events of such a run, without an end: new tasks, few tasks with ever more attempts, or a lease renewed."""
    yield RunCreated("flow", "a long run")
    yield RunStarted("worker", 1)
    for number in count():
        if shape == "leases":
            yield RunLeaseRenewed(1, now() + timedelta(seconds=60))
            continue
        task, attempt = (f"task {number}", 1) if shape == "tasks" else (f"task {number % 1_000}", 1 + number // 1_000)
        if attempt == 1:
            yield TaskRunScheduled(task, task)
        yield TaskRunStarted(task, attempt, "worker", {}, 1)
        yield TaskRunCompleted(task, attempt, _OUTPUT, {}, {"tokens": number})


def fill(log: Log, shape: str, number: int) -> int:
    """Append so many events as one run, and say how many bytes of data they have."""
    codec, size, rest = Codec(), 0, islice(events(shape), number)
    while batch := [codec.encode(event) for event in islice(rest, _AT_ONCE)]:
        size += _size(batch)
        log.append([Append("run", batch)])
    return size


def _size(batch: list[NewEvent]) -> int:
    return sum(len(event.data) for event in batch)


def look(address: str) -> tuple[float, Fold]:
    """The seconds it takes to fold the run at its end."""
    with open_store(address, durability="none") as store:
        begun = time.perf_counter()
        fold = store.as_of("run")
        return time.perf_counter() - begun, fold


@click.command(help=__doc__)
@click.option("--events", "number", default=1_000_000, show_default=True, help="How many events the run has.")
@click.option("--shape", "shapes", multiple=True, default=SHAPES, show_default=True, type=click.Choice(SHAPES))
def main(number: int, shapes: tuple[str, ...]) -> None:
    heads = f"{'rows':>10}{'first':>10}{'packing':>9}{'again':>9}{'snapshot':>12}{'data':>12}"
    click.echo(f"{number:,} events\n\n{'shape':<10}{'store':<8}{heads}")
    for shape in shapes:
        for scheme in ("sqlite", "jsonl"):
            with tempfile.TemporaryDirectory() as folder:
                address = f"{scheme}:{Path(folder) / 'store'}"
                with closing(open_store(address, durability="none")) as store:
                    size = fill(store.log, shape, number)
                first, fold = look(address)
                again, same = look(address)
                assert encoded(same) == encoded(fold)
                begun = time.perf_counter()
                kept = packed(fold)
                row = f"{fold.size:>10,}{first:>8.2f} s{time.perf_counter() - begun:>7.2f} s{again:>7.2f} s"
                row += f"{len(kept):>12,}{size:>12,}"
                click.echo(f"{shape:<10}{scheme:<8}{row}")


if __name__ == "__main__":
    main()
