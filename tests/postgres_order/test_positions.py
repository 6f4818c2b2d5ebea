"""Where a reader stops: before what is under way, never in the middle of a commit, and never further back than before.

Floors show the lowest 32 bits of a position, so all of it is tried where those begin anew, and beyond all floats.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from eventstore.log import Append
from eventstore.postgres import Ordering, PostgresLog

from .held import Place, written

STARTS = [1, 2**31 - 3, 2**32 - 3, 2**33 - 3, 2**53 - 3, 2**62]


@pytest.fixture
def log(place: Place) -> Iterator[PostgresLog]:
    with closing(place.open()) as opened:
        yield opened


@pytest.mark.parametrize("start", STARTS)
def test_an_append_under_way_holds_back_those_that_began_later(place: Place, log: PostgresLog, start: int) -> None:
    place.give_out(start)
    before = log.append([Append("before", written(2))]).events
    with place.held_append([Append("held", written(2))]) as held:
        after = log.append([Append("after", written(3))]).events
        assert tuple(log.read_all()) == before
        assert log.head() == before[-1].position == start + 2
        assert tuple(log.read("after")) == after
        with closing(place.open()) as fresh:
            assert tuple(fresh.read_all()) == before
    assert tuple(log.read_all()) == (*before, *held.result().events, *after)
    assert [event.position for event in log.read_all(after=start + 2)] == list(range(start + 3, start + 8))
    assert log.head() == start + 7


@pytest.mark.parametrize("start", STARTS)
def test_a_floor_shown_after_the_last_position_was_asked_for_holds_nobody_back(
    place: Place, log: PostgresLog, start: int
) -> None:
    place.give_out(start)
    events = log.append([Append("stream", written(3))]).events
    with place.floor(events[-1].position + 1):
        assert tuple(log.read_all()) == events


def test_a_floor_in_the_middle_of_a_commit_shows_none_of_it(place: Place, log: PostgresLog) -> None:
    first = log.append([Append("stream", written())]).events
    second = log.append([Append("stream", written(2)), Append("other", written(3))]).events
    with place.floor(second[2].position):
        assert tuple(log.read_all()) == first
    assert tuple(log.read_all()) == first + second


def test_a_floor_in_the_middle_of_what_a_purge_left_of_a_commit_shows_none_of_it(
    place: Place, log: PostgresLog
) -> None:
    commit = log.append([Append("kept", written(2)), Append("purged", written(2))]).events
    log.purge("purged")
    with place.floor(commit[2].position):
        assert not list(log.read_all())


def test_the_head_never_goes_back_when_a_floor_is_shown_late(place: Place, log: PostgresLog) -> None:
    events = log.append([Append("stream", written())]).events + log.append([Append("stream", written())]).events
    assert log.head() == events[-1].position
    with place.floor(events[0].position):
        assert log.head() == events[-1].position
        assert tuple(log.read_all()) == events


def test_the_head_never_goes_back_when_the_last_event_is_purged(place: Place, log: PostgresLog) -> None:
    log.append([Append("kept", written())])
    purged = log.append([Append("purged", written())]).events[-1]
    assert log.head() == purged.position
    with place.floor(purged.position):
        log.purge("purged")
        assert log.head() == purged.position
    assert log.head() > purged.position


@pytest.mark.parametrize("first", ["concurrent", "strict"])
def test_both_orderings_extend_each_others_streams(place: Place, first: Ordering) -> None:
    with closing(place.open(first)) as one, closing(place.open("strict" if first == "concurrent" else first)) as other:
        for version in range(0, 10, 2):
            one.append([Append("stream", written(), version)])
            other.append([Append("stream", written(), version + 1)])
        assert [event.version for event in one.read_all()] == list(range(1, 11))
        assert list(one.read_all()) == list(other.read_all())


def test_a_strict_append_waits_for_a_concurrent_one_and_shows_after_it(place: Place) -> None:
    with closing(place.open("strict")) as strict, ThreadPoolExecutor(1) as thread:
        with place.held_append([Append("held", written(2))], "concurrent"):
            waiting = thread.submit(strict.append, [Append("strict", written())])
            assert not list(strict.read_all())
        assert waiting.result().events[0].version == 1
        assert [event.stream for event in strict.read_all()] == ["held", "held", "strict"]
