"""The server is stopped, killed and loses processes while others append: nothing acknowledged is lost or twice there,
and the writers go on by themselves.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import get_args

import psycopg
import pytest

from eventstore.log import Append, NewEvent
from eventstore.postgres import Ordering, PostgresLog
from projections import open_store
from projections.inline_views import UNPROJECTED
from tests.crash.children import Children
from tests.crash.oracle import Attempts, survivors_of
from tests.postgres_server import PATIENCE, Server
from tests.sql_stores import sql_log
from tests.stores import folded, tables_of

from .writers import append_until_told, first_attempts, open_log

PROCESSES = [["a.1", "a.2"], ["b.1", "b.2"]]
COMMITS = 5
"""How many commits of each writer come before and after each blow."""

BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'flowledger' AND pid <> pg_backend_pid()"


def kill_the_postmaster(server: Server) -> None:
    server.kill()
    server.start()


def kill_a_backend(server: Server) -> None:
    """All others go with it: it might have left the shared memory in any state."""
    with psycopg.connect(server.dsn) as connection:
        while not (pids := connection.execute(BACKENDS).fetchall()):
            pass
    ((pid,), *_) = pids
    os.kill(pid, signal.SIGKILL)


def terminate_the_backends(server: Server) -> None:
    with psycopg.connect(server.dsn) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM ({BACKENDS}) AS others")


def stop_at_once(server: Server) -> None:
    server.restart("immediate")


def stop_in_order(server: Server) -> None:
    server.restart()


BLOWS: list[Callable[[Server], None]] = [
    terminate_the_backends,
    stop_at_once,
    kill_a_backend,
    kill_the_postmaster,
    stop_in_order,
]


class Writing:
    """Writers in child processes, and what they have seen acknowledged."""

    def __init__(self, children: Children, place: str) -> None:
        self.acknowledged = Counter[str]()
        self._children = {children.start(append_until_told, place, names): names for names in PROCESSES}

    def go_on(self) -> None:
        """Until every writer has seen some more commits acknowledged, from now on."""
        begun = time.monotonic()
        for child, names in self._children.items():
            new = Counter[str]()
            while any(new[name] < COMMITS for name in names):
                writer, at = child.receive()
                self.acknowledged[writer] += 1
                new[writer] += at > begun

    def end(self) -> None:
        for child in self._children:
            child.send("enough")
        for child in self._children:
            *told, result = child.rest()
            self.acknowledged.update(writer for writer, _ in told)
            assert (result, child.end()) == (None, 0)

    def attempts(self) -> list[Attempts]:
        return [Attempts(first_attempts(name, count), count) for name, count in sorted(self.acknowledged.items())]


@pytest.mark.parametrize("ordering", get_args(Ordering))
def test_a_crashing_server_loses_nothing_acknowledged_and_its_writers_go_on(
    server: Server, place: str, children: Children, record_property: Callable[[str, object], None], ordering: Ordering
) -> None:
    writing = Writing(children, f"{place}&ordering={ordering}")
    writing.go_on()
    for blow in BLOWS:
        blow(server)
        writing.go_on()
    writing.end()
    attempts = writing.attempts()
    with open_store(place) as store:
        assert survivors_of(store.log, attempts) == [writer.acknowledged for writer in attempts]
        assert sql_log(store).database.rows(UNPROJECTED) == []
        assert tables_of(store) == folded(store)
    record_property("blows", len(BLOWS))


def test_readers_and_purges_do_not_notice_a_restart(server: Server, place: str) -> None:
    with closing(open_log(place)) as log:
        event = log.append([Append("run", [NewEvent(type="written", data=b"{}")])]).events[0]
        uses: list[Callable[[], object]] = [
            lambda: [*log.read("run")] == [event],
            lambda: [*log.read_all()] == [event],
            lambda: log.head() == event.position,
            lambda: log.wait(0, timeout=0),
            lambda: log.version("run") == 1,
            lambda: log.checkpoint("reader") is None,
            lambda: log.purge("unknown").events == 0,
            lambda: log.purge("run").events == 1,
        ]
        for use in uses:
            terminate_the_backends(server)
            assert use()


def test_a_connection_that_the_server_found_idle_for_too_long_is_replaced(server: Server, schema: str) -> None:
    dsn = f"{server.dsn}?options=-c%20idle_session_timeout%3D20ms"
    with (
        closing(PostgresLog(dsn, schema=schema, connections=1)) as log,
        psycopg.connect(server.dsn, autocommit=True) as other,
    ):
        for version in range(1, 4):
            assert log.append([Append("run", [NewEvent(type="written", data=b"{}")])]).versions == {"run": version}
            assert log.version("run") == version  # a pipeline's last message stops the server's clock for idleness
            deadline = time.monotonic() + PATIENCE
            while other.execute(BACKENDS).fetchall():
                assert time.monotonic() < deadline


def test_a_restart_breaks_every_connection_of_the_pool_and_none_is_given_out(server: Server, place: str) -> None:
    with closing(open_log(place)) as log:
        database = log.database
        with database.connection(), database.connection(), database.connection():
            pass
        server.restart()
        for _ in range(4):
            with database.connection() as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
