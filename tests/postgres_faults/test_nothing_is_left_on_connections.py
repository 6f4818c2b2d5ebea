"""A pooler may give every transaction another connection: nothing of a transaction is left on the one it had."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import Any, get_args

import psycopg
import pytest

from eventstore.log import Append, Checkpoint, Durability, NewEvent
from eventstore.postgres import Ordering, PostgresLog
from projections import Store, open_store
from tests.postgres_server import Server
from tests.sql_stores import sql_log

SETTINGS = "SELECT name, setting FROM pg_settings WHERE name NOT LIKE 'plpgsql.%' ORDER BY name"
"""A language's settings are there once it has been used, and are the server's."""
LEFT = {
    "locks": "SELECT locktype FROM pg_locks WHERE locktype = 'advisory'",
    "listens": "SELECT pg_listening_channels()",
    "temporary tables": "SELECT relname FROM pg_class WHERE relpersistence = 't'",
    "cursors": "SELECT name FROM pg_cursors WHERE name <> ''",  # the query's own has no name
}
PREPARED = "SELECT statement FROM pg_prepared_statements"


Row = tuple[Any, ...]


def answers(store: Store, query: str) -> list[list[Row]]:
    """What a query gives on each connection of the store, of which no more than three were needed at once."""
    assert isinstance(store.log, PostgresLog)
    with ExitStack() as stack:
        connections = [stack.enter_context(store.log.database.connection()) for _ in range(3)]
        return [connection.execute(query.encode(), prepare=False).fetchall() for connection in connections]


def use(store: Store) -> None:
    """Everything that a store does on its connections."""
    log = sql_log(store)
    store.create_run("flow", run_id="run")
    log.append([Append("other", [NewEvent(type="written", data=b"{}")])], checkpoint=Checkpoint("reader", 1))
    log.append([Append("other", [NewEvent(type="written", data=b"{}")])])
    store.values.blobs.put(b"large")
    assert store.get_run("run") is not None
    assert len([*log.read_all()]) == 3
    log.purge("other")
    store.rebuild()
    assert store.verify().clean


@pytest.fixture(params=get_args(Ordering))
def ordering(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("prepare", ["on", "off"])
def test_no_setting_lock_or_object_outlives_a_transaction(place: str, ordering: str, prepare: str) -> None:
    with open_store(f"{place}&ordering={ordering}&prepare={prepare}") as store:
        before = answers(store, SETTINGS)
        use(store)
        assert answers(store, SETTINGS) == before
        assert not any(rows for query in LEFT.values() for rows in answers(store, query))


@pytest.mark.parametrize("prepare", ["on", "off"])
def test_statements_are_prepared_unless_that_is_turned_off(place: str, ordering: str, prepare: str) -> None:
    with open_store(f"{place}&ordering={ordering}&prepare={prepare}") as store:
        use(store)
        prepared = answers(store, PREPARED)
    assert any(prepared) == (prepare == "on")


def levels_of_commits(
    log: PostgresLog, connection: psycopg.Connection[Any], schema: str, ordering: str
) -> list[tuple[str]]:
    """What `synchronous_commit` is inside an append's transaction, as a trigger of the test's own notes it."""
    connection.execute(
        f"""CREATE TABLE {schema}.levels (level text);
        CREATE FUNCTION {schema}.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO {schema}.levels VALUES (current_setting('synchronous_commit')); RETURN NEW;
        END $$;
        CREATE TRIGGER note AFTER INSERT ON {schema}.workflow_events
            FOR EACH ROW EXECUTE FUNCTION {schema}.note()""".encode()
    )
    log.append([Append(ordering, [NewEvent(type="written", data=b"{}")])])
    return connection.execute(f"SELECT level FROM {schema}.levels".encode()).fetchall()


@pytest.mark.parametrize(
    ("durability", "default", "level"),
    [
        ("full", "off", "on"),
        ("full", "on", "on"),
        ("full", "local", "local"),
        ("full", "remote_apply", "remote_apply"),
        ("batched", "on", "off"),
        ("none", "on", "off"),
        ("none", "remote_apply", "off"),
    ],
)
def test_the_durability_of_an_append_is_the_logs_whatever_the_servers_default(
    server: Server, schema: str, ordering: Ordering, durability: Durability, default: str, level: str
) -> None:
    dsn = f"{server.dsn}?options=-c%20synchronous_commit%3D{default}"
    with (
        closing(PostgresLog(dsn, schema=schema, ordering=ordering, durability=durability)) as log,
        psycopg.connect(server.dsn, autocommit=True) as connection,
    ):
        assert levels_of_commits(log, connection, schema, ordering) == [(level,)]
