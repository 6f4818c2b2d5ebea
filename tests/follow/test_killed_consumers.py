"""Consumers that are killed at any moment, and their successors: every event takes effect exactly once."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

from eventstore.consumer import Consumer
from eventstore.log import Append, Log, NewEvent, RecordedEvent
from projections import open_store
from tests.crash.children import Children
from tests.stores import children, folder, lasting

__all__ = ["children", "folder", "lasting"]

EVENTS, KILLS = 60, 6


def note(number: int | bytes) -> NewEvent:
    return NewEvent(type="tests.noted", data=b"%d" % number if isinstance(number, int) else number)


def consumer_of(log: Log, tell: Callable[[int], object]) -> Consumer:
    def echo(given: Sequence[RecordedEvent]) -> list[Append]:
        tell(len(given))
        return [Append("done", [note(each.data) for each in given])]

    return Consumer(log, "echo", echo, streams=["work"], batch=2)


def consume_for_ever(test: Connection, place: str) -> None:
    with open_store(place) as store:
        consumer_of(store.log, test.send).run()


def test_killed_consumers_leave_every_effect_exactly_once(lasting: str, children: Children) -> None:
    choices = random.Random(5)
    with open_store(lasting, durability="none") as store:
        store.log.append([Append("work", [note(number) for number in range(EVENTS)])])
        for _ in range(KILLS):
            child = children.start(consume_for_ever, lasting)
            for _ in range(choices.randint(1, 3)):
                child.receive()
            child.kill()
            assert child.end() == -signal.SIGKILL
        with consumer_of(store.log, lambda _: None) as consumer:
            assert 0 < consumer.catch_up() < EVENTS
        assert [event.data for event in store.log.read("done")] == [event.data for event in store.log.read("work")]
