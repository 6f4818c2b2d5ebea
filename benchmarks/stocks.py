"""Stores that hold something: many runs of two tasks each, and among them a few runs of many completed tasks.

They are filled once for each medium and size, without flushes and without views, which are made at the end. Stores of
files say then that they have the folders of their runs, and have not: no question reads them, and to write 100,000 of
them would take longer than all the rest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from benchmarks.bench import Bench
from benchmarks.payload import OUTPUT
from benchmarks.rows import Medium
from eventstore.blobs import MemoryBlobs
from eventstore.codec import Codec
from eventstore.disk import Disk
from eventstore.events import (
    RunCompleted,
    RunCreated,
    RunEvent,
    RunFailed,
    RunStarted,
    RunUpdated,
    TaskRunCompleted,
    TaskRunScheduled,
    TaskRunStarted,
)
from eventstore.failure import Failure
from eventstore.jsonl import JsonlLog
from eventstore.log import Append
from eventstore.payload import Values
from projections import open_store
from projections.following_views import FollowingViews

EVENTS_OF_RUN = 10
"""What stands in each of the many runs."""
WORKFLOWS = 10
AT_ONCE = 1_000

NO_FOLDERS_DUE = "INSERT INTO checkpoints SELECT 'folders', position, '' FROM checkpoints WHERE name = 'views'"

Thing = TypeVar("Thing")

_codec = Codec()
_output = Values(MemoryBlobs()).keep(OUTPUT)


def stock(bench: Bench, medium: Medium, events: int) -> str:
    """The address of a store of so many events, besides those of the runs of many tasks. Made when first asked for."""
    if (medium, events) not in bench.stocks:
        address = bench.address(medium)
        fill(bench, address, events, bench.scale.nodes)
        bench.stocks[medium, events] = address
    return bench.stocks[medium, events]


def fill(bench: Bench, address: str, events: int, nodes: tuple[int, ...] = ()) -> None:
    """Put it all into a new store, and make its views."""
    with bench.log_at(address, durability="none") as log:
        for number in nodes:
            for some in batched(large_run(number), AT_ONCE):
                log.append([Append(name_of(number), list(map(_codec.encode, some)))])
        for numbers in batched(range(events // EVENTS_OF_RUN), AT_ONCE // EVENTS_OF_RUN):
            log.append([Append(f"run-{number}", list(map(_codec.encode, small_run(number)))) for number in numbers])
    if address.startswith("jsonl:"):
        path = Path(address.removeprefix("jsonl:"))
        disk = Disk(path)
        with closing(JsonlLog(path, durability="none", disk=disk)) as log:
            FollowingViews(disk.database("_views.db"), log, _codec).close()
        with closing(sqlite3.connect(path / "_views.db")) as views, views:
            views.execute(NO_FOLDERS_DUE)
    else:
        open_store(address).close()


def name_of(nodes: int) -> str:
    """The run of so many completed tasks."""
    return f"nodes-{nodes}"


def small_run(number: int) -> Iterator[RunEvent]:
    """One of the many: a tenth of them of each workflow, and every eighth has failed."""
    yield RunCreated(f"nightly-{number % WORKFLOWS}")
    yield RunStarted("worker")
    yield RunUpdated(msgspec.Raw(b'{"region":"eu-%d"}' % (number % 3)))
    for task in ("fetch", "report"):
        yield TaskRunScheduled(task)
        yield TaskRunStarted(task, 1, "worker")
        yield TaskRunCompleted(task, 1, _output)
    yield RunCompleted() if number % 8 else RunFailed(Failure(type="TimeoutError", message="no answer in 30 s"))


def large_run(nodes: int) -> Iterator[RunEvent]:
    """Of a chain of tasks, all completed, in a run that goes on."""
    yield RunCreated("large")
    yield RunStarted("worker")
    for number in range(nodes):
        yield TaskRunScheduled(f"task-{number}", depends_on=(f"task-{number - 1}",) if number else ())
    for number in range(nodes):
        consumed = {f"task-{number - 1}": _output.digest} if number else {}
        yield TaskRunStarted(f"task-{number}", 1, "worker", consumed)
        yield TaskRunCompleted(f"task-{number}", 1, _output, consumed)


def batched(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    """The same things, so many at a time. Python 3.12 has this."""
    rest = iter(things)
    while some := list(islice(rest, size)):
        yield some
