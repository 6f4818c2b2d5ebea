"""Names that one at a time holds, and consumers that take turns by them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from eventstore.consumer import Consumer, wait_for
from eventstore.errors import InvalidInput, NameHeld
from eventstore.log import Append, Checkpoint, Log, RecordedEvent
from eventstore.testing.consuming import echo, work
from eventstore.testing.opening import PATIENCE, Opening, datas, in_threads, unchanged, write

NAMES = ["views", "Views", "../up", "a/b:c", "é" * 500]


@contextmanager
def running(*consumers: Consumer) -> Iterator[list[Future[None]]]:
    """Consumers that run, each in a thread of its own, until this is left."""
    with ThreadPoolExecutor(len(consumers)) as pool, ExitStack() as stack:
        for consumer in consumers:
            stack.enter_context(consumer)
        yield [pool.submit(consumer.run) for consumer in consumers]


def handled(log: Log, count: int) -> None:
    """Append so many events, and see to it that they are echoed."""
    last = write(log, "work", count).events[-1].position
    assert wait_for(log, "echo", last, PATIENCE)
    assert datas(log.read("done")) == datas(log.read("work"))


class Handling:
    """A handler that echoes, and holds still at its first event until it is let go on."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, given: Sequence[RecordedEvent]) -> list[Append]:
        self.reached.set()
        assert self.go_on.wait(PATIENCE)
        return echo(given)


class Holding(Opening):
    """A name is held by one at a time."""

    def test_a_name_that_is_held_is_refused_at_once_until_it_is_released(self, log: Log) -> None:
        with unchanged(log):
            for _ in range(2):
                with log.hold("views"):
                    with pytest.raises(NameHeld) as caught:
                        log.hold("views")
                    assert caught.value.holder.endswith(f":{os.getpid()}")
                    assert log.holder("views") == caught.value.holder
                assert log.holder("views") is None

    def test_names_are_held_one_by_one(self, log: Log) -> None:
        with ExitStack() as stack:
            for name in NAMES:
                assert log.holder(name) is None
                stack.enter_context(log.hold(name))
            assert all(log.holder(name) for name in NAMES)
        assert not any(log.holder(name) for name in NAMES)

    def test_a_hold_can_be_released_again_and_again(self, log: Log) -> None:
        first = log.hold("views")
        held = [first.held]
        first.release()
        assert [*held, first.held] == [True, False]
        with log.hold("views") as second:
            first.release()
            assert second.held
            assert log.holder("views")

    def test_of_eight_threads_one_holds_a_name_whoever_looks(self, log: Log) -> None:
        def take(number: int) -> int:
            log.holder("views")
            try:
                stack.enter_context(log.hold("views"))
            except NameHeld:
                return 0
            return 1

        for _ in range(3):
            with ExitStack() as stack:
                assert sum(in_threads(take)) == 1

    @pytest.mark.parametrize("name", ["", "a\0", "\ud800"])
    def test_what_can_be_no_name_is_refused(self, log: Log, name: str) -> None:
        for call in (log.hold, log.holder):
            with pytest.raises(InvalidInput):
                call(name)

    def test_of_two_running_consumers_one_works_and_the_other_takes_over(self, log: Log) -> None:
        consumers = [work(log), work(log)]
        with running(*consumers) as futures:
            for _ in range(2):
                handled(log, 3)
                assert not any(future.done() for future in futures)
            consumers[0].close()
            handled(log, 2)
            futures[0].result(PATIENCE)
            assert not futures[1].done()

    def test_a_consumer_that_may_not_wait_is_refused_at_once(self, log: Log) -> None:
        with log.hold("echo"), work(log) as consumer, unchanged(log), pytest.raises(NameHeld):
            consumer.run(timeout=0)
        with work(log) as consumer:
            consumer.close()
            consumer.run(timeout=0)

    def test_a_consumer_that_stands_by_can_be_closed(self, log: Log) -> None:
        with log.hold("echo"), running(work(log)) as (standing_by,):
            assert not standing_by.done()
        standing_by.result(PATIENCE)

    def test_a_consumer_that_somebody_else_has_overtaken_goes_on_after_that(self, log: Log) -> None:
        handling = Handling()
        write(log, "work", 2)
        with running(Consumer(log, "echo", handling, streams=["work"])) as (slow,):
            assert handling.reached.wait(PATIENCE)
            with work(log) as other:
                assert other.catch_up() == 2
            handling.go_on.set()
            handled(log, 3)
            assert not slow.done()

    def test_who_stands_by_begins_at_the_checkpoint_that_is_there_then(self, log: Log) -> None:
        appended = write(log, "work", 3).events
        with log.hold("echo") as hold, running(work(log)):
            log.append([], checkpoint=Checkpoint("echo", appended[1].position))
            hold.release()
            assert wait_for(log, "echo", appended[2].position, PATIENCE)
        assert datas(log.read("done")) == [appended[2].data]

    @pytest.mark.parametrize("name", ["", "a\0", 5, None])
    def test_what_can_be_no_name_of_a_consumer_is_refused(self, log: Log, name: Any) -> None:
        with pytest.raises(InvalidInput):
            work(log, name)


class HoldingElsewhere(Opening):
    """It does not matter which process holds a name."""

    def test_another_open_log_finds_the_name_held_until_it_is_released(self, tmp_path: Path, log: Log) -> None:
        with closing(self.open_log(tmp_path)) as other:
            with log.hold("views"):
                assert other.holder("views") == log.holder("views")
                with pytest.raises(NameHeld):
                    other.hold("views")
            with other.hold("views"):
                assert log.holder("views")

    def test_consumers_of_several_open_logs_take_turns(self, tmp_path: Path, log: Log) -> None:
        with closing(self.open_log(tmp_path)) as other, running(work(log), work(other)):
            handled(log, 5)
            handled(other, 5)
