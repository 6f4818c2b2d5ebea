"""Named consumers: effects and checkpoint are one commit, whatever fails and whoever else consumes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventstore.consumer import Consumer, wait_for
from eventstore.errors import CheckpointConflict, InvalidInput, WrongExpectedVersion
from eventstore.log import Append, Checkpoint, Log, RecordedEvent
from eventstore.testing.opening import PATIENCE, Opening, datas, event, events, in_threads, unchanged, write


def echo(given: Sequence[RecordedEvent]) -> list[Append]:
    """Append the same data to the stream `done`."""
    return [Append("done", [event(each.data) for each in given])]


def work(log: Log, name: str = "echo", batch: int = 100) -> Consumer:
    """A consumer that echoes the stream `work`."""
    return Consumer(log, name, echo, streams=["work"], batch=batch)


class Stumbling:
    """A handler that echoes, until it comes to an event of this data."""

    def __init__(self, data: bytes) -> None:
        self.data, self.given = data, list[int]()

    def __call__(self, given: Sequence[RecordedEvent]) -> list[Append]:
        self.given.append(len(given))
        if self.data in [each.data for each in given]:
            raise ValueError(f"cannot take {self.data.decode()}")
        return echo(given)


class Consuming(Opening):
    """A consumer handles each event once, in order."""

    @pytest.mark.parametrize("batch", [1, 3, 100])
    def test_effects_of_all_events_are_there_once_in_order(self, log: Log, batch: int) -> None:
        write(log, "work", 7)
        with work(log, batch=batch) as consumer:
            assert [consumer.catch_up(), consumer.catch_up()] == [7, 0]
        assert datas(log.read("done")) == datas(log.read("work"))

    def test_a_consumer_made_anew_goes_on_after_the_last_effect(self, log: Log) -> None:
        for number in range(1, 4):
            write(log, "work", 2)
            with work(log) as consumer:
                assert consumer.catch_up() == 2
            assert log.version("done") == 2 * number

    def test_a_consumer_that_begins_at_the_end_goes_on_at_its_checkpoint_afterwards(self, log: Log) -> None:
        write(log, "work", 3)
        for expected in (0, 2):
            with Consumer(log, "end", echo, streams=["work"], begin=log.head()) as consumer:
                assert consumer.catch_up() == expected
            write(log, "work", 2)
        assert log.version("done") == 2

    def test_the_checkpoint_is_stored_with_the_effects(self, log: Log) -> None:
        def look(given: Sequence[RecordedEvent]) -> list[Append]:
            seen.append((log.checkpoint("look"), log.version("done")))
            return echo(given)

        seen: list[tuple[int | None, int]] = []
        appended = write(log, "work", 3).events
        with Consumer(log, "look", look, streams=["work"], batch=1) as consumer:
            consumer.catch_up()
        assert seen == [(None, 0), (appended[0].position, 1), (appended[1].position, 2)]

    def test_the_checkpoint_passes_over_what_the_consumer_does_not_want(self, log: Log) -> None:
        write(log, "else", 3)
        with work(log) as consumer:
            assert consumer.standing().lag == log.head()
            assert consumer.catch_up() == 0
            assert (consumer.standing().checkpoint, consumer.standing().lag) == (log.head(), 0)

    def test_a_handler_may_make_nothing_of_an_event(self, log: Log) -> None:
        last = write(log, "work", 3).events[-1].position
        with Consumer(log, "skip", lambda given: None) as consumer:
            assert consumer.catch_up() == 3
        assert (log.checkpoint("skip"), log.head()) == (last, last)

    @pytest.mark.parametrize("batch", [1, 100])
    def test_a_handler_that_fails_does_not_move_the_checkpoint_past_the_event(self, log: Log, batch: int) -> None:
        appended = write(log, "work", 5).events
        with Consumer(log, "stumble", Stumbling(b"4"), streams=["work"], batch=batch) as consumer:
            for _ in range(2):
                with pytest.raises(ValueError, match="cannot take 4"):
                    consumer.catch_up()
                standing = consumer.standing()
                assert (standing.checkpoint, standing.stuck_at) == (appended[2].position, appended[3].position)
                assert standing.error == "ValueError: cannot take 4"
                assert datas(log.read("done")) == [b"1", b"2", b"3"]

    def test_a_handler_that_was_mended_goes_on_with_the_event_it_failed_on(self, log: Log) -> None:
        write(log, "work", 5)
        handler = Stumbling(b"4")
        with Consumer(log, "stumble", handler, streams=["work"]) as consumer:
            with pytest.raises(ValueError, match="cannot take"):
                consumer.catch_up()
            handler.data = b"none"
            assert consumer.catch_up() == 2
            assert (consumer.standing().stuck_at, consumer.standing().error) == (None, "")
        assert datas(log.read("done")) == datas(log.read("work"))
        assert handler.given == [5, 1, 1, 1, 1, 2]

    def test_effects_that_are_refused_fail_the_event_they_are_of(self, log: Log) -> None:
        appended = write(log, "work", 3).events

        def expect(given: Sequence[RecordedEvent]) -> list[Append]:
            return [Append("done", [event(each.data)], each.version - 1 if each.version < 3 else 9) for each in given]

        with Consumer(log, "expect", expect, streams=["work"]) as consumer:
            with pytest.raises(WrongExpectedVersion):
                consumer.catch_up()
            assert consumer.standing().stuck_at == appended[2].position
        assert datas(log.read("done")) == [b"1", b"2"]

    def test_of_two_consumers_the_one_that_comes_too_late_stops_and_stores_nothing(self, log: Log) -> None:
        write(log, "work", 3)
        with work(log) as first, work(log) as second:
            assert second.catch_up() == 3
            with unchanged(log):
                for _ in range(2):
                    with pytest.raises(CheckpointConflict):
                        first.catch_up()
        assert datas(log.read("done")) == datas(log.read("work"))

    def test_consumers_of_different_names_are_independent(self, log: Log) -> None:
        write(log, "work", 2)
        with work(log, "one") as one, work(log, "two") as two:
            assert [one.catch_up(), two.catch_up()] == [2, 2]
        assert log.version("done") == 4

    def test_a_consumer_whose_checkpoint_was_moved_back_begins_there(self, log: Log) -> None:
        first, *_ = write(log, "work", 3).events
        with work(log) as consumer:
            consumer.catch_up()
        log.append([], checkpoint=Checkpoint("echo", first.position))
        with work(log) as consumer:
            assert consumer.catch_up() == 2

    def test_a_running_consumer_handles_what_comes_until_it_is_closed(self, log: Log) -> None:
        write(log, "work", 2)
        with ThreadPoolExecutor(1) as pool, work(log) as consumer:
            running = pool.submit(consumer.run)
            for _ in range(3):
                last = write(log, "work", 2).events[-1].position
                assert log.wait(last - 1, PATIENCE)
                assert wait_for(log, "echo", last, PATIENCE)
            consumer.close()
            running.result(PATIENCE)
        assert datas(log.read("done")) == datas(log.read("work"))

    def test_waiting_for_a_consumer_that_does_not_come_ends_in_time(self, log: Log) -> None:
        last = write(log, "work").events[-1].position
        assert not wait_for(log, "echo", last, 0)
        with work(log) as consumer:
            consumer.catch_up()
        assert wait_for(log, "echo", last, 0)

    def test_waiting_for_a_position_that_nobody_has_written_fails_at_once(self, log: Log) -> None:
        with pytest.raises(InvalidInput):
            wait_for(log, "echo", log.head() + 1, PATIENCE)

    def test_a_batch_of_nothing_is_refused(self, log: Log) -> None:
        with pytest.raises(InvalidInput):
            work(log, batch=0)

    def test_a_batch_or_a_handler_that_is_none_is_refused(self, log: Log) -> None:
        wrong: Any = "x"
        with pytest.raises(InvalidInput):
            Consumer(log, "echo", lambda _: [], batch=wrong)
        with pytest.raises(InvalidInput):
            Consumer(log, "echo", wrong)


def consume(log: Log, last: int) -> None:
    """Consume under a name that others use too, and begin anew whenever one of them was faster."""
    while (log.checkpoint("echo") or 0) < last:
        with contextlib.suppress(CheckpointConflict), work(log, batch=2) as consumer:
            consumer.catch_up()


class ConsumingElsewhere(Opening):
    """It does not matter which process consumes."""

    @pytest.fixture
    def other(self, tmp_path: Path, log: Log) -> Iterator[Log]:
        """Another open log of the same place, as another process would have it."""
        with closing(self.open_log(tmp_path)) as other:
            yield other

    def test_another_open_log_goes_on_where_one_consumer_has_stopped(self, log: Log, other: Log) -> None:
        write(log, "work", 2)
        with work(log) as consumer:
            consumer.catch_up()
            log.append([Append("work", events(2))])
            with work(other) as successor:
                assert successor.catch_up() == 2
            write(log, "work")
            with pytest.raises(CheckpointConflict):
                consumer.catch_up()
        assert log.version("done") == 4

    def test_effects_are_there_once_however_many_consume_under_one_name(self, log: Log, other: Log) -> None:
        last = write(log, "work", 12).events[-1].position
        logs = (log, other)
        in_threads(lambda number: consume(logs[number % 2], last), 4)
        assert datas(log.read("done")) == datas(log.read("work"))
