"""What is wrong with a server, an address or a schema is said at once when a store is opened, and never a password."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from contextlib import closing
from urllib.parse import quote

import psycopg
import pytest
from click.testing import CliRunner

from eventstore.errors import EventStoreError, InvalidInput, Unavailable, UnsupportedStore
from eventstore.log import Append, NewEvent
from eventstore.postgres import PostgresLog
from projections import open_store
from projections.cli import main
from projections.inline_views import InlineViews
from tests.crash.children import Children
from tests.postgres import VERSIONS, address, binaries
from tests.postgres_server import GUARDED_USER, Server
from tests.sql_stores import sql_log

from .writers import open_and_append

PASSWORD = "s3cret/p@ss wörd"

NOT_SCHEMAS = ["", "A", "1a", "ä", "a b", "a;b", 'a"b', "a.b", "a\0b", "a-b", "x" * 42, "a\n"]


def test_a_server_that_is_down_is_told_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Server(binaries(VERSIONS[0]), tmp_path_factory.mktemp("server"), durable=False) as server:
        place = server.dsn
    with pytest.raises(Unavailable, match="refused") as caught:
        open_store(place)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("postgresql://postgres@127.0.0.1:{port}/nowhere", 'database "nowhere" does not exist'),
        ("postgresql://nobody@127.0.0.1:{port}/postgres", 'role "nobody" does not exist'),
        ("postgresql://postgres@no.such.host.invalid:{port}/postgres", "no.such.host.invalid"),
    ],
)
def test_what_an_address_has_wrong_is_told(server: Server, wrong: str, said: str) -> None:
    with pytest.raises(Unavailable, match=said) as caught:
        open_store(wrong.format(port=server.port))
    assert caught.value.hint


FORMS: dict[str, Callable[[int, str], str]] = {
    "percent-encoded": lambda port, word: (
        f"postgresql://{GUARDED_USER}:{quote(word, safe='')}@127.0.0.1:{port}/postgres"
    ),
    "query": lambda port, word: (
        f"postgresql://{GUARDED_USER}@127.0.0.1:{port}/postgres?password={quote(word, safe='')}"
    ),
    "keys and values": lambda port, word: (
        f"host=127.0.0.1 port={port} user={GUARDED_USER} dbname=postgres password='{word}'"
    ),
    "cut off": lambda port, word: f"postgresql://{GUARDED_USER}:{quote(word, safe='')}@[::1/postgres",
    "badly encoded": lambda port, word: f"postgresql://{GUARDED_USER}:{word}%zz@127.0.0.1:{port}/postgres",
    "badly quoted": lambda port, word: f"host=127.0.0.1 password='{word}",
    "with a NUL": lambda port, word: f"postgresql://{GUARDED_USER}:{quote(word, safe='')}@127.0.0.1:{port}\0/postgres",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_password_is_refused_and_shown_nowhere(
    server: Server, schema: str, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    server.guarded("right")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(EventStoreError) as caught:
        PostgresLog(FORMS[form](server.port, PASSWORD), schema=schema)
    told = "".join(traceback.format_exception(caught.value))
    shown = [told, str(caught.value), repr(caught.value), repr(caught.value.args), caught.value.hint, caplog.text]
    assert not any("s3cret" in text for text in shown)
    assert isinstance(caught.value, InvalidInput) or "password authentication failed" in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("form", ["percent-encoded", "query", "keys and values"])
def test_the_right_password_opens_the_store_and_is_shown_nowhere(
    server: Server, schema: str, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    server.guarded(PASSWORD)
    with psycopg.connect(server.dsn) as connection:
        connection.execute(f"GRANT CREATE ON DATABASE postgres TO {GUARDED_USER}".encode())
    caplog.set_level(logging.DEBUG)
    with closing(PostgresLog(FORMS[form](server.port, PASSWORD), schema=schema)) as log:
        assert log.append([Append("run", [NewEvent(type="written", data=b"{}")])]).versions == {"run": 1}
        shown = [repr(log), log.name, log.database.name, repr(log.database), caplog.text]
    with psycopg.connect(server.dsn) as connection:
        connection.execute(f"DROP OWNED BY {GUARDED_USER}".encode())
    assert not any("s3cret" in text for text in shown)


@pytest.mark.parametrize("name", NOT_SCHEMAS)
def test_an_impossible_name_for_a_schema_is_refused_before_anything_else(name: str) -> None:
    with pytest.raises(InvalidInput, match="is no name for a schema"):
        PostgresLog("postgresql://nobody@no.such.host.invalid/nowhere", schema=name)


def test_ten_processes_open_a_store_at_once_that_was_not_there(server: Server, place: str, children: Children) -> None:
    opening = [children.start(open_and_append, place, f"run-{number}") for number in range(10)]
    for child in opening:
        child.send("now")
    for child in opening:
        assert child.result() is None
    with open_store(place, create=False) as store:
        assert {event.stream for event in store.log.read_all()} == {f"run-{number}" for number in range(10)}
        assert store.verify().clean


@pytest.mark.parametrize("part", ["log", "views"])
def test_a_store_that_a_newer_program_made_is_refused(server: Server, schema: str, part: str) -> None:
    place = address(server, schema)
    open_store(place).close()
    with psycopg.connect(server.dsn) as connection:
        connection.execute(f"UPDATE {schema}.schema_versions SET version = 99 WHERE part = %s".encode(), [part])
    with pytest.raises(UnsupportedStore, match="version 99"):
        open_store(place)
    run = CliRunner().invoke(main, ["runs", "--store", place])
    assert (run.exit_code, run.stdout) == (6, "")
    assert "version 99" in run.stderr
    assert "Upgrade" in run.stderr


@pytest.mark.parametrize("table", ["workflow_events", "workflow_runs", "schema_versions"])
def test_a_schema_with_a_table_of_something_else_is_refused(server: Server, schema: str, table: str) -> None:
    with psycopg.connect(server.dsn) as connection:
        connection.execute(f"CREATE SCHEMA {schema} CREATE TABLE {table} (title text)".encode())
    with pytest.raises(Unavailable, match=schema) as caught:
        open_store(address(server, schema))
    assert "?schema=" in caught.value.hint
    with psycopg.connect(server.dsn) as connection:
        assert connection.execute(f"SELECT * FROM {schema}.{table}".encode()).fetchall() == []


def test_two_stores_in_one_database_do_not_see_each_other(server: Server, schema: str) -> None:
    with (
        open_store(address(server, schema)) as store,
        open_store(address(server, f"{schema}_b")) as other,
        psycopg.connect(server.dsn) as connection,
    ):
        store.create_run("flow", run_id="run")
        store.values.blobs.put(b"large")
        log, others = sql_log(store), sql_log(other)
        assert list(other.log.read_all()) == []
        assert list(other.values.blobs.digests()) == []
        assert other.get_run("run") is None
        assert isinstance(log, PostgresLog)
        log.append_within(connection, [Append("held", [NewEvent(type="written", data=b"{}")])])
        assert others.append([Append("run", [NewEvent(type="written", data=b"{}")])]).versions == {"run": 1}
        assert others.purge("run").events == 1
        connection.rollback()


def test_a_server_that_does_not_flush_is_warned_of_once(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Server(binaries(VERSIONS[0]), tmp_path_factory.mktemp("server"), durable=False) as server,
        open_store(server.dsn) as store,
    ):
        assert isinstance(store.views, InlineViews)
        store.create_run("flow")
    assert [record.getMessage() for record in caplog.records if "fsync" in record.getMessage()] == [
        f"the server of {store.address}?schema=public runs without fsync or full_page_writes: a crash can lose events"
    ]
