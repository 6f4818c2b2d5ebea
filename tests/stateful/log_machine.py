"""A machine that does to a log whatever can be done, in whatever order, and to the memory log the same."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, multiple, rule

from eventstore.disk import Disk
from eventstore.errors import DuplicateEventId, EventStoreError
from eventstore.jsonl import JsonlLog
from eventstore.log import (
    ANY,
    EXISTS,
    PURGES,
    Append,
    Appended,
    Checkpoint,
    Expect,
    Log,
    NewEvent,
    Purged,
    RecordedEvent,
)
from eventstore.memory import MemoryLog
from eventstore.purges import purge_of
from eventstore.testing.restoring import commits_of, told

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
STREAMS = ("a", "b", "c", "é/..")
STREAMS_ELSEWHERE = ("c", "d", "e")
TYPES = ("noted", "ended")
CONSUMERS = ("views", "mail")
DATA = {
    "JSON": b'{"text": "\xe2\x80\xa8"}',
    "JSON in its own spelling": b"[1.0,1e2]\n",
    "bytes": b"\xff\n\0",
    "nothing": b"",
    "much": bytes(700),
}
DIFFERENTLY = ("expecting something else", "in part", "with more", "with other content", "with another one")

Known = Sequence[Append]
Fields = tuple[str, str, bool]

streams = st.sampled_from(STREAMS)
streams_elsewhere = st.sampled_from(STREAMS_ELSEWHERE)
bounds = st.integers(-1, 60)
optional_bounds = st.none() | bounds
limits = st.none() | st.integers(0, 5)
logs = st.integers(0, 1)
fields = st.tuples(st.sampled_from(TYPES), st.sampled_from(list(DATA)), st.booleans())
# How far an expected version is from the true one; None means that there is no stream.
beliefs = st.sampled_from((0, 0, -1, 1, None, ANY, EXISTS))
parts = st.tuples(streams, st.lists(fields, max_size=3), beliefs)
commits_that_succeed = st.lists(
    st.tuples(streams, st.lists(fields, min_size=1, max_size=3)),
    min_size=1,
    max_size=3,
    unique_by=lambda part: part[0],
)
checkpoints = st.none() | st.builds(
    Checkpoint, st.sampled_from(CONSUMERS), st.integers(0, 20), st.none() | st.just(ANY) | st.integers(0, 3)
)


class UnsyncedDisk(Disk):
    """A disk that does not wait for the device: nothing here loses power."""

    def sync(self, file: int) -> None:
        pass

    def sync_directory(self, path: str) -> None:
        pass


class LogMachine(RuleBasedStateMachine):
    commits: Bundle[Known] = Bundle("commits")

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.root = Path(self.folder.name) / "0"
        self.time = BEGINNING
        self.ids = 0
        self.model = MemoryLog(clock=self.clock)
        self.elsewhere = MemoryLog(clock=self.clock)
        self.logs = [self.opened(), self.opened()]

    def clock(self) -> datetime:
        return self.time

    def opened(self) -> Log:
        """The log at `root`, opened once more."""
        raise NotImplementedError

    def places(self, log: int) -> Places:
        """Which position here is which one in the model."""
        return Places({})

    def teardown(self) -> None:
        try:
            for place in range(2):
                self.compare_everything(place)
            self.reopen(0)
            self.compare_everything(0)
            self.compare_copies(self.logs[0])
        finally:
            for log in self.logs:
                log.close()
            self.folder.cleanup()

    def event(self, type: str, data: str, ascending: bool) -> NewEvent:
        """A new event. Ids above all others and ids below them take different ways through the index."""
        self.ids += 1
        id = UUID(int=2**127 + (self.ids if ascending else -self.ids))
        return NewEvent(type=type, data=DATA[data], id=id, time=self.time)

    def expected(self, stream: str, belief: int | Expect | None) -> int | Expect:
        if isinstance(belief, Expect):
            return belief
        return 0 if belief is None else max(self.model.version(stream) + belief, 0)

    def compare(self, log: int, call: Callable[[Log], object]) -> None:
        """Do the same to the log and to the model, and check that it comes to the same."""
        self.time += timedelta(seconds=1)
        expected = outcome(self.model, call)
        found = outcome(self.logs[log], call)
        assert self.places(log).in_model(found) == expected

    @initialize(target=commits, drawn=st.lists(commits_that_succeed, min_size=1, max_size=8))
    def begin(self, drawn: list[list[tuple[str, list[Fields]]]]) -> MultipleResults[Known]:
        return multiple(*(self.appended(place % 2, each) for place, each in enumerate(drawn)))

    @rule(target=commits, log=logs, drawn=commits_that_succeed)
    def append(self, log: int, drawn: list[tuple[str, list[Fields]]]) -> Known:
        return self.appended(log, drawn)

    def appended(self, log: int, drawn: list[tuple[str, list[Fields]]]) -> Known:
        commit = [
            Append(stream, [self.event(*each) for each in drawn_events], self.model.version(stream))
            for stream, drawn_events in drawn
        ]
        self.compare(log, lambda log: log.append(commit))
        return commit

    @rule(target=commits, log=logs, drawn=st.lists(parts, min_size=1, max_size=3), checkpoint=checkpoints)
    def append_in_any_way(
        self,
        log: int,
        drawn: list[tuple[str, list[Fields], int | Expect | None]],
        checkpoint: Checkpoint | None,
    ) -> Known:
        commit = [
            Append(stream, [self.event(*each) for each in drawn_events], self.expected(stream, belief))
            for stream, drawn_events, belief in drawn
        ]
        self.compare(log, lambda log: log.append(commit, checkpoint=checkpoint))
        return commit

    @rule(log=logs, commit=commits, checkpoint=checkpoints, later=st.booleans())
    def repeat(self, log: int, commit: Known, checkpoint: Checkpoint | None, later: bool) -> None:
        if later:
            commit = changed(commit, lambda event: msgspec.structs.replace(event, time=self.time))
        self.compare(log, lambda log: log.append(commit, checkpoint=checkpoint))

    @rule(log=logs, commit=commits, another=commits, how=st.sampled_from(DIFFERENTLY), drawn=fields)
    def repeat_differently(self, log: int, commit: Known, another: Known, how: str, drawn: Fields) -> None:
        """Only one that expects something else is a repetition; the others are conflicts, unless part is the whole."""
        first, *rest = commit
        different = {
            "expecting something else": [Append(first.stream, first.events, EXISTS), *rest],
            "in part": [Append(first.stream, first.events[:1])],
            "with more": [*commit, Append(first.stream, [self.event(*drawn)])],
            "with other content": changed(commit, lambda event: msgspec.structs.replace(event, schema=2)),
            "with another one": [Append(entry.stream, entry.events) for entry in (*commit, *another)],
        }
        self.compare(log, lambda log: log.append(different[how]))

    @rule(log=logs, checkpoint=checkpoints)
    def move_a_checkpoint(self, log: int, checkpoint: Checkpoint | None) -> None:
        self.compare(log, lambda log: log.append([], checkpoint=checkpoint))

    @rule(log=logs, stream=streams, after=bounds, until=optional_bounds, backward=st.booleans(), limit=limits)
    def read(self, log: int, stream: str, after: int, until: int | None, backward: bool, limit: int | None) -> None:
        self.compare(log, lambda log: list(log.read(stream, after=after, until=until, backward=backward, limit=limit)))

    @rule(
        log=logs,
        after=bounds,
        until=optional_bounds,
        backward=st.booleans(),
        limit=limits,
        types=st.none() | st.sets(st.sampled_from(TYPES)),
        wanted=st.none() | st.sets(streams),
    )
    def read_all(
        self,
        log: int,
        after: int,
        until: int | None,
        backward: bool,
        limit: int | None,
        types: set[str] | None,
        wanted: set[str] | None,
    ) -> None:
        def look(log: Log) -> list[RecordedEvent]:
            bounds = places if log is not self.model else Places({})
            here, there = bounds.here(after), None if until is None else bounds.here(until)
            return list(
                log.read_all(after=here, until=there, backward=backward, limit=limit, types=types, streams=wanted)
            )

        places = self.places(log)
        self.compare(log, look)

    @rule(log=logs, stream=streams, belief=st.sampled_from((0, ANY, EXISTS, 1)))
    def purge(self, log: int, stream: str, belief: int | Expect) -> None:
        expected = self.expected(stream, belief)
        self.compare(log, lambda log: log.purge(stream, expected=expected))

    @rule(drawn=st.lists(st.tuples(streams_elsewhere, st.lists(fields, min_size=1, max_size=3)), min_size=1))
    def append_elsewhere(self, drawn: list[tuple[str, list[Fields]]]) -> None:
        self.time += timedelta(seconds=1)
        self.elsewhere.append([Append(stream, [self.event(*each) for each in events]) for stream, events in drawn])

    @rule(stream=streams_elsewhere)
    def purge_elsewhere(self, stream: str) -> None:
        self.time += timedelta(seconds=1)
        self.elsewhere.purge(stream)

    @rule(log=logs, first=st.sampled_from((0, 0, 0, 1, 3)), count=st.integers(0, 10), checkpoint=checkpoints)
    def restore(self, log: int, first: int, count: int, checkpoint: Checkpoint | None) -> None:
        commits = commits_of(self.elsewhere)[first : first + count]
        self.compare(log, lambda log: log.restore(commits, checkpoint=checkpoint))

    @rule(log=logs)
    def reopen(self, log: int) -> None:
        self.logs[log].close()
        self.logs[log] = self.opened()

    @rule(log=logs)
    def look_at_everything(self, log: int) -> None:
        self.compare_everything(log)

    def compare_everything(self, log: int) -> None:
        places = self.places(log)
        assert places.of(self.logs[log].head()) == self.model.head()
        for look in LOOKS:
            assert places.in_model(outcome(self.logs[log], look)) == outcome(self.model, look)

    def compare_copies(self, log: Log) -> None:
        """A copy of all there is says the same, and takes nothing more."""
        with contextlib.closing(JsonlLog(self.root / "copy", disk=UnsyncedDisk(self.root / "copy"))) as files:
            for copy in (MemoryLog(), files):
                copy.restore(commits_of(log))
                assert copy.restore(commits_of(log)) == 0
                assert list(map(told, copy.read_all())) == list(map(told, log.read_all()))


class Places:
    """Which position of a log is which one of the model, for all events that both have. Without any, all are equal.

    Of a commit both must say by how many positions an event is behind its first.
    """

    def __init__(self, model: Mapping[int, int]) -> None:
        self._model = model

    def of(self, position: int) -> int:
        return self._model.get(position, position)

    def here(self, bound: int) -> int:
        """The position up to which there are as many events here as in the model up to this one."""
        return (
            max((here for here, there in self._model.items() if there <= bound), default=min(bound, 0))
            if self._model
            else bound
        )

    def in_model(self, found: object) -> object:
        if not self._model:
            return found
        if isinstance(found, RecordedEvent):
            position = self.of(found.position)
            return msgspec.structs.replace(found, position=position, commit=position - (found.position - found.commit))
        if isinstance(found, Appended):
            return msgspec.structs.replace(found, events=self.in_model(found.events))
        if isinstance(found, (list, tuple)):
            if found[:1] == (DuplicateEventId,):
                kind, (id, position) = found
                return kind, (id, self.of(position))
            return type(found)(self.in_model(each) for each in found)
        return found


LOOKS: tuple[Callable[[Log], object], ...] = (
    lambda log: list(log.read_all()),
    lambda log: list(log.read_all(backward=True)),
    lambda log: [(log.version(stream), list(log.read(stream))) for stream in (*STREAMS, *STREAMS_ELSEWHERE, PURGES)],
    lambda log: [log.checkpoint(name) for name in CONSUMERS],
    lambda log: log.checkpoints(),
)


def outcome(log: Log, call: Callable[[Log], object]) -> object:
    """What a call returns or raises, in a form that can be compared."""
    try:
        return comparable(call(log))
    except EventStoreError as error:
        return type(error), error.args


def comparable(found: object) -> object:
    """The same without what each log makes up for itself: the ids and times of its records of purges, and where what
    was removed had been.
    """
    if isinstance(found, Purged):
        return msgspec.structs.replace(found, last_position=0)
    if isinstance(found, RecordedEvent) and found.stream == PURGES:
        data = msgspec.json.encode(comparable(purge_of(found)))
        return msgspec.structs.replace(found, id=UUID(int=0), time=BEGINNING, hash="", data=data)
    if isinstance(found, (list, tuple)):
        return [comparable(each) for each in found]
    return found


def changed(commit: Known, change: Callable[[NewEvent], NewEvent]) -> Known:
    """The commit with every event changed in the same way."""
    return [Append(entry.stream, [change(event) for event in entry.events], entry.expected) for entry in commit]
