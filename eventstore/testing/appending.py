"""Appending: what a commit does, and what a writer's expectations do to it."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from eventstore.errors import InvalidInput, WrongExpectedVersion
from eventstore.log import ANY, EXISTS, Append, Log
from eventstore.testing.opening import Opening, datas, event, events, unchanged, write


class Appending(Opening):
    """One commit is all or nothing, over any number of streams."""

    def test_appended_events_are_read_back_as_they_were_returned(self, log: Log) -> None:
        appended = log.append([Append("a", events(2)), Append("b", events(1))])

        assert not appended.repeated
        assert list(log.read_all()) == list(appended.events)
        assert list(log.read("a")) == list(appended.events[:2])
        assert list(log.read("b")) == list(appended.events[2:])

    def test_a_commit_returns_the_version_of_every_stream_it_names(self, log: Log) -> None:
        write(log, "checked", 3)

        appended = log.append([Append("a", events(2)), Append("checked"), Append("unknown")])

        assert dict(appended.versions) == {"a": 2, "checked": 3, "unknown": 0}

    def test_versions_count_one_stream_and_positions_the_whole_log(self, log: Log) -> None:
        for stream in ("a", "b", "a", "a", "b"):
            write(log, stream)

        found = list(log.read_all())

        assert [(e.stream, e.version) for e in found] == [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2)]
        assert all(earlier.position < later.position for earlier, later in pairwise(found))
        assert log.head() == found[-1].position
        assert (log.version("a"), log.version("b"), log.version("c")) == (3, 2, 0)

    def test_an_empty_log_has_nothing(self, log: Log) -> None:
        assert (log.head(), log.version("a"), log.checkpoint("c"), list(log.read_all())) == (0, 0, None, [])

    def test_the_events_of_one_commit_are_contiguous_and_recorded_at_one_time(self, log: Log) -> None:
        write(log, "before")

        found = log.append([Append("a", events(3)), Append("b", events(2)), Append("a", events(1))]).events

        assert [e.position for e in found] == list(range(found[0].position, found[0].position + 6))
        assert len({e.recorded_at for e in found}) == 1
        assert found[0].recorded_at.utcoffset() == timedelta(0)

    def test_the_events_of_one_commit_name_the_position_it_begins_at(self, log: Log) -> None:
        commits = [log.append([Append("a", events(2)), Append(other, events(1))]).events for other in "abc"]

        assert [[e.commit for e in commit] for commit in commits] == [3 * [commit[0].position] for commit in commits]
        assert [e.commit for e in log.read_all()] == [e.commit for commit in commits for e in commit]
        assert [e.commit for e in log.read("b")] == [commits[1][0].position]
        assert [e.commit for e in log.read_all(backward=True, limit=1)] == [commits[2][0].position]

    def test_version_zero_means_a_stream_that_does_not_exist(self, log: Log) -> None:
        assert write(log, "a", 2, expected=0).versions["a"] == 2
        with unchanged(log), pytest.raises(WrongExpectedVersion):
            write(log, "a", expected=0)

    def test_exists_means_a_stream_of_any_version_but_zero(self, log: Log) -> None:
        with unchanged(log), pytest.raises(WrongExpectedVersion):
            write(log, "a", expected=EXISTS)
        write(log, "a", 2)
        assert write(log, "a", expected=EXISTS).versions["a"] == 3

    def test_any_always_stores(self, log: Log) -> None:
        assert [write(log, "a", 2, expected=ANY).versions["a"] for _ in range(3)] == [2, 4, 6]

    def test_the_exact_version_stores_and_a_lower_or_higher_one_fails(self, log: Log) -> None:
        write(log, "a", 3)
        for wrong in (0, 1, 2, 4, 2**63 - 1):
            with unchanged(log), pytest.raises(WrongExpectedVersion):
                write(log, "a", expected=wrong)
        assert write(log, "a", expected=3).versions["a"] == 4

    def test_wrong_expected_version_says_which_stream_and_what_it_expected_and_found(self, log: Log) -> None:
        write(log, "a", 3)

        with pytest.raises(WrongExpectedVersion) as caught:
            write(log, "a", expected=7)

        assert (caught.value.stream, caught.value.expected, caught.value.actual) == ("a", 7, 3)
        assert caught.value.retriable

    def test_wrong_expected_version_changes_nothing(self, log: Log) -> None:
        write(log, "a", 2)
        with unchanged(log), pytest.raises(WrongExpectedVersion):
            log.append([Append("new", events(2), 0), Append("a", events(1), 1), Append("other", events(2))])
        assert (log.version("a"), log.version("new"), log.version("other")) == (2, 0, 0)

    def test_who_was_wrong_can_retry_with_the_right_version(self, log: Log) -> None:
        write(log, "a", 2)
        ours = events(2)
        with pytest.raises(WrongExpectedVersion) as caught:
            log.append([Append("a", ours, 1)])

        appended = log.append([Append("a", ours, caught.value.actual)])

        assert not appended.repeated
        assert [e.version for e in appended.events] == [3, 4]

    def test_a_commit_without_events_only_checks(self, log: Log) -> None:
        """It is not an error: whoever decided that nothing follows may still want to know they decided rightly."""
        write(log, "a", 2)
        with unchanged(log):
            appended = log.append([Append("a", (), 2), Append("b", (), 0), Append("c")])
            assert appended.events == ()
            assert dict(appended.versions) == {"a": 2, "b": 0, "c": 0}
            with pytest.raises(WrongExpectedVersion):
                log.append([Append("b", (), EXISTS)])

    def test_a_commit_of_nothing_changes_nothing(self, log: Log) -> None:
        with unchanged(log):
            appended = log.append([])
        assert (appended.events, dict(appended.versions), appended.repeated) == ((), {}, False)

    def test_streams_that_are_only_checked_decide_over_the_whole_commit(self, log: Log) -> None:
        write(log, "a", 2)
        write(log, "b")
        holding = [Append("a", (), 2), Append("b", (), EXISTS), Append("c", (), 0)]
        for failing in (Append("a", (), 1), Append("c", (), EXISTS), Append("b", (), 0)):
            others = [check for check in holding if check.stream != failing.stream]
            with unchanged(log), pytest.raises(WrongExpectedVersion):
                log.append([*others, Append("written", events(1)), failing])

        assert log.append([*holding, Append("written", events(1))]).versions["written"] == 1

    def test_all_violations_are_reported(self, log: Log) -> None:
        write(log, "a", 2)
        write(log, "fine")

        with pytest.raises(WrongExpectedVersion) as caught:
            log.append(
                [
                    Append("a", events(1), 5),
                    Append("fine", events(1), 1),
                    Append("b", (), EXISTS),
                    Append("c", events(1), 3),
                ]
            )

        assert caught.value.violations == (("a", 5, 2), ("b", EXISTS.value, 0), ("c", 3, 0))

    def test_two_expectations_for_one_stream_are_refused(self, log: Log) -> None:
        """Even if both hold: whether the second means before or after the first one's events would be a guess."""
        for first, second in ((0, 0), (0, 1), (0, EXISTS), (EXISTS, EXISTS)):
            with unchanged(log), pytest.raises(InvalidInput):
                log.append([Append("a", events(1), first), Append("a", events(1), second)])

    def test_interleaved_events_keep_each_streams_order(self, log: Log) -> None:
        """A stream may appear several times if one entry at most states what it expects: that of before the commit."""
        write(log, "a")
        one, two, three, four, five = events(5)

        appended = log.append(
            [
                Append("a", [one]),
                Append("b", [two], 0),
                Append("a", [three], 1),
                Append("b", [four]),
                Append("a", [five]),
            ]
        )

        assert [(e.stream, e.version) for e in appended.events] == [("a", 2), ("b", 1), ("a", 3), ("b", 2), ("a", 4)]
        assert dict(appended.versions) == {"a": 4, "b": 2}
        assert list(log.read_all())[1:] == list(appended.events)
        assert datas(log.read("a", after=1)) == [b"1", b"3", b"5"]

    def test_large_commits_to_streams_with_long_names_stay_whole_and_in_order(self, log: Log) -> None:
        stream, type = "stream-" * 50, "somethingHappened" * 20
        sizes = (100, 8_001, 100)
        for size in sizes:
            log.append([Append(stream, [event(b"%d" % number, type=type) for number in range(size)])])

        found = list(log.read(stream))

        assert [e.version for e in found] == list(range(1, sum(sizes) + 1))
        assert [e.data for e in found] == [b"%d" % number for size in sizes for number in range(size)]
        assert {(e.stream, e.type) for e in found} == {(stream, type)}
        assert log.version(stream) == sum(sizes)

    def test_what_a_writer_does_to_its_own_objects_afterwards_changes_nothing(self, log: Log) -> None:
        meta, batch = {"actor": "ada"}, [event()]
        batch[0] = event(meta=meta)
        log.append([Append("a", batch)])

        meta["actor"] = "eve"
        batch.clear()

        assert [e.meta for e in log.read("a")] == [{"actor": "ada"}]
