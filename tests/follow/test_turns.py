"""Consumers of one name in several processes: whichever is killed, or loses its hold, another one goes on."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

import psycopg
import pytest

from eventstore.consumer import Consumer, wait_for
from eventstore.errors import NameHeld
from eventstore.hold import worker
from eventstore.log import Append, Log, NewEvent, RecordedEvent
from projections import open_store
from tests.crash.children import Children
from tests.postgres import postgres, postgres_address
from tests.stores import children, folder, lasting

__all__ = ["children", "folder", "lasting", "postgres", "postgres_address"]

PATIENCE = 60.0
TERMINATE_HOLDERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = %s AND query LIKE '%%pg_try_advisory%%'"""


def echo(given: Sequence[RecordedEvent]) -> list[Append]:
    return [Append("done", [NewEvent(type="tests.noted", data=each.data) for each in given])]


def consumer_of(log: Log) -> Consumer:
    return Consumer(log, "echo", echo, streams=["work"], batch=2)


def handled(log: Log, count: int = 5) -> None:
    events = [NewEvent(type="tests.noted", data=b"%d" % number) for number in range(count)]
    last = log.append([Append("work", events)]).events[-1].position
    assert wait_for(log, "echo", last, PATIENCE)
    assert [event.data for event in log.read("done")] == [event.data for event in log.read("work")]


def consume_for_ever(test: Connection, place: str) -> None:
    with open_store(place) as store, consumer_of(store.log) as consumer:
        test.send("begun")
        consumer.run()


def hold_and_fork(test: Connection, place: str) -> None:
    """Hold a name, and be killed, while a forked process lives on until the test lets go of the child."""
    with open_store(place) as store:
        hold = store.log.hold("echo")
        begun, begin = os.pipe()
        if os.fork() == 0:
            os.write(begin, b"x" if not hold.held else b"?")
            with contextlib.suppress(EOFError, ConnectionResetError):
                test.recv()
            os._exit(0)
        assert os.read(begun, 1) == b"x"
        test.send(store.log.holder("echo"))
        os.kill(os.getpid(), signal.SIGKILL)


def test_whoever_stands_by_takes_over_from_one_that_is_killed_whatever_that_has_forked(
    lasting: str, children: Children
) -> None:
    with open_store(lasting, durability="none") as store, ThreadPoolExecutor(1) as pool:
        child = children.start(consume_for_ever, lasting)
        assert child.receive() == "begun"
        handled(store.log)
        holder = store.log.holder("echo")
        assert holder is not None
        assert holder.endswith(f":{child.pid}")
        with consumer_of(store.log) as consumer:
            standing_by = pool.submit(consumer.run)
            handled(store.log)
            assert store.log.holder("echo") == holder
            child.kill()
            assert child.end() == -signal.SIGKILL
            handled(store.log)
            assert store.log.holder("echo") == worker()
        standing_by.result(PATIENCE)
        child = children.start(hold_and_fork, lasting)
        assert child.receive().endswith(f":{child.pid}")
        with consumer_of(store.log) as consumer:
            taking_over = pool.submit(consumer.run)
            handled(store.log)
        taking_over.result(PATIENCE)
        assert child.end() == -signal.SIGKILL


def test_a_consumer_whose_hold_is_cut_off_takes_its_turn_again(
    postgres_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.consumer._IDLE_SECONDS", 0.01)
    dsn = postgres_address.split("?")[0]
    with open_store(postgres_address) as store, ThreadPoolExecutor(1) as pool, consumer_of(store.log) as consumer:
        running = pool.submit(consumer.run)
        for _ in range(3):
            handled(store.log)
            holder = store.log.holder("echo")
            assert holder is not None
            with psycopg.connect(dsn) as other:
                assert len(other.execute(TERMINATE_HOLDERS, (f"flowledger {holder}",)).fetchall()) == 1
            handled(store.log)
            assert not running.done()
        consumer.close()
        running.result(PATIENCE)


def test_a_hold_that_is_cut_off_is_known_to_be_lost(postgres_address: str) -> None:
    dsn = postgres_address.split("?")[0]
    with open_store(postgres_address) as store, store.log.hold("echo") as hold:
        with psycopg.connect(dsn) as other:
            other.execute(TERMINATE_HOLDERS, (f"flowledger {store.log.holder('echo')}",))
        while hold.held:
            assert store.log.version("none") == 0
        with store.log.hold("echo") as again:
            assert again.held
            with pytest.raises(NameHeld):
                store.log.hold("echo")
