"""Repeating: an event id is an idempotency key, so a writer that does not know what became of a commit repeats it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from eventstore.errors import CheckpointConflict, DuplicateEventId, WrongExpectedVersion
from eventstore.log import ANY, EXISTS, Append, Appended, Checkpoint, Expect, Log
from eventstore.testing.opening import Opening, event, events, in_threads, unchanged, write


class Idempotence(Opening):
    """Ids are unique in the whole log, and only the identical whole commit is a repetition.

    A part of an earlier commit, or one with more in it, is a conflict: to answer "that is here already" would hide
    that the two writers disagree on what belongs together.
    """

    def test_the_identical_commit_returns_the_first_result_and_writes_nothing(self, log: Log) -> None:
        write(log, "b")
        commit = [Append("a", events(2)), Append("b", events(1)), Append("a", events(1))]
        first = log.append(commit)
        write(log, "a")
        write(log, "b")

        with unchanged(log):
            again = log.append(commit)

        assert (again.repeated, first.repeated) == (True, False)
        assert (again.events, dict(again.versions)) == (first.events, {"a": 3, "b": 2})

    @pytest.mark.parametrize("expected", [0, ANY, EXISTS, 1, 2, 3, 9])
    def test_a_repetition_succeeds_whatever_it_expects(self, log: Log, expected: int | Expect) -> None:
        """The expectation was answered the first time. Logs do not keep it, so another one is no other commit."""
        ours = events(2)
        first = log.append([Append("a", ours, 0)])
        write(log, "a")

        with unchanged(log):
            assert log.append([Append("a", ours, expected)]).events == first.events

    def test_a_repetition_succeeds_though_a_stream_it_only_checked_has_moved(self, log: Log) -> None:
        commit = [Append("a", events(1), 0), Append("guard", (), 0)]
        first = log.append(commit)
        write(log, "guard")
        with unchanged(log):
            assert log.append(commit).events == first.events

    def test_the_time_may_differ_when_a_commit_is_repeated(self, log: Log) -> None:
        """Who rebuilds an event under its id to repeat it takes the time anew, and still means the same event."""
        ours = event()
        log.append([Append("a", [ours])])
        later = msgspec.structs.replace(ours, time=datetime(2040, 1, 1, tzinfo=UTC))
        with unchanged(log):
            again = log.append([Append("a", [later])])
        assert (again.repeated, again.events[0].time) == (True, ours.time)

    @pytest.mark.parametrize(
        "other",
        [
            {"data": b"[]"},
            {"type": "other"},
            {"schema": 2},
            {"meta": {"actor": "ada"}},
            {"content_type": "text/plain"},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_the_same_id_with_other_content_is_a_conflict(self, log: Log, other: dict[str, Any]) -> None:
        ours = event()
        first = log.append([Append("a", [ours])])

        with unchanged(log), pytest.raises(DuplicateEventId) as caught:
            log.append([Append("a", [msgspec.structs.replace(ours, **other)])])

        assert (caught.value.event_id, caught.value.position) == (str(ours.id), first.events[0].position)

    def test_the_same_id_in_another_stream_is_a_conflict(self, log: Log) -> None:
        ours = events(1)
        log.append([Append("a", ours)])
        with unchanged(log), pytest.raises(DuplicateEventId):
            log.append([Append("b", ours)])

    def test_any_overlap_with_an_earlier_commit_but_the_whole_is_a_conflict(self, log: Log) -> None:
        one, two, three, new = events(4)
        log.append([Append("a", [one, two, three])])
        partial = {
            "its beginning": [one, two],
            "its middle": [two],
            "its end": [three],
            "another order": [one, three, two],
            "more behind": [one, two, three, new],
            "more before": [new, one, two, three],
            "its end and more": [three, new],
        }
        for why, batch in partial.items():
            for expected in (ANY, 0, 3):
                with unchanged(log), pytest.raises(DuplicateEventId):
                    pytest.fail(f"took {why}: {log.append([Append('a', batch, expected)])}")

    def test_parts_of_two_earlier_commits_are_a_conflict(self, log: Log) -> None:
        first, second = events(2), events(2)
        log.append([Append("a", first)])
        log.append([Append("a", second)])
        with unchanged(log), pytest.raises(DuplicateEventId):
            log.append([Append("a", [*first, *second])])

    def test_one_streams_part_of_an_earlier_commit_is_a_conflict(self, log: Log) -> None:
        ours, others = events(1), events(1)
        log.append([Append("a", ours), Append("b", others)])
        for part in ([Append("a", ours)], [Append("b", others)], [Append("b", others), Append("a", ours)]):
            with unchanged(log), pytest.raises(DuplicateEventId):
                log.append(part)

    def test_an_event_that_was_refused_can_be_appended_later(self, log: Log) -> None:
        ours = events(1)
        with pytest.raises(WrongExpectedVersion):
            log.append([Append("a", ours, 5)])
        assert not log.append([Append("b", ours, 0)]).repeated

    def test_a_repetition_with_its_checkpoint_returns_the_first_result_though_the_checkpoint_has_moved(
        self, log: Log
    ) -> None:
        commit = [Append("a", events(1))]
        first = log.append(commit, checkpoint=Checkpoint("views", 1, None))
        log.append([], checkpoint=Checkpoint("views", 2, 1))

        with unchanged(log):
            again = log.append(commit, checkpoint=Checkpoint("views", 1, None))

        assert (again.repeated, again.events, log.checkpoint("views")) == (True, first.events, 2)

    def test_a_checkpoint_without_events_is_never_a_repetition(self, log: Log) -> None:
        """It has no id to know it by; its writer reads the checkpoint to learn what became of it."""
        log.append([], checkpoint=Checkpoint("views", 1, None))
        with pytest.raises(CheckpointConflict):
            log.append([], checkpoint=Checkpoint("views", 1, None))

    def test_a_commit_repeated_by_several_threads_at_once_is_written_once(self, log: Log) -> None:
        """One more keeps the log busy meanwhile, so that the others' requests are there at the same moment."""
        commits = [[Append(f"s-{number}", events(2), 0), Append("shared", events(1))] for number in range(20)]

        def repeat(number: int) -> list[Appended]:
            return [log.append(commit) if number else write(log, "busy") for commit in commits]

        _, *results = in_threads(repeat)

        for of_one_commit in zip(*results, strict=True):
            assert sorted(result.repeated for result in of_one_commit) == [False] + 6 * [True]
            assert all(result.events == of_one_commit[0].events for result in of_one_commit)
        assert log.version("shared") == len(commits)
        assert [log.version(f"s-{number}") for number in range(20)] == 20 * [2]
