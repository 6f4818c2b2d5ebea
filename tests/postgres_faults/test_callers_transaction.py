"""A caller's own rows and the events are in one transaction of the caller's, whose connection stays as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from eventstore.errors import InvalidInput, WrongExpectedVersion
from eventstore.events import RunCreated
from eventstore.log import Append
from eventstore.postgres import PostgresLog
from projections import Store, open_store
from projections.inline_views import UNPROJECTED
from tests.postgres import VERSIONS, address, binaries
from tests.postgres_server import Server
from tests.stores import folded, tables_of


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with open_store(place) as opened:
        yield opened


@pytest.fixture
def connection(server: Server, schema: str, store: Store) -> Iterator[psycopg.Connection[Any]]:
    """The caller's connection, with a table of the caller's."""
    with closing(psycopg.connect(server.dsn)) as connection:
        connection.execute(f"CREATE TABLE {schema}.orders (name text)".encode())
        connection.commit()
        yield connection


def log_of(store: Store) -> PostgresLog:
    assert isinstance(store.log, PostgresLog)
    return store.log


def run(store: Store, name: str) -> list[Append]:
    return [Append(name, [store.codec.encode(RunCreated("flow"))])]


def order(connection: psycopg.Connection[Any], schema: str) -> None:
    connection.execute(f"INSERT INTO {schema}.orders VALUES ('book')".encode())


def orders(connection: psycopg.Connection[Any], schema: str) -> int:
    return len(connection.execute(f"SELECT * FROM {schema}.orders".encode()).fetchall())


def test_rows_and_events_are_committed_together(store: Store, schema: str, connection: psycopg.Connection[Any]) -> None:
    order(connection, schema)
    appended = log_of(store).append_within(connection, run(store, "run"))
    assert (store.log.version("run"), store.get_run("run")) == (0, None)
    connection.commit()
    assert [*store.log.read("run")] == list(appended.events)
    assert store.get_run("run") is not None
    assert tables_of(store) == folded(store)
    assert log_of(store).database.rows(UNPROJECTED) == []
    assert orders(connection, schema) == 1


def test_rows_and_events_are_rolled_back_together(
    store: Store, schema: str, connection: psycopg.Connection[Any]
) -> None:
    order(connection, schema)
    log_of(store).append_within(connection, run(store, "run"))
    connection.rollback()
    assert [*store.log.read_all()] == []
    assert store.get_run("run") is None
    assert orders(connection, schema) == 0


def test_a_refused_append_leaves_the_transaction_as_it_was(
    store: Store, schema: str, connection: psycopg.Connection[Any]
) -> None:
    order(connection, schema)
    (entry,) = run(store, "run")
    with pytest.raises(WrongExpectedVersion):
        log_of(store).append_within(connection, [Append("run", entry.events, 7)])
    connection.commit()
    assert orders(connection, schema) == 1


def test_a_repeated_append_is_told_what_it_came_to(store: Store, connection: psycopg.Connection[Any]) -> None:
    commit, later = run(store, "run"), run(store, "later")
    first = store.log.append(commit)
    again = log_of(store).append_within(connection, commit)
    assert (again.repeated, again.events) == (True, first.events)
    assert not log_of(store).append_within(connection, later).repeated
    assert log_of(store).append_within(connection, later).repeated
    connection.commit()
    assert store.log.append(later).repeated
    assert len([*store.log.read_all()]) == 2


def close(connection: psycopg.Connection[Any]) -> None:
    connection.close()


def leave_without_transaction(connection: psycopg.Connection[Any]) -> None:
    connection.autocommit = True


def begin_a_snapshot(connection: psycopg.Connection[Any]) -> None:
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ


def fail(connection: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.Error):
        connection.execute("SELECT 1 / 0")


def speak_latin(connection: psycopg.Connection[Any]) -> None:
    connection.execute("SET client_encoding TO latin1")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (close, "is closed"),
        (leave_without_transaction, "in no transaction"),
        (begin_a_snapshot, "REPEATABLE READ"),
        (fail, "has failed"),
        (speak_latin, "client_encoding"),
    ],
)
def test_a_connection_in_a_wrong_state_is_refused(
    store: Store, connection: psycopg.Connection[Any], make: Callable[[psycopg.Connection[Any]], None], said: str
) -> None:
    make(connection)
    with pytest.raises(InvalidInput, match=said) as caught:
        log_of(store).append_within(connection, run(store, "run"))
    assert caught.value.hint
    assert [*store.log.read_all()] == []


def test_a_connection_in_a_pipeline_is_refused_and_stays_usable(
    store: Store, schema: str, connection: psycopg.Connection[Any]
) -> None:
    with connection.pipeline() as pipeline:
        with pytest.raises(InvalidInput, match="in a pipeline"):
            log_of(store).append_within(connection, run(store, "run"))
        order(connection, schema)
        pipeline.sync()
        assert orders(connection, schema) == 1
        with pytest.raises(InvalidInput, match="in a pipeline"):
            log_of(store).append_within(connection, run(store, "run"))
    assert log_of(store).append_within(connection, run(store, "run")).versions == {"run": 1}


def test_a_connection_to_another_database_is_refused_and_stays_usable(
    server: Server, schema: str, store: Store
) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {schema}".encode())
    elsewhere = server.dsn.removesuffix("postgres") + schema
    open_store(address(server, schema).replace("/postgres?", f"/{schema}?")).close()
    with psycopg.connect(elsewhere) as connection:
        with pytest.raises(InvalidInput, match="another database"):
            log_of(store).append_within(connection, run(store, "run"))
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_connection_to_another_server_is_refused(
    store: Store, schema: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its numbers of objects may well be the same."""
    with Server(binaries(VERSIONS[0]), tmp_path_factory.mktemp("server"), durable=False) as other:
        open_store(address(other, schema)).close()
        with psycopg.connect(other.dsn) as connection, pytest.raises(InvalidInput, match="another database"):
            log_of(store).append_within(connection, run(store, "run"))


def settings(connection: psycopg.Connection[Any]) -> dict[str, str]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return {row["name"]: row["setting"] for row in cursor.execute("SELECT name, setting FROM pg_settings")}


def test_the_callers_settings_neither_matter_nor_change(server: Server, store: Store) -> None:
    with psycopg.connect(
        server.dsn, row_factory=dict_row, cursor_factory=psycopg.ClientCursor, prepare_threshold=0
    ) as connection:
        connection.execute("SET search_path TO pg_catalog; SET lock_timeout = '7s'")
        before = settings(connection)
        log_of(store).append_within(connection, run(store, "run"))
        assert settings(connection) == before
        assert connection.row_factory is dict_row
        assert connection.cursor_factory is psycopg.ClientCursor
        assert (connection.autocommit, connection.prepare_threshold) == (False, 0)
    assert store.get_run("run") is not None


@pytest.mark.parametrize("durability", ["full", "none"])
def test_the_callers_commit_becomes_durable_if_the_log_is_and_never_less_so(
    server: Server, schema: str, durability: str
) -> None:
    with (
        closing(PostgresLog(server.dsn, schema=schema, durability="full" if durability == "full" else "none")) as log,
        psycopg.connect(server.dsn) as connection,
        open_store(address(server, schema)) as store,
    ):
        kept = {}
        for mine in ("off", "on"):
            connection.execute(f"SET LOCAL synchronous_commit = {mine}".encode())
            log.append_within(connection, run(store, mine))
            kept[mine] = settings(connection)["synchronous_commit"]
            connection.rollback()
    assert kept == {"off": "on" if durability == "full" else "off", "on": "on"}


def test_within_autocommit_a_transaction_block_serves(server: Server, schema: str, store: Store) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        with connection.transaction():
            log_of(store).append_within(connection, run(store, "run"))
        assert store.log.version("run") == 1
        with connection.transaction(force_rollback=True):
            log_of(store).append_within(connection, run(store, "other"))
        assert store.log.version("other") == 0
