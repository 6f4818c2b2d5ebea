"""The tables as others find them: named columns, no index twice, and events that nobody changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from eventstore.log import PURGES
from projections import Store, open_store
from tests.postgres_server import Server
from tests.stores import folded, tables_of

COLUMNS = """SELECT column_name FROM information_schema.columns JOIN information_schema.tables
    USING (table_schema, table_name) WHERE table_schema = %s AND table_name = %s AND table_type = 'BASE TABLE'"""
INDEXES = """SELECT c.relname, i.indrelid::regclass::text, am.amname, i.indkey::text, pg_get_expr(i.indpred, i.indrelid)
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS am ON am.oid = c.relam
    WHERE c.relnamespace = %s::regnamespace"""


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with open_store(place) as opened:
        opened.create_run("flow", run_id="run")
        opened.create_run("flow", run_id="other")
        yield opened


@pytest.fixture
def connection(server: Server, schema: str, store: Store) -> Iterator[psycopg.Connection[Any]]:
    """Another program's connection."""
    with closing(psycopg.connect(server.dsn)) as connection:
        connection.execute(f"SET search_path TO {schema}".encode())
        connection.commit()
        yield connection


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ("workflow_events", {"run_id", "sequence", "event_type", "timestamp", "payload"}),
        ("workflow_runs", {"id", "workflow_name", "status", "user_message", "created_at", "updated_at"}),
    ],
)
def test_the_tables_have_the_columns_that_others_read(
    connection: psycopg.Connection[Any], schema: str, table: str, wanted: set[str]
) -> None:
    found = {name for (name,) in connection.execute(COLUMNS, [schema, table])}
    assert wanted <= found


def test_no_index_is_the_beginning_of_another(connection: psycopg.Connection[Any], schema: str) -> None:
    indexes = [
        (name, (table, method, condition), tuple(columns.split()))
        for name, table, method, columns, condition in connection.execute(INDEXES, [schema])
    ]
    assert len(indexes) > 8
    repeated = [
        (one, other)
        for one, kind, columns in indexes
        for other, other_kind, longer in indexes
        if one != other and kind == other_kind and longer[: len(columns)] == columns
    ]
    assert repeated == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE workflow_events SET payload = 'x'",
        "UPDATE workflow_events SET projected = 0",
        "DELETE FROM workflow_events",
        "TRUNCATE workflow_events",
        "INSERT INTO purging VALUES ('other'); DELETE FROM workflow_events WHERE run_id = 'run'",
        "INSERT INTO purging VALUES ('run'); UPDATE workflow_events SET payload = 'x' WHERE run_id = 'run'",
    ],
)
def test_the_database_refuses_to_change_events(
    connection: psycopg.Connection[Any], store: Store, statement: str
) -> None:
    before = [*store.log.read_all()]
    with pytest.raises(psycopg.errors.RestrictViolation, match="never change"):
        connection.execute(statement.encode())
    connection.rollback()
    assert [*store.log.read_all()] == before


def test_a_purge_is_not_refused(connection: psycopg.Connection[Any], store: Store) -> None:
    assert store.log.purge("run").events == 1
    assert connection.execute("SELECT run_id FROM workflow_events ORDER BY position").fetchall() == [
        ("other",),
        (PURGES,),
    ]
    assert connection.execute("SELECT * FROM purging").fetchall() == []
    assert tables_of(store) == folded(store)
