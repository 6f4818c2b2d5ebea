"""Persistence: what is still there when a log is opened again, and what several open logs of one place agree on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eventstore.chain import GENESIS, event_hash
from eventstore.errors import CheckpointConflict, DuplicateEventId, WrongExpectedVersion
from eventstore.log import PURGES, Append, Checkpoint, Log
from eventstore.memory import MemoryLog
from eventstore.testing.opening import PATIENCE, Opening, datas, event, events, in_threads, unchanged, write
from eventstore.testing.order import append_blocks, count_to, follow, won
from eventstore.testing.restoring import commits_of, told

Reopen = Callable[[], Log]


class Persistence(Opening):
    """The log is the place, not the object."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Iterator[Reopen]:
        """Close the log that was opened last, if any, and open it again."""
        with contextlib.ExitStack() as opened:

            def reopen() -> Log:
                opened.close()
                return opened.enter_context(contextlib.closing(self.open_log(tmp_path)))

            yield reopen

    @pytest.fixture
    def other(self, tmp_path: Path, log: Log) -> Iterator[Log]:
        """Another open log of the same place, as another process would have it."""
        with contextlib.closing(self.open_log(tmp_path)) as other:
            yield other

    def test_what_was_appended_is_there_when_the_log_is_opened_again(self, reopen: Reopen) -> None:
        log = reopen()
        log.append([Append("a", events(3)), Append("é/..", [event(b"\xff\n")])], checkpoint=Checkpoint("views", 4))
        everything, head = list(log.read_all()), log.head()

        for _ in range(3):
            log = reopen()
            assert (list(log.read_all()), log.head(), log.checkpoint("views")) == (everything, head, 4)
            assert (log.version("a"), datas(log.read("é/.."))) == (3, [b"\xff\n"])

    def test_positions_versions_and_hashes_go_on_where_they_were(self, reopen: Reopen) -> None:
        for _ in range(4):
            write(reopen(), "a", 2)

        found = list(reopen().read("a"))

        assert [e.version for e in found] == list(range(1, 9))
        assert [e.position for e in found] == sorted({e.position for e in found})
        previous = GENESIS
        for each in found:
            assert each.hash == event_hash(previous, "a", each.version, each)
            previous = each.hash

    def test_expectations_are_held_against_what_was_there_before(self, reopen: Reopen) -> None:
        write(reopen(), "a", 2)
        log = reopen()
        with unchanged(log), pytest.raises(WrongExpectedVersion):
            write(log, "a", expected=0)
        assert write(log, "a", expected=2).versions["a"] == 3

    def test_a_commit_can_be_repeated_when_the_log_is_opened_again(self, reopen: Reopen) -> None:
        commit = [Append("a", [event(b"\0"), event()], 0), Append("b", events(1), 0)]
        first = reopen().append(commit)
        log = reopen()
        with unchanged(log):
            again = log.append(commit)
        assert (again.repeated, again.events, again.versions) == (True, first.events, first.versions)
        with unchanged(log), pytest.raises(DuplicateEventId):
            log.append(commit[:1])

    def test_a_checkpoint_is_held_against_what_was_there_before(self, reopen: Reopen) -> None:
        reopen().append([], checkpoint=Checkpoint("views", 3))
        log = reopen()
        with pytest.raises(CheckpointConflict):
            log.append([], checkpoint=Checkpoint("views", 4, None))
        log.append([], checkpoint=Checkpoint("views", 4, 3))
        assert reopen().checkpoint("views") == 4

    def test_what_was_restored_is_there_when_the_log_is_opened_again(self, reopen: Reopen) -> None:
        other = MemoryLog()
        write(other, "gone", 3)
        other.append([Append("a", [event(b"\xff\n")]), Append("gone", events(1))])
        unpurged = commits_of(other)
        other.purge("gone")
        write(other, "gone")
        commits = [*unpurged, *commits_of(other, after=5)]
        log = reopen()
        before = write(log, "before").events[0].position
        assert log.restore(commits, checkpoint=Checkpoint("copy", 7)) == 7
        everything = list(log.read_all())

        for _ in range(2):
            log = reopen()
            assert (list(log.read_all()), log.checkpoints()) == (everything, {"copy": 7})
            assert [told(e) for e in log.read_all(after=before)] == [told(e) for e in other.read_all()]
            with unchanged(log):
                assert log.restore(commits_of(other)) == 0

    def test_what_one_open_log_restores_the_other_passes_over(self, log: Log, other: Log) -> None:
        source = MemoryLog()
        for number in range(20):
            source.append([Append("a", events(2)), Append(f"s-{number}", events(1))])
        commits = commits_of(source)

        logs = (log, other)
        new = in_threads(lambda number: logs[number % 2].restore(commits))

        assert sum(new) == 60
        assert list(log.read_all()) == list(other.read_all())
        assert [told(e) for e in other.read_all()] == [told(e) for e in source.read_all()]

    def test_a_purged_stream_stays_gone(self, reopen: Reopen) -> None:
        log = reopen()
        gone = [Append("gone", events(3))]
        log.append(gone)
        write(log, "kept")
        log.purge("gone")
        everything = list(log.read_all())

        log = reopen()

        assert (list(log.read_all()), log.version("gone"), log.version(PURGES)) == (everything, 0, 1)
        assert not log.append(gone).repeated
        assert [e.version for e in reopen().read("gone")] == [1, 2, 3]

    def test_purging_the_last_events_frees_no_position(self, reopen: Reopen) -> None:
        log = reopen()
        write(log, "gone", 3)
        log.purge("gone")
        head = log.head()
        assert write(reopen(), "a").events[0].position > head

    def test_two_open_logs_see_at_once_what_the_other_does(self, log: Log, other: Log) -> None:
        for version, (writer, reader) in enumerate([(log, other), (other, log)] * 10):
            appended = writer.append([Append("a", events(1), version)], checkpoint=Checkpoint("views", version))
            assert (reader.head(), reader.version("a")) == (appended.events[0].position, version + 1)
            assert list(reader.read("a", after=version)) == list(appended.events)
            assert list(reader.read_all(after=reader.head() - 1)) == list(appended.events)
            assert reader.checkpoint("views") == version

    def test_two_open_logs_hold_one_another_to_their_expectations(self, log: Log, other: Log) -> None:
        commit = [Append("a", events(2), 0)]
        first = log.append(commit)
        with unchanged(other), pytest.raises(WrongExpectedVersion):
            write(other, "a", expected=0)
        assert other.append(commit).events == first.events
        with unchanged(log), pytest.raises(DuplicateEventId):
            other.append([Append("b", commit[0].events)])

    def test_a_purge_is_seen_by_the_other_open_log(self, log: Log, other: Log) -> None:
        ours = events(3)
        other.append([Append("gone", ours), Append("kept", events(1))])
        write(log, "gone", 2)
        kept = list(other.read("kept"))

        log.purge("gone", expected=5)

        assert (other.version("gone"), list(other.read("gone")), list(other.read("kept"))) == (0, [], kept)
        assert [e.stream for e in other.read_all()] == ["kept", PURGES]
        assert not other.append([Append("gone", ours, 0)]).repeated
        assert datas(log.read("gone")) == [each.data for each in ours]

    def test_two_open_logs_can_purge_in_turn(self, log: Log, other: Log) -> None:
        for round, (one, two) in enumerate([(log, other), (other, log)] * 3):
            one.append([Append("x", events(2)), Append("kept", events(1)), Append("y", events(2))])
            write(two, "kept")
            one.purge("x")
            two.purge("y")
            for each in (one, two):
                assert [e.version for e in each.read("kept")] == list(range(1, 2 * round + 3))
                assert {e.stream for e in each.read_all()} == {"kept", PURGES}
                assert each.version(PURGES) == 2 * round + 2

    def test_waiting_ends_when_another_open_log_appends(self, log: Log, other: Log) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(log.wait, log.head(), 2 * PATIENCE)
            write(other, "a")
            assert waiting.result(PATIENCE)

    def test_closing_one_open_log_leaves_the_other_open(self, log: Log, other: Log) -> None:
        write(other, "a")
        other.close()
        assert write(log, "a").versions["a"] == 2

    def test_of_eight_writers_at_two_open_logs_exactly_one_wins(self, log: Log, other: Log) -> None:
        logs = (log, other)

        def race(number: int) -> list[bool]:
            return [won(logs[number % 2], f"s-{stream}", 0) for stream in range(10)]

        assert [sum(outcomes) for outcomes in zip(*in_threads(race), strict=True)] == 10 * [1]

    def test_writers_at_two_open_logs_lose_no_update(self, log: Log, other: Log) -> None:
        logs = (log, other)
        in_threads(lambda number: count_to(logs[number % 2], 5))
        assert log.version("counter") == other.version("counter") == 8 * 5

    def test_a_follower_at_one_open_log_misses_nothing_of_the_others_writers(self, log: Log, other: Log) -> None:
        logs = (log, other)
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(follow, log, 8 * 10 * 5)
            in_threads(lambda writer: append_blocks(logs[writer % 2], writer, 10))
            assert [event for read in following.result(PATIENCE) for event in read] == list(other.read_all())
