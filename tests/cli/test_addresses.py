"""What becomes of addresses that lead nowhere: a code, what to do, and never a password."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from eventstore.errors import EventStoreError
from projections import open_store
from projections.addresses import parse_address
from projections.cli import main
from tests.postgres import SERVERS, VERSIONS, address, binaries, dsn, schema_for
from tests.postgres_server import Server

from .conftest import Run
from .test_exit_codes import READING, TRACE, assert_refused

COMMANDS = (*READING, ["import", "wfformat", str(TRACE)])
MEANINGLESS = (
    "",
    "jsonl:",
    "sqlite:",
    "jsonl://me:secret@host/path",
    "sqlite://me:secret@host/path",
    "memory:somewhere",
    "redis://me:secret@host/0",
    "Postgresql://me:secret@host/db",
    "postgresql+psycopg://me:secret@host/db",
    "postgresql//me:secret@host/db",
    "host=localhost password=secret",
    "postgresql:",
    "postgresql://",
    "postgres:secret",
    "postgresql:me:secret@host/db",
    "postgresql://me:secret@host:port/db",
    "postgresql://me:secret@[::1/db",
    "postgresql://me:secret/with/slashes@host/db",
    "postgresql://me:7#secret@host/db",
    "postgresql://me:secret%zz@host/db",
    "postgresql://me:sec ret@host/db",
    "postgresql://me:secret@host/db?schema=My-Schema",
    "postgresql://me:secret@host/db?schema=",
    "postgresql://me:secret@host/db?ordering=none",
    "postgresql://me:secret@host/db?prepare=maybe",
    "postgresql://me:secret@host/db?notify=maybe",
    "postgresql://me:secret@host/db?nonsense=1",
    "postgresql://me:secret@host/db?nonsense",
)


def traceback_with(address: str) -> str:
    """What --debug shows: not even that may hold the password."""
    with pytest.raises(EventStoreError) as caught:
        main(["--debug", "runs", "-s", address])
    return "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("meaningless", MEANINGLESS)
def test_an_address_that_means_nothing_is_a_usage_error(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meaningless: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        ended = run(*command, "-s", meaningless)
        assert_refused(ended, 2)
        assert "secret" not in ended.err
    if meaningless:
        assert "secret" not in traceback_with(meaningless)
    assert os.listdir(tmp_path) == []


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


def test_a_server_that_is_not_there_is_unavailable_at_once(run: Run, closed_port: int) -> None:
    place = f"postgresql://me:secret@127.0.0.1:{closed_port}/db?password=secret&sslpassword=secret&schema=mine"
    begun = time.monotonic()
    for command in COMMANDS:
        ended = run(*command, "-s", place)
        assert_refused(ended, 6, f"postgresql://me@127.0.0.1:{closed_port}/db?schema=mine", "Connection refused")
        assert "secret" not in ended.err
    assert time.monotonic() - begun < len(COMMANDS)
    assert "secret" not in traceback_with(place)


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """The address of a server that asks for a password, with the right one."""
    with Server(binaries(VERSIONS[0]), durable=False) as server:
        yield server.guarded("secret")


def test_a_wrong_password_is_told_and_not_shown(run: Run, guarded: str) -> None:
    wrong = guarded.replace("secret", "wrong-secret")
    for command in COMMANDS:
        ended = run(*command, "-s", wrong)
        assert_refused(ended, 6, "password authentication failed", "password")
        assert "secret" not in ended.err
    assert "secret" not in traceback_with(wrong)


def test_a_server_that_lets_nobody_make_a_store_is_unavailable(run: Run, guarded: str) -> None:
    ended = run("import", "wfformat", TRACE, "-s", guarded)
    assert_refused(ended, 6, "permission denied")
    assert "secret" not in ended.err


@pytest.mark.parametrize("server", SERVERS)
def test_a_database_or_a_store_that_is_not_there_is_unavailable_and_not_made(
    run: Run, server: str, tmp_path: Path
) -> None:
    place = address(server, schema_for(tmp_path))
    for command in READING:
        for absent in (place, place.replace("/postgres?", "/nothing-there?")):
            if command != ["rebuild"] or absent == place:
                assert_refused(run(*command, "-s", absent), 6)
    assert_refused(run("runs", "-s", place), 6, "there is no store in")


def test_a_missing_client_is_told_with_the_way_to_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("eventstore.postgres")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for command in COMMANDS:
        ended = run(*command, "-s", "postgresql://me:secret@host/db")
        assert_refused(ended, 6, "psycopg", "hint: Install the client with it: pip install 'flowledger[postgres]'.")
        assert "secret" not in ended.err


@pytest.mark.parametrize("scheme", ["", "sqlite:"])
def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(run: Run, tmp_path: Path, scheme: str) -> None:
    text, other, empty = tmp_path / "text.db", tmp_path / "other.db", tmp_path / "empty.db"
    text.write_bytes(b"Dear reader, " * 400)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE mine (value)")
    empty.write_bytes(b"")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for command in COMMANDS:
        assert_refused(run(*command, "-s", f"{scheme}{text}"), 2, "not a SQLite database")
        assert_refused(run(*command, "-s", f"{scheme}{other}"), 2, "a database of something else")
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://me:secret@host:5433/db?schema=s&sslmode=require", "postgresql://me@host:5433/db?schema=s&sslmode=require"),
        ("postgres://me@host/db", "postgresql://me@host/db"),
        ("postgresql:///db?host=/run/pg&password=secret", "postgresql:///db?host=%2Frun%2Fpg"),
        ("postgresql://me%40here:se%2Fcret@host/db", "postgresql://me%40here@host/db"),
        ("jsonl:a b", "jsonl:a b"),
        ("a.db", "a.db"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_its_password(given: str, shown: str) -> None:
    assert parse_address(given).shown == shown


def test_what_the_client_is_told_is_what_was_given() -> None:
    """A plus is no space in the addresses of Postgres."""
    parsed = parse_address("postgresql://me@host/db?password=a+b&schema=s&options=-c%20geqo%3Doff&ordering=strict")
    assert parsed.dsn == "postgresql://me@host/db?password=a%2Bb&options=-c%20geqo%3Doff"
    assert parsed.options == {"schema": "s", "ordering": "strict"}


@pytest.mark.parametrize("server", SERVERS)
def test_a_store_says_where_it_is_without_its_password(server: str, tmp_path: Path) -> None:
    user, host = dsn(server).split("@")
    place = f"{user}:secret@{host}?schema={schema_for(tmp_path)}"
    with open_store(place) as store:
        assert f"schema={schema_for(tmp_path)}" in repr(store)
        for shown in (repr(store), repr(store.log), store.address):
            assert "secret" not in shown
