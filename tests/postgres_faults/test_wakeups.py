"""Who waits for a log is told of commits through the server, and finds without being told what was not told.

`by_being_told` leaves no other way: who waits looks once an hour.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection

import psycopg
import pytest

import eventstore.postgres_wakeup
from eventstore.follow import follow
from eventstore.log import Append, Log, NewEvent
from eventstore.postgres import PostgresLog
from tests.crash.children import Children
from tests.postgres_server import Server

from .proxy import Proxy

PATIENCE = 30.0
HOUR = 3600.0
LISTENERS = "SELECT pid FROM pg_stat_activity WHERE query = %s"


@pytest.fixture
def by_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventstore.postgres_wakeup, "_POLL_SECONDS", HOUR)
    monkeypatch.setattr(eventstore.postgres_wakeup, "_HEARING_POLL_SECONDS", HOUR)
    monkeypatch.setattr(eventstore.postgres_wakeup, "_RECONNECT_SECONDS", 0.01)


def append(log: Log, stream: str = "a") -> None:
    log.append([Append(stream, [NewEvent(type="noted", data=b"{}")])])


def append_elsewhere(_: Connection, dsn: str, schema: str) -> None:
    with closing(PostgresLog(dsn, schema=schema)) as log:
        append(log)


@contextmanager
def waiting(log: Log, after: int) -> Iterator[Callable[[], bool]]:
    """Somebody waits in another thread; what is given tells what came of it."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(log.wait, after, HOUR)
        try:
            yield lambda: future.result(PATIENCE)
        finally:
            if not future.done():
                log.close()


def listeners(server: Server, schema: str) -> list[int]:
    with psycopg.connect(server.dsn) as connection:
        return [pid for (pid,) in connection.execute(LISTENERS, (f'LISTEN "flowledger_{schema}"',)).fetchall()]


def until(condition: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("it has not come to that")


def test_a_commit_in_another_process_wakes_who_waits(
    server: Server, schema: str, children: Children, by_being_told: None
) -> None:
    with closing(PostgresLog(server.dsn, schema=schema)) as log, waiting(log, 0) as woken:
        until(lambda: listeners(server, schema))
        assert children.start(append_elsewhere, server.dsn, schema).result() is None
        assert woken()


def test_purges_and_restores_wake_who_waits(server: Server, schema: str, by_being_told: None) -> None:
    with (
        closing(PostgresLog(server.dsn, schema=schema)) as log,
        closing(PostgresLog(server.dsn, schema=schema)) as other,
        closing(PostgresLog(server.dsn, schema=f"{schema[:30]}_b")) as source,
    ):
        append(source, "b")
        append(other)
        with waiting(log, log.head()) as woken:
            until(lambda: listeners(server, schema))
            other.purge("a")
            assert woken()
        with waiting(log, log.head()) as woken:
            other.restore([[event] for event in source.read_all()])
            assert woken()


def test_a_listener_that_was_cut_off_comes_back_and_nothing_is_missed(
    server: Server, schema: str, by_being_told: None
) -> None:
    with (
        closing(PostgresLog(server.dsn, schema=schema)) as log,
        closing(PostgresLog(server.dsn, schema=schema)) as other,
        psycopg.connect(server.dsn, autocommit=True) as connection,
        follow(log) as follower,
    ):
        for number in range(1, 4):
            with ThreadPoolExecutor(1) as pool:
                coming = pool.submit(follower.next)
                until(lambda: listeners(server, schema))
                for pid in listeners(server, schema):
                    connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
                append(other)
                event = coming.result(PATIENCE)
                assert event is not None
                assert event.version == number


@pytest.mark.parametrize(("told", "listens"), [(False, True), (True, False), (False, False)])
def test_what_nobody_tells_or_hears_is_found_all_the_same(
    server: Server, schema: str, told: bool, listens: bool
) -> None:
    with (
        closing(PostgresLog(server.dsn, schema=schema, notify=listens)) as log,
        closing(PostgresLog(server.dsn, schema=schema, notify=told)) as other,
    ):
        for _ in range(3):
            with waiting(log, log.head()) as woken:
                append(other)
                assert woken()
        assert bool(listeners(server, schema)) == listens


def test_where_no_connection_is_left_to_listen_on_news_is_found(server: Server, schema: str) -> None:
    with (
        Proxy(server.port) as proxy,
        closing(PostgresLog(server.dsn, schema=schema)) as other,
        closing(PostgresLog(proxy.dsn, schema=schema)) as log,
    ):
        until(lambda: not log.wait(0, 0.1) and listeners(server, schema))
        for _ in range(3):
            proxy.cut_all()
            with waiting(log, log.head()) as woken:
                append(other)
                assert woken()


def test_stores_in_one_database_do_not_wake_each_other(server: Server, schema: str, by_being_told: None) -> None:
    looks = list[int]()

    class Looking(PostgresLog):
        def head(self) -> int:
            looks.append(1)
            return super().head()

    with (
        closing(Looking(server.dsn, schema=schema)) as log,
        closing(PostgresLog(server.dsn, schema=schema)) as other,
        closing(PostgresLog(server.dsn, schema=f"{schema[:30]}_b")) as stranger,
        closing(PostgresLog(server.dsn, schema=f"{schema[:30]}_b")) as witness,
        waiting(log, 0) as woken,
        waiting(witness, 0) as witnessed,
    ):
        until(lambda: len(looks) >= 2 and len(listeners(server, f"{schema[:30]}_b")) == 1)  # it has begun to hear
        before = len(looks)
        append(stranger)
        assert witnessed()
        assert len(looks) == before
        append(other)
        assert woken()


def test_closing_a_log_tells_of_its_last_commit_and_ends_its_threads(server: Server, schema: str) -> None:
    with closing(PostgresLog(server.dsn, schema=schema)) as log, psycopg.connect(server.dsn) as connection:
        connection.execute(f'LISTEN "flowledger_{schema}"'.encode())
        connection.commit()
        before = threading.active_count()
        with closing(PostgresLog(server.dsn, schema=schema)) as other:
            assert not other.wait(0, 0.1)
            append(other)
        assert [*connection.notifies(timeout=PATIENCE, stop_after=1)]
        assert threading.active_count() == before
        assert log.head() == 1


def test_a_burst_of_commits_is_told_of_a_few_times(
    server: Server, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventstore.postgres_wakeup, "NOTIFY_SECONDS", HOUR)
    with closing(PostgresLog(server.dsn, schema=schema)) as log, psycopg.connect(server.dsn) as connection:
        connection.execute(f'LISTEN "flowledger_{schema}"'.encode())
        connection.commit()
        for _ in range(50):
            append(log)
        log.close()  # which waits no longer with what is still to be told
        assert 1 <= len([*connection.notifies(timeout=0.1)]) <= 2
