"""What the child processes of these tests do: append events of runs, in a way that shows in the views."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from uuid import UUID, uuid5

import msgspec

from eventstore.codec import Codec
from eventstore.events import RunCreated, RunStarted, TaskRunScheduled, TaskRunSkipped, TaskRunStarted
from eventstore.log import ANY, Append, NewEvent
from eventstore.postgres import PostgresLog
from projections import open_store
from projections.addresses import parse_address
from tests.crash.children import failures_told

SHARED = ("shared/0", "shared/1")
"""Runs that all writers append to."""

_IDS = UUID("01915f2e-2d5b-7c3a-9b57-40d8f4b0c1a2")
_START = datetime(2026, 1, 1, tzinfo=UTC)
_CODEC = Codec()


def attempts_of(writer: str) -> Iterator[list[Append]]:
    """The commits a writer of this name attempts, the same ones whoever asks: 1 to 4 events in each of 1 to 3 runs.

    Its own runs it expects to find as it left them; the shared ones at any version.
    """
    versions = Counter[str]()
    for number in itertools.count():
        choices = random.Random(f"{writer} {number}")
        runs = choices.sample([f"{writer}/a", f"{writer}/b", *SHARED], choices.randint(1, 3))
        commit = []
        for run in runs:
            events = [_event(f"{writer} {number} {run} {place}", choices) for place in range(choices.randint(1, 4))]
            commit.append(Append(run, events, ANY if run in SHARED else versions[run]))
            versions[run] += len(events)
        yield commit


def first_attempts(writer: str, count: int) -> list[list[Append]]:
    return list(itertools.islice(attempts_of(writer), count))


def _event(name: str, choices: random.Random) -> NewEvent:
    task = f"task {choices.randint(1, 3)}"
    event: msgspec.Struct = choices.choice(
        [
            RunCreated("flow", user_message=name),
            RunStarted(worker=name),
            TaskRunScheduled(task, name=name),
            TaskRunStarted(task, attempt=choices.randint(1, 3), worker=name),
            TaskRunSkipped(task, reason=name),
        ]
    )
    return _CODEC.encode(event, id=uuid5(_IDS, name), time=_START + timedelta(seconds=choices.randint(0, 1000)))


def two_runs(number: int) -> list[Append]:
    """A commit of two new runs. All have the same shape, and so make for as many messages."""
    events: list[msgspec.Struct] = [RunCreated("flow"), TaskRunScheduled("a"), TaskRunScheduled("b"), RunStarted("me")]
    return [Append(f"{number}/{run}", [_CODEC.encode(event) for event in events], 0) for run in "ab"]


def append_until_told(test: Connection, address: str, writers: Sequence[str]) -> None:
    """One thread for each writer, which tells of every acknowledged commit, and when that was. They end when the test
    says anything.
    """
    ended = threading.Event()

    def write(writer: str) -> None:
        with failures_told(test):
            for commit in attempts_of(writer):
                if ended.is_set():
                    return
                store.log.append(commit)
                test.send((writer, time.monotonic()))

    with open_store(address) as store, ThreadPoolExecutor(len(writers)) as threads:
        writing = [threads.submit(write, writer) for writer in writers]
        test.recv()
        ended.set()
        for writer in writing:
            writer.result()


def open_and_append(test: Connection, address: str, stream: str) -> None:
    """Open a store, once the test says so, and append to it."""
    test.recv()
    with open_store(address) as store:
        store.log.append([Append(stream, [NewEvent(type="opened", data=b"{}")])])


def open_log(address: str) -> PostgresLog:
    """The log of a store, as a program opens it that has no views."""
    place = parse_address(address)
    return PostgresLog(place.dsn, **place.options)
