"""What is written: completions of tasks, with about 200 bytes of typed data each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from eventstore.blobs import MemoryBlobs
from eventstore.codec import Codec
from eventstore.events import RunCreated, RunStarted, TaskRunCompleted
from eventstore.log import Append, NewEvent
from eventstore.payload import Values

OUTPUT = {"rows": 1024, "checksum": "8c7dd922ad47494fc02c388e12c00eac", "part": "2026-01-31"}
STREAMS = 20
"""Runs that are written to in turn."""

_codec, _values = Codec(), Values(MemoryBlobs())


def completion(task: int) -> NewEvent:
    """A task has completed."""
    return _codec.encode(TaskRunCompleted(f"task-{task}", 1, _values.keep(OUTPUT)))


DATA = completion(1_000).data


def beginning(run: str) -> Append:
    """Creates and starts a run."""
    return Append(run, [_codec.encode(RunCreated("nightly")), _codec.encode(RunStarted("worker"))])


def beginnings() -> list[Append]:
    """The commit that begins the runs to which completions are appended."""
    return [beginning(f"run-{run}") for run in range(STREAMS)]


class Commits:
    """Commits that nobody has made yet: each of new tasks of one run, and the runs in turn."""

    def __init__(self, runs: int = STREAMS) -> None:
        self._tasks, self._runs, self._number = count(), runs, count()

    def some(self, number: int, *, of: int = 1) -> list[list[Append]]:
        """So many commits of so many events."""
        return [list(self._one(of)) for _ in range(number)]

    def _one(self, of: int) -> Iterator[Append]:
        run = next(self._number) % self._runs
        yield Append(f"run-{run}", [completion(next(self._tasks)) for _ in range(of)])
