"""Purging: physical removal of a stream, with a record of itself and a gap in the positions."""

from __future__ import annotations

from typing import Any

import pytest

from eventstore.chain import GENESIS, event_hash
from eventstore.errors import DuplicateEventId, InvalidInput, TooLarge, WrongExpectedVersion
from eventstore.log import EXISTS, PURGES, Append, Checkpoint, Expect, Log, Purged
from eventstore.purges import STREAM_PURGED, purge_of
from eventstore.testing.opening import Opening, event, events, unchanged, write


class Purging(Opening):
    """What is purged is gone from every read; everything else stays as it was, where it was."""

    def test_a_purged_stream_is_gone_and_all_others_stay_where_they_were(self, log: Log) -> None:
        write(log, "a")
        log.append([Append("gone", events(2)), Append("b", events(1)), Append("gone", events(1))])
        write(log, "gone", 3)
        write(log, "a")
        others = [e for e in log.read_all() if e.stream != "gone"]

        log.purge("gone")

        assert (log.version("gone"), list(log.read("gone"))) == (0, [])
        assert [e for e in log.read_all() if e.stream != PURGES] == others
        assert [e for e in log.read_all(backward=True) if e.stream != PURGES] == others[::-1]
        assert (log.version("a"), log.version("b")) == (2, 1)

    def test_what_is_left_of_a_commit_names_the_position_it_began_at(self, log: Log) -> None:
        write(log, "a")
        first = log.append([Append("gone", events(2)), Append("b", events(1)), Append("gone", events(1))]).events[0]
        log.append([Append("c", events(1)), Append("gone", events(1))])

        log.purge("gone")

        kept = list(log.read_all(after=first.position))
        assert [(e.stream, e.commit) for e in kept[:2]] == [("b", first.position), ("c", kept[1].position)]
        assert [e.commit for e in log.read("b")] == [first.position]

    def test_a_purge_says_what_it_removed(self, log: Log) -> None:
        write(log, "gone", 2)
        write(log, "a")
        last = write(log, "gone").events[-1]

        purged = log.purge("gone")

        assert purged == Purged("gone", 3, last.version, last.position, last.hash)

    def test_a_purge_leaves_a_record_of_itself(self, log: Log) -> None:
        write(log, "gone", 2)
        before = log.head()

        purged = log.purge("gone")

        (record,) = log.read(PURGES)
        assert (record.type, record.version, purge_of(record)) == (STREAM_PURGED, 1, purged)
        assert record.position == log.head() > before
        assert record.hash == event_hash(GENESIS, PURGES, 1, record)
        assert list(log.read_all(after=before)) == [record]

    def test_the_record_says_who_purged_and_why(self, log: Log) -> None:
        write(log, "gone")
        meta = {"reason": "ü\n\u2028", "actor": "ada", "": ""}

        log.purge("gone", meta=meta)

        (record,) = log.read(PURGES)
        assert list(record.meta.items()) == list(meta.items())
        assert record.hash == event_hash(GENESIS, PURGES, 1, record)

    @pytest.mark.parametrize("reason", ["\0", "\ud800", 1, "x" * 65_537], ids=ascii)
    def test_a_purge_with_a_reason_that_no_log_can_keep_changes_nothing(self, log: Log, reason: Any) -> None:
        write(log, "a")
        with unchanged(log), pytest.raises((InvalidInput, TooLarge), match="meta"):
            log.purge("a", meta={"reason": reason})

    def test_records_of_purges_are_a_stream_like_any_other(self, log: Log) -> None:
        for number in (1, 2, 3):
            write(log, f"gone-{number}", number)
            log.purge(f"gone-{number}")

        records = list(log.read(PURGES))

        assert [purge_of(e).stream for e in records] == ["gone-1", "gone-2", "gone-3"]
        assert [e.version for e in records] == [1, 2, 3]
        assert log.version(PURGES) == 3
        assert records[1].hash == event_hash(records[0].hash, PURGES, 2, records[1])

    def test_purging_an_unknown_stream_removes_nothing_and_leaves_no_record(self, log: Log) -> None:
        write(log, "a")
        with unchanged(log):
            assert log.purge("unknown") == Purged("unknown", 0)
            assert log.purge("unknown", expected=0) == Purged("unknown", 0)

    def test_a_stream_is_purged_once(self, log: Log) -> None:
        write(log, "gone")
        log.purge("gone")
        with unchanged(log):
            assert log.purge("gone") == Purged("gone", 0)

    @pytest.mark.parametrize("wrong", [0, 1, 3])
    def test_a_purge_with_a_wrong_expected_version_changes_nothing(self, log: Log, wrong: int) -> None:
        write(log, "a", 2)
        with unchanged(log), pytest.raises(WrongExpectedVersion) as caught:
            log.purge("a", expected=wrong)
        assert caught.value.violations == (("a", wrong, 2),)

    def test_a_purge_can_expect_that_the_stream_exists(self, log: Log) -> None:
        with unchanged(log), pytest.raises(WrongExpectedVersion):
            log.purge("a", expected=EXISTS)
        write(log, "a")
        assert log.purge("a", expected=EXISTS).events == 1

    @pytest.mark.parametrize("expected", [2, EXISTS])
    def test_a_purge_with_the_right_expectation_removes(self, log: Log, expected: int | Expect) -> None:
        write(log, "a", 2)
        assert log.purge("a", expected=expected).events == 2

    def test_a_purged_stream_can_be_made_anew_as_if_it_had_never_been(self, log: Log) -> None:
        write(log, "gone", 3)
        log.purge("gone")
        head = log.head()

        first = log.append([Append("gone", events(2), 0)]).events[0]

        assert (first.version, first.position > head) == (1, True)
        assert first.hash == event_hash(GENESIS, "gone", 1, first)
        assert [e.version for e in log.read("gone")] == [1, 2]
        assert log.purge("gone").events == 2
        assert write(log, "gone", expected=0).versions["gone"] == 1
        assert log.version(PURGES) == 2

    def test_the_ids_of_purged_events_are_free_again(self, log: Log) -> None:
        ours = events(2)
        first = log.append([Append("gone", ours)])
        log.purge("gone")

        again = log.append([Append("elsewhere", ours)])

        assert not again.repeated
        assert again.events[0].position > first.events[-1].position
        with unchanged(log), pytest.raises(DuplicateEventId):
            log.append([Append("gone", ours)])

    def test_a_commit_of_which_a_part_was_purged_can_no_longer_be_repeated(self, log: Log) -> None:
        """It is not in the log as its writer means it; and what is left of it is known by its ids still."""
        commit = [Append("kept", events(2)), Append("gone", events(1))]
        log.append(commit)
        log.purge("gone")
        with unchanged(log), pytest.raises(DuplicateEventId):
            log.append(commit)
        with unchanged(log), pytest.raises(DuplicateEventId):
            log.append(commit[::-1])

    def test_a_commit_that_was_purged_whole_can_be_appended_anew(self, log: Log) -> None:
        commit = [Append("x", events(2), 0), Append("y", events(1), 0)]
        log.append(commit)
        log.purge("x")
        log.purge("y")
        assert not log.append(commit).repeated

    def test_positions_of_purged_events_stay_unused(self, log: Log) -> None:
        appended = write(log, "gone", 3)
        log.purge("gone")
        head = log.head()
        assert head > appended.events[-1].position
        assert write(log, "a").events[0].position > head

    def test_many_purges_together_remove_what_they_would_one_by_one(self, log: Log) -> None:
        for _ in range(3):
            log.append([Append(stream, events(2)) for stream in ("a", "kept", "b")])
        kept = list(log.read("kept"))

        with log.purging():
            assert log.purge("a").events == 6
            assert (log.version("a"), list(log.read("a"))) == (0, [])
            assert log.purge("a") == Purged("a", 0)
            again = write(log, "a").events
            with log.purging(), pytest.raises(WrongExpectedVersion):
                log.purge("b", expected=5)
            assert log.purge("b").events == 6
            assert [e for e in log.read_all() if e.stream != PURGES] == [*kept, *again]

        assert [e for e in log.read_all() if e.stream != PURGES] == [*kept, *again]
        assert log.purge("a").events == 1

    def test_purging_the_last_stream_moves_the_head_on_and_not_back(self, log: Log) -> None:
        write(log, "a")
        write(log, "gone", 5)
        heads = [log.head()]
        log.purge("gone")
        heads.append(log.head())
        log.purge("a")
        heads.append(log.head())
        assert heads == sorted(set(heads))

    def test_a_purge_leaves_checkpoints_alone(self, log: Log) -> None:
        log.append([Append("gone", events(2))], checkpoint=Checkpoint("views", 2))
        log.purge("gone")
        assert log.checkpoint("views") == 2

    def test_streams_whose_ids_begin_alike_are_not_purged_with_it(self, log: Log) -> None:
        for stream in ("run", "run-1", "Run", "ru", "run%", "run_"):
            write(log, stream)
        log.purge("run_")
        log.purge("run%")
        assert [e.stream for e in log.read_all() if e.stream != PURGES] == ["run", "run-1", "Run", "ru"]

    @pytest.mark.parametrize("backward", [False, True])
    def test_a_read_that_has_begun_passes_over_what_is_purged_meanwhile(self, log: Log, backward: bool) -> None:
        """What it had not reached yet may be shown or not. All that was not purged is shown, and nothing else."""
        for number in range(60):
            log.append([Append("kept", [event(b"%d" % number)]), Append("gone", events(1))])
        kept, gone = list(log.read("kept", backward=backward)), list(log.read("gone", backward=backward))
        kept_reader = log.read("kept", backward=backward)
        gone_reader = log.read("gone", backward=backward)
        all_reader = log.read_all(backward=backward)
        seen = [next(kept_reader), next(gone_reader), next(all_reader)]

        log.purge("gone")
        write(log, "gone", 100)
        write(log, "kept")

        assert [seen[0], *kept_reader] == kept
        assert all(e in gone for e in gone_reader)
        shown = [seen[2], *all_reader]
        assert [e for e in shown if e.stream == "kept"] == kept
        assert [e for e in shown if e.stream != "kept"] == [e for e in gone if e in shown]

    @pytest.mark.parametrize("backward", [False, True])
    def test_a_read_that_was_asked_for_before_a_purge_never_shows_the_stream_made_anew(
        self, log: Log, backward: bool
    ) -> None:
        write(log, "a", 3)
        old = list(log.read("a", backward=backward))
        reader = log.read("a", backward=backward)
        log.purge("a")
        write(log, "a", 3)

        assert [e for e in reader if e not in old] == []
