"""Order: what many threads that write and read at once may rely on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import pytest

from eventstore.errors import WrongExpectedVersion
from eventstore.log import EXISTS, Append, Log, RecordedEvent
from eventstore.testing.opening import PATIENCE, Opening, datas, event, events, in_threads, write


def won(log: Log, stream: str, expected: int) -> bool:
    """Whether an append with this expectation was the one that succeeded."""
    try:
        write(log, stream, expected=expected)
    except WrongExpectedVersion:
        return False
    return True


class Order(Opening):
    """Writers are put in one order, and every reader sees that order from its beginning."""

    def test_of_eight_writers_with_the_same_expectation_exactly_one_wins(self, log: Log) -> None:
        for version in range(10):
            expected = version
            assert sum(in_threads(lambda _, expected=expected: won(log, "a", expected))) == 1
            assert log.version("a") == version + 1

    def test_eight_writers_without_an_expectation_all_succeed(self, log: Log) -> None:
        def append(number: int) -> list[int]:
            return [write(log, "a", 2).events[0].version for _ in range(10)]

        firsts = [version for each in in_threads(append) for version in each]

        assert sorted(firsts) == list(range(1, 161, 2))
        assert [e.version for e in log.read("a")] == list(range(1, 161))

    def test_writers_who_read_decide_and_retry_lose_no_update(self, log: Log) -> None:
        write(log, "counter")

        def count(number: int) -> None:
            for _ in range(5):
                while not won(log, "counter", log.version("counter")):
                    pass

        in_threads(count)

        assert log.version("counter") == 1 + 8 * 5

    def test_a_commit_over_two_streams_wins_or_loses_in_both(self, log: Log) -> None:
        """Eight writers want two of eight neighbouring streams each, which are to be new: neighbours conflict."""

        def take(number: int) -> bool:
            both = [Append(f"s-{(number + i) % 8}", [event(b"%d" % number)], 0) for i in (0, 1)]
            try:
                log.append(both)
            except WrongExpectedVersion:
                return False
            return True

        winners = [number for number, taken in enumerate(in_threads(take)) if taken]

        owners = {stream: datas(log.read(f"s-{stream}")) for stream in range(8)}
        assert winners
        assert log.head() == 2 * len(winners)
        for number in winners:
            assert owners[number] == owners[(number + 1) % 8] == [b"%d" % number]

    def test_commits_of_several_writers_do_not_interleave(self, log: Log) -> None:
        def append(number: int) -> None:
            for _ in range(10):
                batch = [event(b"%d" % number) for _ in range(3)]
                log.append([Append(f"own-{number}", batch), Append("shared", batch_of(number))])

        def batch_of(number: int) -> list[NewEventOf]:
            return [event(b"%d" % number) for _ in range(2)]

        in_threads(append)

        found = list(log.read_all())
        runs = [len(list(run)) for _, run in groupby(found, key=lambda e: e.data)]
        assert len(found) == 8 * 10 * 5
        assert all(length % 5 == 0 for length in runs)
