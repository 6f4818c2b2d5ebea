"""What a backend's author fills in, and the few words the contract's tests are written in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any, TypeVar

import pytest

from eventstore.log import ANY, Append, Appended, Expect, Hook, Log, NewEvent, RecordedEvent

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds a test waits for what must happen: only a broken log ever uses them up."""


class Opening:
    """How the tests of the contract come by a log."""

    def open_log(self, place: Path, *, hook: Hook | None = None) -> Log:
        """Open the log of this place, a folder of each test's own. Override it.

        The same place means the same log: if the log is persistent, opening it again finds what was appended.
        """
        raise NotImplementedError

    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[Log]:
        """A fresh log, closed after the test."""
        log = self.open_log(tmp_path)
        yield log
        log.close()


def event(data: bytes = b"{}", **fields: Any) -> NewEvent:
    """An event for when it does not matter which; any field can be set, to anything."""
    return NewEvent(**{"type": "noted", "data": data, **fields})


def events(count: int) -> list[NewEvent]:
    """So many different events."""
    return [event(b"%d" % number) for number in range(1, count + 1)]


def write(log: Log, stream: str, count: int = 1, *, expected: int | Expect = ANY) -> Appended:
    """Append so many new events to one stream, as one commit."""
    return log.append([Append(stream, events(count), expected)])


def datas(found: Iterator[RecordedEvent]) -> list[bytes]:
    """What was read, by its data alone."""
    return [each.data for each in found]


@contextmanager
def unchanged(log: Log) -> Iterator[None]:
    """Check that nothing a reader can see of the log is different afterwards."""
    before = (log.head(), list(log.read_all()))
    yield
    assert (log.head(), list(log.read_all())) == before


def in_threads(work: Callable[[int], T], count: int = 8) -> list[T]:
    """Do the work in so many threads that start at the same moment; each is told its number."""
    start = Barrier(count)

    def begin(number: int) -> T:
        start.wait(PATIENCE)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))
