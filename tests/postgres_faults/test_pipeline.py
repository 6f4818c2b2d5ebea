"""Statements that go in one round trip do what they do one after the other, also where some have failed before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg.abc import PQGen

from eventstore import postgres_pipeline
from eventstore.errors import Unavailable
from eventstore.log import Append, NewEvent
from eventstore.postgres import PostgresLog
from eventstore.postgres_database import ImpatientConnection
from eventstore.postgres_pipeline import exchange
from tests.postgres_server import Server

ONE = (b"SELECT $1::bigint, $2::text", (1, "a"))
NOTHING = (b"SELECT 1 WHERE false", ())
FAILS = (b"SELECT 1 / $1::bigint", (0,))
FAILS_TO_BE_PREPARED = (b"SELECT no_such_column", ())
NAMES = "SELECT name FROM pg_prepared_statements"


@pytest.fixture
def connection(server: Server) -> Iterator[ImpatientConnection]:
    with ImpatientConnection.connect(server.dsn, autocommit=True, prepare_threshold=None) as opened:
        yield opened


def names(connection: ImpatientConnection) -> set[bytes]:
    return {str(name).encode() for (name,) in connection.execute(NAMES)}


def test_each_statement_has_its_rows(connection: ImpatientConnection) -> None:
    for _ in range(2):
        assert exchange(connection, [ONE, NOTHING, ONE], connection.prepared) == [[(1, "a")], [], [(1, "a")]]
    assert exchange(connection, [], connection.prepared) == []


def test_a_statement_is_prepared_once_for_each_kind_of_arguments(connection: ImpatientConnection) -> None:
    text, _ = ONE
    for _ in range(2):
        exchange(connection, [ONE, NOTHING, (text, (2, "b")), (text, (100_000, "b"))], connection.prepared)
    assert len(connection.prepared) == 3
    assert names(connection) == set(connection.prepared.values())


def test_without_a_place_for_it_nothing_is_prepared(connection: ImpatientConnection) -> None:
    assert exchange(connection, [ONE, NOTHING], None) == [[(1, "a")], []]
    assert names(connection) == set()


@pytest.mark.parametrize("failing", [FAILS, FAILS_TO_BE_PREPARED])
def test_the_first_error_is_raised_and_what_follows_is_not_run(
    connection: ImpatientConnection, failing: tuple[bytes, tuple[int, ...]]
) -> None:
    make = (b"CREATE TABLE made (number bigint)", ())
    with pytest.raises(psycopg.Error, match=r"division by zero|no_such_column"):
        exchange(connection, [ONE, make, failing, FAILS_TO_BE_PREPARED, NOTHING], connection.prepared)
    assert connection.execute("SELECT to_regclass('made')").fetchone() == (None,)
    assert names(connection) >= set(connection.prepared.values())
    assert exchange(connection, [NOTHING, ONE, NOTHING], connection.prepared) == [[], [(1, "a")], []]


def test_what_is_prepared_outlives_a_transaction_that_is_rolled_back(connection: ImpatientConnection) -> None:
    connection.execute("BEGIN")
    exchange(connection, [ONE], connection.prepared)
    connection.rollback()
    assert exchange(connection, [ONE], connection.prepared) == [[(1, "a")]]


def test_where_too_much_is_prepared_all_is_forgotten_and_prepared_again(
    connection: ImpatientConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_pipeline, "_MOST_PREPARED", 3)
    for number in range(10):
        text = b"SELECT $1::bigint + %d" % number
        assert exchange(connection, [ONE, (text, (1,))], connection.prepared) == [[(1, "a")], [(1 + number,)]]
        assert names(connection) == set(connection.prepared.values())
        assert len(connection.prepared) <= 4


@pytest.mark.parametrize("change", [b"DEALLOCATE ALL", b"DISCARD ALL"])
def test_a_log_goes_on_after_a_pooler_has_forgotten_what_was_prepared(
    server: Server, schema: str, change: bytes
) -> None:
    with closing(PostgresLog(server.dsn, schema=schema, connections=1)) as log:
        assert log.version("stream") == 0
        with log.database.connection() as connection:
            connection.pgconn.exec_(change)
        with pytest.raises(Unavailable, match="prepared statement") as caught:
            log.version("stream")
        assert "prepare=off" in caught.value.hint
        assert log.append([Append("stream", [NewEvent(type="noted", data=b"{}")])]).versions == {"stream": 1}
        assert log.version("stream") == 1


def test_an_interrupted_connection_is_closed_only_if_something_may_be_prepared_on_it(
    connection: ImpatientConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(answers: PQGen[object]) -> None:
        ImpatientConnection.wait(connection, answers)
        raise KeyboardInterrupt

    exchange(connection, [ONE], connection.prepared)
    monkeypatch.setattr(connection, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        exchange(connection, [ONE], connection.prepared)
    assert not connection.closed
    with pytest.raises(KeyboardInterrupt):
        exchange(connection, [ONE, NOTHING], connection.prepared)
    assert connection.closed


def test_arguments_that_cannot_be_sent_leave_the_connection_as_it_was(connection: ImpatientConnection) -> None:
    connection.execute("BEGIN")
    with pytest.raises(UnicodeEncodeError):
        exchange(connection, [ONE, (b"SELECT $1::text", ("\ud800",))], connection.prepared)
    assert exchange(connection, [ONE, NOTHING], connection.prepared) == [[(1, "a")], []]
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
