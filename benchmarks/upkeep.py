"""What happens around a store: views made again, a store opened after its program was killed, events waited for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from statistics import quantiles
from typing import Any

from benchmarks.appends import append_all
from benchmarks.bench import Bench
from benchmarks.clients import processes
from benchmarks.harness import milliseconds, timed
from benchmarks.payload import Commits, beginnings
from benchmarks.rows import MEDIA, Contender, Goal, Medium, Row
from benchmarks.stocks import fill, stock
from projections import Store, open_store

UNFINISHED = 20
"""Appends of a program before it is killed."""
OURS = "rebuild"


@contextmanager
def rebuilding(medium: Medium, bench: Bench) -> Iterator[list[Contender]]:
    """All views of a store made again, beside decoding the data of its events."""
    address = bench.address(medium)
    fill(bench, address, bench.scale.small)
    with bench.opened(address) as store:
        events = list(store.log.read_all())

        def decode() -> None:
            for event in events:
                store.codec.decode(event)

        store.rebuild()
        yield [
            Contender("typed decoding alone", lambda: len(events) / timed(decode), "floor"),
            Contender(OURS, lambda: len(events) / timed(store.rebuild)),
        ]


@contextmanager
def opening(medium: Medium, bench: Bench) -> Iterator[list[Contender]]:
    """A large store opened that was closed, and one whose program was killed between two appends."""
    address = stock(bench, medium, bench.scale.large)

    def after(kill: bool) -> float:
        process = processes.Process(target=_use, args=(address, kill))
        process.start()
        process.join()
        return milliseconds(lambda: open_store(address).close(), 1)

    yield [Contender("after it was closed", partial(after, False)), Contender("after kill -9", partial(after, True))]


def _use(address: str, kill: bool) -> None:
    with open_store(address) as store:
        store.log.append(beginnings())
        append_all(store.log, Commits().some(UNFINISHED))
        if kill:
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def following(medium: Medium, bench: Bench) -> Iterator[list[Contender]]:
    """How long after an append was begun another process has its event; and the append itself."""
    address = bench.address(medium)
    with ExitStack() as stack:
        store = stack.enter_context(bench.opened(address))
        store.log.append(beginnings())
        ours, theirs = processes.Pipe()
        process = processes.Process(target=_follow, args=(address, theirs), daemon=True)
        process.start()
        stack.callback(process.join)
        stack.callback(process.kill)  # it follows for ever
        ours.recv()
        wait = Waiting(store, ours, bench.scale.waits)
        yield [
            Contender("the append itself, p50", lambda: wait.percentile(50, seen=False), "floor"),
            Contender("seen by a follower, p50", lambda: wait.percentile(50, seen=True)),
            Contender("seen by a follower, p99", lambda: wait.percentile(99, seen=True)),
        ]


class Waiting:
    """Appends one event after the other, each when the one before it has been seen."""

    def __init__(self, store: Store, follower: Connection[Any, Any], number: int) -> None:
        self._store, self._follower, self._number, self._commits = store, follower, number, Commits()
        self._appended: list[float] = []
        self._seen: list[float] = []
        self._told: set[tuple[int, bool]] = set()

    def percentile(self, which: int, *, seen: bool) -> float:
        """Milliseconds from the begin of an append until it returned, or its event was seen.

        All that is asked once in a round is told of the same events; who asks again has new ones appended.
        """
        if (which, seen) in self._told or not self._told:
            self._wait()
            self._told.clear()
        self._told.add((which, seen))
        return quantiles(self._seen if seen else self._appended, n=100, method="inclusive")[which - 1]

    def _wait(self) -> None:
        self._appended, self._seen = [], []
        for commit in self._commits.some(self._number):
            start = time.monotonic()
            self._store.log.append(commit)
            self._appended.append(1_000 * (time.monotonic() - start))
            self._seen.append(1_000 * (self._follower.recv() - start))


def _follow(address: str, told: Connection[Any, Any]) -> None:
    """Tell when each event was seen; `time.monotonic` is the same for all processes of a machine."""
    with open_store(address) as store, store.follow(after=store.log.head()) as events:
        told.send("ready")
        for _ in events:
            told.send(time.monotonic())


REBUILD: Sequence[Row] = tuple(
    Row(
        name="rebuild of all views",
        medium=medium,
        unit="events/s",
        contenders=partial(rebuilding, medium),
        goals=(Goal(OURS, at_least=0.4, or_figure_at_least=100_000),),
        about="Of 10,000 events in runs of ten, in a full run. In a store of files, the runs' folders included.",
    )
    for medium in MEDIA
)
FOLLOW: Sequence[Row] = tuple(
    Row(
        name="follow latency",
        medium=medium,
        unit="ms",
        contenders=partial(following, medium),
        about="From the begin of an append to when another process has the event, one by one. Views kept.",
    )
    for medium in MEDIA
)
OPEN: Sequence[Row] = tuple(
    Row(name="opening a large store", medium=medium, unit="ms", contenders=partial(opening, medium)) for medium in MEDIA
)
