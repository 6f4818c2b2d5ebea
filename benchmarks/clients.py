"""Other processes that do one thing over and over when they are told to, and say how often they did it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import uuid4

from benchmarks.payload import beginning, completion
from eventstore.log import Append
from projections import open_store


def _nothing() -> None:
    pass


class Client(NamedTuple):
    """What another process does over and over; once at the end, before it looks at the clock; and once after that."""

    do: Callable[[], object]
    finish: Callable[[], object] = _nothing
    settle: Callable[[], object] = _nothing


Opener = Callable[[], AbstractContextManager[Client]]
"""Opens something in the other process, and gives what is to be done with it."""

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["benchmarks.__main__"])


class Clients:
    """So many processes, each with everything opened. They end with this."""

    def __init__(self, number: int, openers: Mapping[str, Opener]) -> None:
        pipes = [processes.Pipe() for _ in range(number)]
        self._pipes = [ours for ours, _ in pipes]
        self._processes = [
            processes.Process(target=_serve, args=(theirs, dict(openers)), daemon=True) for _, theirs in pipes
        ]
        for process in self._processes:
            process.start()
        for _, theirs in pipes:
            theirs.close()
        for pipe in self._pipes:
            pipe.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join()

    def rate(self, name: str, number: int, seconds: float) -> float:
        """How often per second so many of them together do it, when each does it for so many seconds.

        Those who had nothing to do meanwhile first catch up with the others, unmeasured: sixty-four that have missed
        thousands of events were busy with nothing else for as long as they were measured.
        """
        for time_given in (0.0, seconds):
            for pipe in self._pipes[:number]:
                pipe.send((name, time_given))
            rates = [pipe.recv() for pipe in self._pipes[:number]]
        return float(sum(rates))


def _serve(orders: Connection[Any, Any], openers: Mapping[str, Opener]) -> None:
    with ExitStack() as stack:
        ways = {name: stack.enter_context(opener()) for name, opener in openers.items()}
        for client in ways.values():
            client.do()
        orders.send("ready")
        while order := orders.recv():
            name, seconds = order
            client, done, start = ways[name], 0, time.perf_counter()
            while time.perf_counter() - start < seconds:
                client.do()
                done += 1
            client.finish()
            rate = done / (time.perf_counter() - start)
            client.settle()
            orders.send(rate)


@contextmanager
def store_appender(address: str, stream: str | None) -> Iterator[Client]:
    """Appends completions to this stream of a store, which has begun; or to one of its own, which it begins. At the end
    the views show them all, and after that the run folders have them.
    """
    with open_store(address) as store:
        own = stream or uuid4().hex
        if stream is None:
            store.log.append([beginning(own)])
        mine, number = uuid4().int % 1_000_000, 0

        def append() -> None:
            nonlocal number
            number += 1
            store.log.append([Append(own, [completion(mine + number)])])

        yield Client(append, partial(store.get_run, own), store.write_folders)
