"""The tables in SQL and the row classes are two forms of one thing."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest

from projections import Store
from projections.rows import BY_TABLE, ROWS, Row, Run, defaults

KEPT_FOR_ITSELF = {"caught_up", "checkpoints", "run_files", "snapshots"}


@pytest.fixture
def connection(file_store: Store, folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "_views.db")) as opened:
        yield opened


@pytest.mark.parametrize("kind", ROWS)
def test_a_table_has_the_fields_of_its_rows_in_their_order(connection: sqlite3.Connection, kind: type[Row]) -> None:
    columns = connection.execute(f"SELECT name FROM pragma_table_info('{kind.TABLE}') ORDER BY cid").fetchall()
    assert tuple(name for (name,) in columns) == kind.__struct_fields__


@pytest.mark.parametrize("kind", ROWS)
def test_a_table_has_the_key_of_its_rows_and_it_comes_first(connection: sqlite3.Connection, kind: type[Row]) -> None:
    key = connection.execute(f"SELECT name FROM pragma_table_info('{kind.TABLE}') WHERE pk ORDER BY pk").fetchall()
    assert tuple(name for (name,) in key) == kind.KEY == kind.__struct_fields__[: len(kind.KEY)]


@pytest.mark.parametrize("kind", [kind for kind in ROWS if defaults(kind.TABLE)])
def test_a_new_row_of_a_table_has_the_defaults_of_the_row_class(
    connection: sqlite3.Connection, kind: type[Row]
) -> None:
    keys = {name: "1" if kind.__annotations__[name] == "str" else 1 for name in kind.KEY}
    names, places = ", ".join(keys), ", ".join("?" * len(keys))
    connection.execute(f"INSERT INTO {kind.TABLE} ({names}) VALUES ({places})", tuple(keys.values()))
    rest = list(defaults(kind.TABLE))
    (row,) = connection.execute(f"SELECT {', '.join(rest)} FROM {kind.TABLE}").fetchall()
    assert dict(zip(rest, row, strict=True)) == defaults(kind.TABLE)


def test_every_table_belongs_to_a_row_class_or_to_the_keeping_of_views(connection: sqlite3.Connection) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == set(BY_TABLE) | KEPT_FOR_ITSELF


def test_runs_are_in_the_table_and_the_columns_that_the_requirements_name(connection: sqlite3.Connection) -> None:
    columns = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info('workflow_runs')")}
    assert columns >= {"id", "workflow_name", "status", "user_message", "created_at", "updated_at"}
    assert Run.TABLE == "workflow_runs"


def test_sql_readers_find_a_run_there(file_store: Store, connection: sqlite3.Connection) -> None:
    file_store.create_run("flow", run_id="one", user_message="do it")
    query = "SELECT id, workflow_name, status, user_message, created_at, updated_at FROM workflow_runs"
    assert connection.execute(query).fetchall() == [
        ("one", "flow", "pending", "do it", "2026-01-31T12:00:01.000000Z", "2026-01-31T12:00:01.000000Z")
    ]


def test_no_statement_of_the_schema_is_cut_where_a_comment_holds_a_semicolon() -> None:
    folder = files("projections").joinpath("schema")
    schemas = [*folder.joinpath("sqlite").iterdir(), *folder.joinpath("postgres").iterdir(), folder / "following.sql"]
    for schema in schemas:
        assert not re.search(r"--[^\n]*;", schema.read_text())


@pytest.mark.parametrize("kind", ROWS)
def test_no_index_repeats_the_beginning_of_another(connection: sqlite3.Connection, kind: type[Row]) -> None:
    indexes = [name for (name,) in connection.execute(f"SELECT name FROM pragma_index_list('{kind.TABLE}')")]
    columns = [
        tuple(name for (name,) in connection.execute(f"SELECT name FROM pragma_index_info('{index}') ORDER BY seqno"))
        for index in indexes
    ]
    assert indexes
    repeated = [one for one in columns for other in columns if one is not other and other[: len(one)] == one]
    assert repeated == []


def statements_of(dialect: str) -> list[str]:
    """The statements of a schema, without comments, one a line."""
    files_there = files("projections").joinpath("schema", dialect).iterdir()
    text = "".join(file.read_text() for file in sorted(files_there, key=lambda file: file.name))
    return [" ".join(statement.split()) for statement in re.sub(r"--[^\n]*", "", text).split(";")]


def test_the_tables_are_the_same_on_both_databases() -> None:
    """In Postgres, texts are ordered by their bytes, as in SQLite, and every number has 64 bits."""
    as_in_sqlite = [
        statement.replace(' COLLATE "C"', "").replace("BIGINT", "INTEGER").replace("BYTEA", "BLOB")
        for statement in statements_of("postgres")
    ]
    as_in_sqlite = [
        statement.replace("USING hash (workflow_name)", "(workflow_name, position)") for statement in as_in_sqlite
    ]
    assert [statement.replace("USING hash ", "") for statement in as_in_sqlite] == [
        statement.removesuffix(" WITHOUT ROWID") for statement in statements_of("sqlite")
    ]
