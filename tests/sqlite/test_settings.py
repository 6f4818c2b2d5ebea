"""What the file is set to, as SQLite reads it back, and what is in it."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from eventstore.errors import Unavailable
from eventstore.log import Append, Durability
from eventstore.sqlite import SqliteLog
from eventstore.sqlite_session import BUSY_SECONDS
from projections import open_store

from .writer_process import written

SETTINGS = {"foreign_keys": 1, "trusted_schema": 0, "cell_size_check": 1, "secure_delete": 1, "recursive_triggers": 1}
NORMAL, FULL, EXTRA = 1, 2, 3


@pytest.mark.parametrize(("durability", "synchronous"), [("full", FULL), ("batched", NORMAL), ("none", NORMAL)])
def test_every_setting_reads_back(path: Path, durability: Durability, synchronous: int) -> None:
    expected = SETTINGS | {"journal_mode": "wal", "synchronous": synchronous}
    with closing(SqliteLog(path, durability=durability)) as log:
        assert {name: log.database.rows(f"PRAGMA {name}")[0][0] for name in expected} == expected
        with log.database.writing() as session:
            assert {name: session.rows(f"PRAGMA {name}")[0][0] for name in expected} == expected


@pytest.mark.parametrize(("durability", "synchronous"), [("full", EXTRA), ("batched", NORMAL)])
def test_where_there_is_no_write_ahead_log_a_rollback_journal_is_as_safe(
    path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability, synchronous: int
) -> None:
    def connect(database: str, *, uri: bool, timeout: float) -> sqlite3.Connection:
        """As on a file system without shared memory."""
        return sqlite3.connect(
            f"{database}&vfs=unix-dotfile", timeout, isolation_level=None, check_same_thread=False, uri=uri
        )

    monkeypatch.setattr("eventstore.sqlite_database.connect", connect)
    with closing(SqliteLog(path, durability=durability)) as log:
        with log.database.writing() as session:
            assert session.rows("PRAGMA journal_mode") == [("delete",)]
            assert session.rows("PRAGMA synchronous") == [(synchronous,)]
        log.append([Append("stream", [written(b"gone")]), Append("kept", [written()])])
        assert log.purge("stream").events == 1
        assert [event.stream for event in log.read_all()] == ["kept", "$purges"]
    assert b"gone" not in path.read_bytes()


def test_a_setting_that_sqlite_does_not_take_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventstore.sqlite_database._FULL", 7)
    with pytest.raises(Unavailable, match="does not take the setting"):
        SqliteLog(path)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_all_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "new"
    before = os.umask(umask)
    try:
        with open_store(f"sqlite:{folder / 'store.db'}") as store:
            store.create_run("flow")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}
    finally:
        os.umask(before)
    assert modes == {"new": 0o700, "store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


@pytest.mark.parametrize("name", ["store.db", "store.db-wal", "store.db-shm", "store.db-journal"])
@pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
def test_a_planted_link_is_refused_and_nothing_is_written_through_it(tmp_path: Path, name: str, there: bool) -> None:
    target = tmp_path / "target"
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).symlink_to(target)
    if there:
        target.touch()
    with pytest.raises(Unavailable) as caught:
        SqliteLog(folder / "store.db")
    assert caught.value.hint
    assert target.exists() == there
    assert not there or target.read_bytes() == b""


def test_a_store_can_be_reached_through_a_link_to_it(tmp_path: Path, log: SqliteLog) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(log.database.path)
    log.append([Append("stream", [written()])])
    with closing(SqliteLog(link)) as other:
        assert other.append([Append("stream", [written()])]).versions == {"stream": 2}
    assert log.head() == 2


def test_the_busy_timeout_is_as_given_also_after_a_purge(path: Path) -> None:
    for seconds in (BUSY_SECONDS, 2.5):
        with closing(SqliteLog(path, busy_seconds=seconds)) as log:
            log.append([Append("stream", [written()])])
            log.purge("stream")
            with log.database.writing() as session:
                assert session.rows("PRAGMA busy_timeout") == [(seconds * 1000,)]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("workflow_events", {"run_id", "sequence", "event_type", "timestamp", "payload"}),
        ("workflow_runs", {"id", "workflow_name", "status", "user_message", "created_at", "updated_at"}),
    ],
)
def test_the_tables_and_columns_that_were_asked_for_are_physical(path: Path, table: str, columns: set[str]) -> None:
    open_store(f"sqlite:{path}").close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT type FROM sqlite_master WHERE name = ?", (table,)).fetchall() == [("table",)]
        assert columns <= {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def test_no_index_repeats_another(path: Path) -> None:
    open_store(f"sqlite:{path}").close()
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            whole = [
                [column for _, _, column in connection.execute(f"PRAGMA index_info({name})")]
                for _, name, _, _, partial in connection.execute(f"PRAGMA index_list({table})")
                if not partial
            ]
            for place, columns in enumerate(whole):
                others = whole[:place] + whole[place + 1 :]
                assert not any(other[: len(columns)] == columns for other in others), (table, columns)
