"""The database itself keeps events from being changed, and a purge leaves no byte of what it removes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from eventstore.log import Append, NewEvent
from eventstore.sqlite import SqliteLog
from projections import open_store

COLUMNS = """run_id, sequence, event_type, timestamp, payload, event_id, event_schema, recorded_at, meta, content_type,
    hash, checksum, commit_place, commit_size, projected"""
FORBIDDEN = {
    "update": "UPDATE workflow_events SET payload = x'00'",
    "update or replace": "UPDATE OR REPLACE workflow_events SET sequence = 1 WHERE sequence = 2",
    "delete": "DELETE FROM workflow_events WHERE sequence = 2",
    "delete all": "DELETE FROM workflow_events",
    "replace by position": f"""INSERT OR REPLACE INTO workflow_events (position, {COLUMNS})
        SELECT 1, {COLUMNS.replace("run_id, sequence", "'other', 1").replace("event_id", "x'00'")}
        FROM workflow_events WHERE position = 2""",
    "replace by id": f"""REPLACE INTO workflow_events ({COLUMNS})
        SELECT {COLUMNS.replace("run_id, sequence", "'other', 1")} FROM workflow_events WHERE position = 2""",
    "replace by version": f"""REPLACE INTO workflow_events ({COLUMNS})
        SELECT {COLUMNS.replace("event_id", "x'00'")} FROM workflow_events WHERE position = 2""",
    "upsert": f"""INSERT INTO workflow_events ({COLUMNS}) SELECT {COLUMNS} FROM workflow_events WHERE position = 2
        ON CONFLICT (event_id) DO UPDATE SET payload = x'00'""",
}


@pytest.fixture
def other(log: SqliteLog) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the file, with SQLite's own settings."""
    log.append([Append("stream", [NewEvent(type="written", data=b"%d" % number) for number in range(3)])])
    with closing(sqlite3.connect(log.database.path, isolation_level=None)) as connection:
        yield connection


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN.keys())
@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_the_database_refuses_what_would_change_an_event(
    log: SqliteLog, other: sqlite3.Connection, statement: str, recursive: str
) -> None:
    before = list(log.read_all())
    other.execute(f"PRAGMA recursive_triggers = {recursive}")
    with pytest.raises(sqlite3.IntegrityError, match=r"never (change|replaced)|by a purge only"):
        other.execute(statement)
    assert list(log.read_all()) == before


def test_another_stream_is_protected_while_one_is_purged(log: SqliteLog, other: sqlite3.Connection) -> None:
    with log.database.writing() as session:
        session.rows("INSERT INTO main.purging VALUES ('another')")
        with pytest.raises(sqlite3.IntegrityError, match="by a purge only"):
            session.rows("DELETE FROM main.workflow_events")
        session.rows("DELETE FROM main.purging")
    assert log.version("stream") == 3


def everything_beside(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


@pytest.mark.parametrize("checkpointed", [True, False], ids=["in the file", "in the write-ahead log"])
def test_a_purge_leaves_no_byte_of_what_it_removes(path: Path, checkpointed: bool) -> None:
    with open_store(f"sqlite:{path}") as store:
        store.create_run("flow", run_id="kept", input="kept-secret")
        store.create_run("flow", run_id="gone", input="gone-secret " * 1_000)
        if checkpointed:
            assert isinstance(store.log, SqliteLog)
            store.log.database.forget_removed()
        assert b"gone-secret" in everything_beside(path)
        store.log.purge("gone")
        assert b"gone-secret" not in everything_beside(path)
        assert b"kept-secret" in everything_beside(path)
        assert store.verify().clean
    assert b"gone-secret" not in everything_beside(path)


def test_what_a_purge_cannot_overwrite_while_somebody_reads_leaves_with_the_last_who_closes(path: Path) -> None:
    with closing(SqliteLog(path)) as log:
        log.append([Append("gone", [NewEvent(type="written", data=b"gone-secret")])])
        with log.database.reading() as session:
            assert len(session.rows("SELECT 1 FROM main.workflow_events")) == 1
            log.purge("gone")
    assert b"gone-secret" not in everything_beside(path)
