"""Following: all that is there, then all that comes, whoever writes it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from eventstore.errors import Closed, InvalidInput
from eventstore.follow import Follower, follow
from eventstore.log import PURGES, Append, Log, RecordedEvent
from eventstore.testing.opening import PATIENCE, Opening, event, events, in_threads, write
from eventstore.testing.order import append_blocks


def there(follower: Follower) -> list[RecordedEvent]:
    """What a follower gives out without waiting."""
    return list(iter(lambda: follower.next(timeout=0), None))


def taken(follower: Follower, count: int) -> list[RecordedEvent]:
    """The next so many events, or fewer if it is closed before."""
    return list(islice(follower, count))


def everything(log: Log, count: int) -> list[RecordedEvent]:
    """The whole log, followed from its beginning until so many events have come."""
    with follow(log) as follower:
        return taken(follower, count)


class Following(Opening):
    """A follower reads a log to its end, and then goes on."""

    def test_a_follower_gives_what_is_there_and_then_what_comes(self, log: Log) -> None:
        write(log, "a", 3)
        with follow(log) as follower, ThreadPoolExecutor(1) as pool:
            assert taken(follower, 3) == list(log.read("a"))
            coming = pool.submit(taken, follower, 4)
            for _ in range(2):
                write(log, "b", 2)
            assert coming.result(PATIENCE) == list(log.read("b"))

    def test_a_follower_begins_after_a_position(self, log: Log) -> None:
        first, *rest = write(log, "a", 3).events
        with follow(log, after=first.position) as follower:
            assert there(follower) == rest

    def test_a_follower_begins_at_the_end(self, log: Log) -> None:
        for count in (0, 3):
            write(log, "a", count)
            with follow(log, after=log.head()) as follower:
                assert there(follower) == []
                appended = write(log, "a", 2)
                assert taken(follower, 2) == list(appended.events)

    def test_a_follower_of_an_empty_log_has_caught_up_at_once(self, log: Log) -> None:
        with follow(log) as follower:
            assert not follower.caught_up.is_set()
            assert follower.next(timeout=0) is None
            assert follower.caught_up.is_set()

    def test_a_follower_has_caught_up_when_it_is_asked_for_more_than_there_is(self, log: Log) -> None:
        write(log, "a", 3)
        with follow(log) as follower:
            taken(follower, 3)
            assert not follower.caught_up.is_set()
            assert follower.next(timeout=0) is None
            assert follower.caught_up.is_set()

    def test_another_thread_can_wait_until_a_follower_has_caught_up(self, log: Log) -> None:
        write(log, "a", 3)
        with follow(log) as follower, ThreadPoolExecutor(1) as pool:
            found = pool.submit(list, follower)
            assert follower.caught_up.wait(PATIENCE)
            follower.close()
            assert found.result(PATIENCE) == list(log.read("a"))

    def test_waiting_for_an_event_that_does_not_come_ends_in_time(self, log: Log) -> None:
        with follow(log) as follower:
            assert follower.next(timeout=0.05) is None
            appended = write(log, "a")
            assert (follower.next(timeout=PATIENCE),) == appended.events

    def test_a_follower_of_types_and_streams_gives_those_and_passes_over_the_rest(self, log: Log) -> None:
        def fill() -> list[RecordedEvent]:
            return list(
                log.append(
                    [Append(stream, [event(type=type)]) for stream in "abc" for type in ("noted", "ended")]
                ).events
            )

        filters: tuple[tuple[Collection[str] | None, Collection[str] | None, list[int]], ...] = (
            (["ended"], None, [1, 3, 5]),
            (None, ["a", "c"], [0, 1, 4, 5]),
            ({"noted"}, {"b", "unknown"}, [2]),
            (None, [], []),
        )
        before = fill()
        for types, streams, places in filters:
            with follow(log, after=before[0].position - 1, types=types, streams=streams) as follower:
                assert there(follower) == [before[place] for place in places]
                assert follower.position == log.head()
                before = fill()
                assert there(follower) == [before[place] for place in places]
                assert follower.position == log.head()

    @pytest.mark.parametrize("names", ["noted", [""], ["\ud800"]])
    def test_a_filter_that_can_match_nothing_is_refused(self, log: Log, names: Collection[str]) -> None:
        with pytest.raises(InvalidInput):
            follow(log, types=names)
        with pytest.raises(InvalidInput):
            follow(log, streams=names)

    def test_followers_miss_nothing_and_repeat_nothing_while_eight_threads_write(self, log: Log) -> None:
        with ThreadPoolExecutor(2) as followers:
            following = [followers.submit(everything, log, 8 * 10 * 5) for _ in range(2)]
            in_threads(lambda writer: append_blocks(log, writer, 10))
            for each in following:
                assert each.result(PATIENCE) == list(log.read_all())

    def test_a_follower_passes_over_what_was_purged_before_it_came(self, log: Log) -> None:
        with follow(log) as follower:
            write(log, "gone", 3)
            write(log, "kept", 2)
            log.purge("gone")
            write(log, "gone")
            found = [(e.stream, e.version) for e in there(follower)]
            assert found == [("kept", 1), ("kept", 2), (PURGES, 1), ("gone", 1)]
            log.purge("gone")
            assert [(e.stream, e.version) for e in there(follower)] == [(PURGES, 2)]

    def test_any_thread_can_close_a_follower_that_waits(self, log: Log) -> None:
        with ThreadPoolExecutor(1) as pool:
            follower = follow(log)
            waiting = pool.submit(list, follower)
            assert follower.caught_up.wait(PATIENCE)
            for _ in range(3):
                follower.close()
            assert waiting.result(PATIENCE) == []

    def test_a_follower_that_was_closed_gives_nothing_more_and_leaves_the_log_open(self, log: Log) -> None:
        write(log, "a", 3)
        for count in (0, 1):
            with follow(log) as follower:
                taken(follower, count)
            assert follower.closed
            assert list(follower) == []
            assert follower.next(timeout=PATIENCE) is None
        assert write(log, "a").versions == {"a": 4}

    def test_a_follower_whose_log_is_closed_says_so(self, log: Log) -> None:
        with ThreadPoolExecutor(1) as pool, follow(log) as follower:
            waiting = pool.submit(list, follower)
            assert follower.caught_up.wait(PATIENCE)
            log.close()
            with pytest.raises(Closed):
                waiting.result(PATIENCE)


class FollowingOthers(Opening):
    """It does not matter which process writes."""

    @pytest.fixture
    def other(self, tmp_path: Path, log: Log) -> Iterator[Log]:
        """Another open log of the same place, as another process would have it."""
        with closing(self.open_log(tmp_path)) as other:
            yield other

    def test_a_follower_gives_what_another_open_log_appends(self, log: Log, other: Log) -> None:
        caught_up = threading.Event()

        def five() -> list[RecordedEvent]:
            with follow(log) as follower:
                assert follower.next(timeout=0) is None
                caught_up.set()
                return taken(follower, 5)

        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(five)
            assert caught_up.wait(PATIENCE)
            for _ in range(5):
                other.append([Append("a", events(1))])
            assert coming.result(PATIENCE) == list(other.read("a"))

    def test_a_follower_goes_on_in_another_open_log_where_it_was(self, log: Log, other: Log) -> None:
        appended = write(log, "a", 5).events
        with follow(log) as follower:
            before = taken(follower, 2)
        with follow(other, after=follower.position) as follower:
            assert [*before, *there(follower)] == list(appended)
