"""Commits that get in each other's way come out as if one had been made after the other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from typing import get_args
from uuid import UUID, uuid5

import msgspec
import pytest

from eventstore.errors import DuplicateEventId, WrongExpectedVersion
from eventstore.log import Append, Appended
from eventstore.postgres import Ordering
from tests.crash.oracle import check_streams

from .held import Place, written

IDS = UUID("00000000-0000-4000-8000-000000000001")
PAIRS: list[tuple[Ordering, Ordering]] = [("concurrent", "concurrent"), ("concurrent", "strict"), ("strict", "strict")]


def race(place: Place, orderings: Sequence[Ordering], rounds: Sequence[Sequence[Sequence[Append]]]) -> list[list[bool]]:
    """Who came through, when each round's commits are appended at the same time, by a log each."""
    start = Barrier(len(orderings))

    def run(number: int) -> list[bool]:
        through = []
        with closing(place.open(orderings[number])) as log:
            for commits in rounds:
                start.wait()
                try:
                    log.append(commits[number])
                    through.append(True)
                except WrongExpectedVersion:
                    through.append(False)
        return through

    with ThreadPoolExecutor(len(orderings)) as threads:
        outcomes = list(threads.map(run, range(len(orderings))))
    with closing(place.open()) as log:
        check_streams(log, list(log.read_all()))
    return [list(outcome) for outcome in zip(*outcomes, strict=True)]


@pytest.mark.parametrize("orderings", PAIRS)
def test_of_two_commits_that_each_rely_on_the_others_absence_one_comes_through(
    place: Place, orderings: Sequence[Ordering]
) -> None:
    rounds = [
        [
            [Append(f"a{i}", written()), Append(f"b{i}", expected=0)],
            [Append(f"b{i}", written()), Append(f"a{i}", (), 0)],
        ]
        for i in range(20)
    ]
    assert all(sorted(through) == [False, True] for through in race(place, orderings, rounds))


@pytest.mark.parametrize("orderings", PAIRS)
def test_commits_to_the_same_streams_in_opposite_order_both_come_through(
    place: Place, orderings: Sequence[Ordering]
) -> None:
    rounds = [
        [[Append("a", written(100)), Append("b", written(100))], [Append("b", written(100)), Append("a", written(100))]]
        for _ in range(10)
    ]
    assert all(all(through) for through in race(place, orderings, rounds))


@pytest.mark.parametrize("orderings", PAIRS)
def test_of_several_commits_with_the_same_expectation_one_comes_through(
    place: Place, orderings: Sequence[Ordering]
) -> None:
    rounds = [[[Append("stream", written(), version)] for _ in orderings] for version in range(20)]
    assert all(sorted(through) == [False, True] for through in race(place, orderings, rounds))


@pytest.mark.parametrize("ordering", get_args(Ordering))
def test_the_same_commit_from_both_sides_is_made_once(place: Place, ordering: Ordering) -> None:
    commits = [[Append("stream", written(3))] for _ in range(10)]
    assert all(all(through) for through in race(place, [ordering, "concurrent"], [[one, one] for one in commits]))
    with closing(place.open()) as log:
        assert [event.id for event in log.read_all()] == [event.id for (one,) in commits for event in one.events]


@pytest.mark.parametrize("ordering", get_args(Ordering))
def test_ids_that_do_not_grow_with_time_are_known_again(place: Place, ordering: Ordering) -> None:
    def append(name: str, data: bytes = b"{}") -> Appended:
        event = msgspec.structs.replace(written()[0], id=uuid5(IDS, name), data=data)
        return log.append([Append("stream", [event])])

    names = [str(number) for number in range(20)]
    with closing(place.open(ordering)) as log:
        log.append([Append("stream", written())])
        first = [append(name) for name in names]
        log.append([Append("stream", written())])
    with closing(place.open(ordering)) as log:
        for name, appended in zip(names, first, strict=True):
            repeated = append(name)
            assert repeated.repeated
            assert repeated.events == appended.events
            with pytest.raises(DuplicateEventId):
                append(name, data=b"[]")
        assert log.version("stream") == len(names) + 2
