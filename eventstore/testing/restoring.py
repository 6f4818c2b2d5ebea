"""Restoring: commits of another log, appended as they were recorded there. The other log is the memory log here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from eventstore.errors import CheckpointConflict, Conflict, DuplicateEventId, InvalidInput, TooLarge
from eventstore.log import PURGES, Append, Checkpoint, Log, NewEvent, RecordedEvent, new_id
from eventstore.memory import MemoryLog
from eventstore.testing.living import Told
from eventstore.testing.opening import Opening, datas, event, events, in_threads, unchanged, write

Commits = list[list[RecordedEvent]]

BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, 789_012, UTC)

CHANGES: dict[str, dict[str, Any]] = {
    "id": {"id": UUID(int=7)},
    "type": {"type": "other"},
    "schema": {"schema": 2},
    "time": {"time": LONG_AGO},
    "data": {"data": b"[]"},
    "meta": {"meta": {"actor": "eve"}},
    "content type": {"content_type": "text/plain"},
    "stream": {"stream": "b"},
    "hash": {"hash": "0" * 64},
}
IMPOSSIBLE: dict[str, Callable[[RecordedEvent], Any]] = {
    "an iterator": lambda e: iter([[e]]),
    "a commit by itself": lambda e: [e],
    "an event by itself": lambda e: e,
    "an iterator for a commit": lambda e: [iter([e])],
    "a commit without events": lambda e: [[e], []],
    "a new event": lambda e: [[event()]],
    "one event twice in a commit": lambda e: [[e, e]],
    "two times of recording in a commit": lambda e: [[e, _changed(e, id=new_id(), recorded_at=BEFORE)]],
    "a time of recording without a zone": lambda e: [[_changed(e, recorded_at=datetime(2026, 1, 1))]],
    "a time of recording that is text": lambda e: [[_changed(e, recorded_at="2026-01-01T00:00:00Z")]],
    "version zero": lambda e: [[_changed(e, version=0)]],
    "a version that is text": lambda e: [[_changed(e, version="1")]],
    "a hash that is bytes": lambda e: [[_changed(e, hash=b"")]],
    "a stream without a name": lambda e: [[_changed(e, stream="")]],
    "a type that is a number": lambda e: [[_changed(e, type=1)]],
    "data that is text": lambda e: [[_changed(e, data="{}")]],
    "a time without a zone": lambda e: [[_changed(e, time=datetime(2026, 1, 1))]],
    "meta that is not text": lambda e: [[_changed(e, meta={"attempt": 1})]],
    "an id that is text": lambda e: [[_changed(e, id=str(e.id))]],
    "a record of a purge that is none": lambda e: [[_changed(e, stream=PURGES)]],
    "a record of a purge without its data": lambda e: [[_changed(e, stream=PURGES, type="streamPurged", data=b"{}")]],
}


def commits_of(log: Log, *, after: int = 0) -> Commits:
    """A log's commits, in the form in which another one takes them."""
    return [list(commit) for _, commit in groupby(log.read_all(after=after), key=attrgetter("commit"))]


def told(event: RecordedEvent) -> RecordedEvent:
    """The event without what each log says of it by itself: where it stands."""
    return msgspec.structs.replace(event, position=0, commit=0)


def with_events(log: MemoryLog, *streams: str) -> MemoryLog:
    """The log, with an event more in each of these streams, and each a commit of its own."""
    for stream in streams:
        write(log, stream)
    return log


def _changed(event: RecordedEvent, **fields: Any) -> RecordedEvent:
    return msgspec.structs.replace(event, **fields)


class Restored(Opening):
    """How these tests come by what they restore."""

    @pytest.fixture
    def source(self) -> MemoryLog:
        """The log whose commits are restored. Its clock is not this one's."""
        times = iter(LONG_AGO + timedelta(days=day) for day in range(1_000_000))
        return MemoryLog(clock=lambda: next(times))

    def refuses_to_restore(self, log: Log, commits: Any, error: type[Exception] | tuple[type[Exception], ...]) -> None:
        """Check that nothing of this is taken, not what would fit nor the checkpoint, and everything afterwards."""
        first = commits_of(with_events(MemoryLog(), str(new_id())))
        checkpoints = log.checkpoints()
        if isinstance(commits, list):
            commits = [*first, *commits]
        with unchanged(log), pytest.raises(error):
            log.restore(commits, checkpoint=Checkpoint("copy", 1))
        assert log.checkpoints() == checkpoints
        assert log.restore(first, checkpoint=Checkpoint("copy", 1)) == 1


class Restoring(Restored):
    """A restored event is the event itself, at another place."""

    def test_a_restored_log_has_the_same_events(self, log: Log, source: MemoryLog) -> None:
        for number in range(5):
            source.append([Append("a", events(2)), Append(f"s-{number}", events(1)), Append("a", events(1))])

        assert log.restore(commits_of(source)) == 20

        assert list(map(told, log.read_all())) == list(map(told, source.read_all()))
        assert list(map(told, log.read("a"))) == list(map(told, source.read("a")))
        assert (log.version("a"), log.version("s-4")) == (15, 1)

    def test_all_an_event_says_is_kept(self, log: Log, source: MemoryLog) -> None:
        given = NewEvent(
            type="taskStarted",
            data=b"\xff\n\0",
            id=UUID("00112233-4455-6677-8899-aabbccddeeff"),
            schema=7,
            time=datetime(1999, 1, 2, 3, 4, 5, 6, UTC),
            meta={"b": "ü\n", "a": ""},
            content_type="application/cbor",
        )
        source.append([Append("é/..", [given, event(b"[1.0,1e2]"), event(b"")])])
        write(log, "before")

        log.restore(commits_of(source))

        assert [told(e) for e in log.read("é/..")] == [told(e) for e in source.read("é/..")]
        found = next(log.read("é/.."))
        assert (found.id, found.time, found.recorded_at) == (given.id, given.time, LONG_AGO)
        assert list(found.meta) == ["b", "a"]

    def test_times_of_another_zone_are_the_same_times(self, log: Log, source: MemoryLog) -> None:
        (only,) = with_events(source, "a").read("a")
        zone = timezone(timedelta(hours=5, minutes=45))
        moved = _changed(only, time=only.time.astimezone(zone), recorded_at=only.recorded_at.astimezone(zone))

        assert log.restore([[moved]]) == 1
        assert log.restore([[moved]]) == log.restore([[only]]) == 0

        (found,) = log.read("a")
        assert (told(found), found.time.utcoffset(), found.recorded_at.utcoffset()) == (told(only), *2 * [timedelta(0)])

    def test_positions_are_this_logs_own(self, log: Log, source: MemoryLog) -> None:
        head = write(log, "here", 3).events[-1].position
        for _ in range(2):
            source.append([Append("a", events(2)), Append("b", events(1))])

        log.restore(commits_of(source))

        found = list(log.read_all(after=head))
        assert len(found) == 6
        assert [e.position for e in found[:3]] == [found[0].position + place for place in range(3)]
        assert [e.commit for e in found] == 3 * [found[0].position] + 3 * [found[3].position]
        assert head < found[0].position < found[3].position < log.head() == found[5].position

    def test_nothing_to_restore_changes_nothing(self, log: Log) -> None:
        with unchanged(log):
            assert log.restore([]) == 0

    def test_what_is_here_already_is_passed_over(self, log: Log, source: MemoryLog) -> None:
        for _ in range(3):
            source.append([Append("a", events(2)), Append("b", events(1))])
        commits = commits_of(source)

        assert log.restore(commits[:2]) == 6
        with unchanged(log):
            assert log.restore(commits[:2]) == log.restore(commits[1:2]) == 0
        assert log.restore(commits) == 3
        assert log.restore([commits[2], *commits]) == 0
        assert list(map(told, log.read_all())) == list(map(told, source.read_all()))

    def test_a_commit_twice_in_one_call_is_restored_once(self, log: Log, source: MemoryLog) -> None:
        commits = commits_of(with_events(source, "a", "b"))
        assert log.restore([*commits, *commits]) == 2
        assert list(map(told, log.read_all())) == list(map(told, source.read_all()))

    def test_events_can_be_appended_behind_restored_ones(self, log: Log, source: MemoryLog) -> None:
        log.restore(commits_of(with_events(source, "a", "a")))

        appended = write(log, "a", expected=2)

        (found,) = appended.events
        assert (found.version, found.position, found.commit) == (3, log.head(), log.head())
        source.restore([[found]])
        assert source.version("a") == 3

    def test_restored_events_continue_what_was_restored_before(self, log: Log, source: MemoryLog) -> None:
        for _ in range(5):
            after = source.head()
            write(source, "a", 2)
            source.append([Append("a", events(1)), Append("b", events(1))])
            assert log.restore(commits_of(source, after=after)) == 4
            write(log, "own")
        assert [told(e) for e in log.read_all() if e.stream != "own"] == [told(e) for e in source.read_all()]

    def test_appending_the_same_events_again_is_a_repetition(self, log: Log, source: MemoryLog) -> None:
        """Who does not know what became of a commit may find out from a copy."""
        commit = [Append("a", events(2), 0), Append("b", events(1), 0)]
        source.append(commit)
        log.restore(commits_of(source))
        with unchanged(log):
            assert log.append(commit).repeated
        with unchanged(log), pytest.raises(DuplicateEventId):
            log.append(commit[:1])

    def test_a_copy_of_many_commits_is_whole_and_in_order(self, log: Log, source: MemoryLog) -> None:
        for number in range(1_000):
            source.append([Append(f"s-{number % 7}", [event(b"%d" % number)]), Append("all", events(2))])
        assert log.restore(commits_of(source)) == 3_000
        assert list(map(told, log.read_all())) == list(map(told, source.read_all()))
        assert datas(log.read("s-3", limit=2)) == [b"3", b"10"]

    def test_a_stream_that_is_elsewhere_here_is_refused(self, log: Log, source: MemoryLog) -> None:
        for _ in range(3):
            write(source, "a")
        one, two, three = commits_of(source)
        self.refuses_to_restore(log, [two], Conflict)
        log.restore([one])
        self.refuses_to_restore(log, [three], Conflict)
        log.restore([two])
        write(log, "a")
        self.refuses_to_restore(log, [three], Conflict)

    def test_a_stream_that_says_something_else_here_is_refused(self, log: Log, source: MemoryLog) -> None:
        write(source, "a", 2)
        commits = commits_of(source)
        write(log, "a")
        self.refuses_to_restore(log, commits, Conflict)
        write(log, "a")
        write(source, "a")
        self.refuses_to_restore(log, commits_of(source, after=source.head() - 1), Conflict)

    def test_the_conflict_says_what_is_wrong_and_what_to_do(self, log: Log, source: MemoryLog) -> None:
        write(source, "a", 2)
        (one, two) = source.read("a")
        with pytest.raises(Conflict, match=r"version 2 of stream 'a' .* at version 0") as caught:
            log.restore([[two]])
        assert caught.value.hint
        with pytest.raises(Conflict, match="hash of version 1 of stream 'a'") as caught:
            log.restore([[_changed(one, data=b"[]")]])
        assert caught.value.hint

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_a_changed_event_is_refused_whether_it_is_here_or_not(
        self, log: Log, source: MemoryLog, change: dict[str, Any]
    ) -> None:
        (only,) = with_events(source, "a").read("a")
        self.refuses_to_restore(log, [[_changed(only, **change)]], Conflict)
        log.restore([[only]])
        self.refuses_to_restore(log, [[_changed(only, **change)]], Conflict)

    def test_other_events_under_the_same_ids_are_refused(self, log: Log, source: MemoryLog) -> None:
        """Even the same, but recorded at another time: one of the two logs would have to forget when it was."""
        ours = event(time=LONG_AGO)
        there = log.append([Append("b", [event()]), Append("a", [ours])]).events[1]
        source.append([Append("a", [ours])])
        with unchanged(log), pytest.raises(DuplicateEventId) as caught:
            log.restore(commits_of(source))
        assert (caught.value.event_id, caught.value.position) == (str(ours.id), there.position)

    def test_part_of_a_commit_being_here_is_refused(self, log: Log, source: MemoryLog) -> None:
        write(source, "a", 3)
        ((one, two, three),) = commits_of(source)
        log.restore([[one], [two]])
        self.refuses_to_restore(log, [[one, two, three]], DuplicateEventId)
        self.refuses_to_restore(log, [[two, three]], DuplicateEventId)
        self.refuses_to_restore(log, [[one, two]], DuplicateEventId)

    @pytest.mark.parametrize("wrong", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
    def test_what_no_log_can_have_recorded_is_refused(
        self, log: Log, source: MemoryLog, wrong: Callable[[RecordedEvent], Any]
    ) -> None:
        (only,) = with_events(source, "a").read("a")
        self.refuses_to_restore(log, wrong(only), (InvalidInput, TooLarge))

    def test_a_checkpoint_is_stored_with_what_is_restored(self, log: Log, source: MemoryLog) -> None:
        commits = commits_of(with_events(source, "a", "b", "c"))
        assert log.restore(commits[:2], checkpoint=Checkpoint("copy", 2, None)) == 2
        assert log.checkpoints() == {"copy": 2}
        assert log.restore(commits[1:], checkpoint=Checkpoint("copy", 3, 2)) == 1
        assert log.checkpoints() == {"copy": 3}

    def test_a_checkpoint_is_stored_though_nothing_is_new(self, log: Log, source: MemoryLog) -> None:
        commits = commits_of(with_events(source, "a"))
        log.restore(commits)
        with unchanged(log):
            assert log.restore(commits, checkpoint=Checkpoint("copy", 1)) == 0
            assert log.restore([], checkpoint=Checkpoint("views", 2)) == 0
        assert log.checkpoints() == {"copy": 1, "views": 2}

    @pytest.mark.parametrize("previous", [None, 0, 2])
    def test_a_checkpoint_that_is_elsewhere_refuses_all(
        self, log: Log, source: MemoryLog, previous: int | None
    ) -> None:
        commits = commits_of(with_events(source, "a", "b"))
        log.restore(commits[:1], checkpoint=Checkpoint("copy", 1))
        for part in (commits, commits[:1], []):
            with unchanged(log), pytest.raises(CheckpointConflict):
                log.restore(part, checkpoint=Checkpoint("copy", 3, previous))
        assert log.checkpoints() == {"copy": 1}

    def test_an_impossible_checkpoint_refuses_all(self, log: Log, source: MemoryLog) -> None:
        commits = commits_of(with_events(source, "a"))
        with unchanged(log), pytest.raises(InvalidInput):
            log.restore(commits, checkpoint=Checkpoint("copy", -1))

    def test_the_hook_is_told_of_what_is_new(self, tmp_path: Path, source: MemoryLog) -> None:
        commits = commits_of(with_events(source, "a", "b", "c"))
        hook = Told()
        with contextlib.closing(self.open_log(tmp_path, hook=hook)) as log:
            hook.log = log
            log.restore(commits[:2])
            log.restore(commits[:1], checkpoint=Checkpoint("copy", 1))
            log.restore(commits)
            assert [e for commit in hook.commits for e in commit] == list(log.read_all())
            assert [e for commit in hook.read for e in commit] == list(log.read_all())

    def test_commits_restored_by_eight_threads_at_once_are_there_once(self, log: Log, source: MemoryLog) -> None:
        for number in range(20):
            source.append([Append("a", events(2)), Append(f"s-{number}", events(1))])
        commits = commits_of(source)

        def restore(number: int) -> int:
            if number == 0:
                write(log, "own", 5)
            return sum(log.restore(commits[:count]) for count in (5, 10, 20))

        assert sum(in_threads(restore)) == 60
        assert [told(e) for e in log.read_all() if e.stream != "own"] == [told(e) for e in source.read_all()]
