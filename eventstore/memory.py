"""The reference log: the contract in its plainest form, kept in memory. Tests compare every other log with it."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from itertools import islice
from uuid import UUID

from eventstore.admit import Head, admit, check_expected, readmit
from eventstore.errors import Closed, NameHeld
from eventstore.hold import Hold, worker
from eventstore.hooks import tell
from eventstore.log import ANY, PURGES, Append, Appended, Checkpoint, Expect, Hook, Purged, RecordedEvent, now
from eventstore.purges import purge_event, purge_of
from eventstore.validate import check_bounds, check_name, validate, validate_purge, validate_recorded


class MemoryLog:
    """A log that lives as long as its process, for tests and for trying things out."""

    def __init__(self, *, hook: Hook | None = None, clock: Callable[[], datetime] = now) -> None:
        self._events: list[RecordedEvent] = []
        self._streams: dict[str, list[RecordedEvent]] = {}
        self._commits: dict[UUID, Sequence[RecordedEvent]] = {}
        self._checkpoints: dict[str, int] = {}
        self._holders: dict[str, str] = {}
        self._last_position = 0
        self._changed = threading.Condition()
        self._closed = False
        self.hook, self._clock = hook, clock

    def __repr__(self) -> str:
        return f"<MemoryLog streams={len(self._streams)} head={self._last_position}>"

    def append(self, commit: Sequence[Append], *, checkpoint: Checkpoint | None = None) -> Appended:
        validate(commit, checkpoint)
        with self._open():
            return self._append(commit, checkpoint)

    def _append(self, commit: Sequence[Append], checkpoint: Checkpoint | None = None) -> Appended:
        result = admit(
            commit,
            self._head,
            self._commits.get,
            checkpoint=checkpoint,
            checkpoint_of=self._checkpoints.get,
            first_position=self._last_position + 1,
            recorded_at=self._clock(),
        )
        if result.repeated:
            return result
        self._move(checkpoint)
        self._add(result.events)
        self._tell(result.events)
        return result

    def _move(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None:
            self._checkpoints[checkpoint.name] = checkpoint.position

    def _add(self, commit: Sequence[RecordedEvent]) -> None:
        self._events += commit
        for event in commit:
            self._last_position = event.position
            self._streams.setdefault(event.stream, []).append(event)
            self._commits[event.id] = commit

    def _tell(self, events: Sequence[RecordedEvent]) -> None:
        if events:
            self._changed.notify_all()
            tell(self.hook, events)

    def _head(self, stream: str) -> Head:
        events = self._streams.get(stream)
        return Head(events[-1].version, events[-1].hash) if events else Head()

    def read(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        backward: bool = False,
        limit: int | None = None,
    ) -> Iterator[RecordedEvent]:
        check_name(stream)
        check_bounds(after, until, limit, backward=backward)
        with self._open():
            events = self._streams.get(stream, [])[max(after, 0) : until if until is None else max(until, 0)]
        return islice(reversed(events) if backward else iter(events), limit)

    def read_all(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        backward: bool = False,
        types: Collection[str] | None = None,
        streams: Collection[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[RecordedEvent]:
        check_bounds(after, until, limit, types, streams, backward=backward)
        with self._open():
            first = bisect_right(self._events, after, key=lambda event: event.position)
            last = None if until is None else bisect_right(self._events, until, key=lambda event: event.position)
            events = self._events[first:last]
        ordered = reversed(events) if backward else iter(events)
        found = (event for event in ordered if types is None or event.type in types)
        return islice((event for event in found if streams is None or event.stream in streams), limit)

    def version(self, stream: str) -> int:
        check_name(stream)
        with self._open():
            return self._head(stream).version

    def head(self) -> int:
        with self._open():
            return self._last_position

    def checkpoint(self, name: str) -> int | None:
        check_name(name, "checkpoint name")
        with self._open():
            return self._checkpoints.get(name)

    def checkpoints(self) -> dict[str, int]:
        with self._open():
            return dict(self._checkpoints)

    def wait(self, after: int, timeout: float | None = None) -> bool:
        with self._open():
            self._changed.wait_for(lambda: self._last_position > after or self._closed, timeout)
            self._check_open()
            return self._last_position > after

    def hold(self, name: str) -> Hold:
        check_name(name)
        with self._open():
            if name in self._holders:
                raise NameHeld(name, self._holders[name])
            self._holders[name] = worker()
        return Hold(name, lambda: self._holders.__delitem__(name))

    def holder(self, name: str) -> str | None:
        check_name(name)
        with self._open():
            return self._holders.get(name)

    def purge(self, stream: str, *, expected: int | Expect = ANY, meta: Mapping[str, str] | None = None) -> Purged:
        validate_purge(stream, expected, meta)
        with self._open():
            check_expected(iter([(stream, expected, self._head(stream).version)]))
            gone = self._streams.get(stream, [])
            if not gone:
                return Purged(stream, 0)
            purged = Purged(stream, len(gone), gone[-1].version, gone[-1].position, gone[-1].hash)
            self._forget(stream)
            self._append([Append(PURGES, [purge_event(purged, meta)])])
            return purged

    def purging(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _forget(self, stream: str) -> None:
        self._events = [event for event in self._events if event.stream != stream]
        for event in self._streams.pop(stream, []):
            rest = tuple(other for other in self._commits.pop(event.id) if other.stream != stream)
            self._commits |= {other.id: rest for other in rest}

    def restore(self, commits: Sequence[Sequence[RecordedEvent]], *, checkpoint: Checkpoint | None = None) -> int:
        validate_recorded(commits, checkpoint)
        with self._open():
            new = readmit(
                commits,
                self._head,
                self._commits.get,
                checkpoint=checkpoint,
                checkpoint_of=self._checkpoints.get,
                first_position=self._last_position + 1,
            )
            self._move(checkpoint)
            for commit in new:
                self._add(commit)
                for event in commit:
                    if event.stream == PURGES:
                        self._forget(purge_of(event).stream)
            events = [event for commit in new for event in commit]
            self._tell(events)
            return len(events)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._changed:
            self._check_open()
            yield

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("memory log")
