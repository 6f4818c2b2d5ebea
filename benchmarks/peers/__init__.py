"""Other systems, one file each, as contenders. Those that are not installed, or do not open, are left out and named.

Each is made as durable as this library, and what it then says of itself is read back. Each gets the same payload.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import NamedTuple

from benchmarks.bench import Bench
from benchmarks.harness import timed
from benchmarks.payload import STREAMS
from benchmarks.rows import Contender, Medium

EVENT_STORES = {
    "eventsource-py": "eventsource_py",
    "eventsourcing": "eventsourcing",
    "pyworkflow-engine": "pyworkflow",
    "stabilize": "stabilize",
}
ENGINES = {
    "langgraph-checkpoint-postgres": "langgraph_postgres",
    "langgraph-checkpoint-sqlite": "langgraph_sqlite",
    "dbos": "dbos",  # last: the indexes of others would wait for its transactions, for seconds
}
"""Files of this folder by the distributions that they need: those that append events, and those that take steps."""

Work = Callable[[], object]


class Peer(NamedTuple):
    """What an open system can do, as far as it can. Whatever is made for a turn is made before the turn's work begins.

    `unlike` says in what its figures cannot be held against the others'.
    """

    settings: str
    appends: Callable[[int, int, int], Work] | None = None
    """So many commits of so many events, to so many streams in turn; at most `STREAMS`."""
    batches: bool = True
    """Whether a commit can have several events."""
    read_stream: Callable[[], int] | None = None
    """Reads all events of the first stream, and says how many they are."""
    read_all: Callable[[], int] | None = None
    """Reads all events, and says how many they are."""
    steps: Callable[[int], Work] | None = None
    """A whole run of so many steps, one after the other, each of which puts something out."""
    size: Callable[[], int] | None = None
    """How many bytes the store has by now."""
    unlike: str = ""


Open = Callable[[Bench], AbstractContextManager[Peer]]


def opened(modules: Mapping[str, str], medium: Medium, bench: Bench, stack: ExitStack) -> Iterator[tuple[str, Peer]]:
    """Those of them that are there for this medium, open until the stack is left."""
    for distribution, module in modules.items():
        try:
            openers: Mapping[Medium, Open] = importlib.import_module(f"benchmarks.peers.{module}").OPENERS
            if medium in openers:
                yield distribution, stack.enter_context(openers[medium](bench))
        except Exception as error:
            bench.leave_out(f"{distribution}, {medium}", error)


def versions() -> dict[str, str]:
    """Which of them are installed, in which version."""
    found = {}
    for distribution in (*ENGINES, *EVENT_STORES):
        try:
            found[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def appending(medium: Medium, of: int, number: int, bench: Bench, stack: ExitStack) -> Iterator[Contender]:
    """Those that can append commits of so many events; the figure is events per second."""
    for name, peer in opened(EVENT_STORES, medium, bench, stack):
        if peer.appends is not None and (of == 1 or peer.batches):
            turn = partial(_rate, partial(peer.appends, number, of, STREAMS), number * of)
            yield Contender(name, turn, "peer", peer.settings, peer.unlike)


def reading(medium: Medium, events: int, everything: bool, bench: Bench, stack: ExitStack) -> Iterator[Contender]:
    """Those that can read so many events, of all streams or of one; the figure is events per second."""
    for name, peer in opened(EVENT_STORES, medium, bench, stack):
        read = peer.read_all if everything else peer.read_stream
        if peer.appends is None or read is None:
            continue
        of = min(events, 100) if peer.batches else 1
        peer.appends(events // of, of, STREAMS if everything else 1)()
        yield Contender(name, partial(_reading_rate, read), "peer", peer.settings, peer.unlike)


def stepping(
    medium: Medium, bench: Bench, stack: ExitStack, turns: Callable[[Peer], Mapping[str, Callable[[], float]]]
) -> Iterator[Contender]:
    """Those of which turns are made, each by what its contender's name ends with."""
    for name, peer in opened(ENGINES, medium, bench, stack):
        for ending, turn in turns(peer).items():
            yield Contender(f"{name}{ending}", turn, "peer", peer.settings, peer.unlike)


def _rate(prepare: Callable[[], Work], events: int) -> float:
    return events / timed(prepare())


def _reading_rate(read: Callable[[], int]) -> float:
    found: list[int] = []
    seconds = timed(lambda: found.append(read()))
    return found[0] / seconds
