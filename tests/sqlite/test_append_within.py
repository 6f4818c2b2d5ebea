"""An engine commits its own rows together with its events, in its own transaction."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from eventstore.codec import Codec
from eventstore.errors import Closed, InvalidInput, Unavailable, WrongExpectedVersion
from eventstore.events import RunCreated
from eventstore.log import Append, Checkpoint
from eventstore.sqlite import SqliteLog
from projections import open_store

from .writer_process import written


@pytest.fixture
def own(log: SqliteLog) -> Iterator[sqlite3.Connection]:
    """The engine's own connection to the log's file, with a table of its own."""
    with closing(sqlite3.connect(log.database.path, isolation_level=None, timeout=0.05)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS jobs (name TEXT)")
        yield connection


def jobs(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM jobs")]


def test_rows_and_events_are_there_once_the_caller_commits(log: SqliteLog, own: sqlite3.Connection) -> None:
    own.execute("BEGIN IMMEDIATE")
    own.execute("INSERT INTO jobs VALUES ('one')")
    done = log.append_within(own, [Append("a", [written()]), Append("b", [written()])], checkpoint=Checkpoint("c", 1))
    assert log.head() == 0
    own.execute("COMMIT")
    assert list(log.read_all()) == list(done.events)
    assert (jobs(own), log.checkpoints()) == (["one"], {"c": 1})
    assert log.append([Append("a", [written()])]).versions == {"a": 2}


def test_neither_rows_nor_events_are_there_if_the_caller_rolls_back(log: SqliteLog, own: sqlite3.Connection) -> None:
    own.execute("BEGIN IMMEDIATE")
    own.execute("INSERT INTO jobs VALUES ('one')")
    log.append_within(own, [Append("a", [written()])], checkpoint=Checkpoint("c", 1))
    own.execute("ROLLBACK")
    assert (list(log.read_all()), jobs(own), log.checkpoints()) == ([], [], {})
    assert log.append([Append("a", [written()])]).events[0].position == 1


def test_a_refused_commit_leaves_the_rest_of_the_transaction_as_it_is(log: SqliteLog, own: sqlite3.Connection) -> None:
    own.execute("BEGIN IMMEDIATE")
    own.execute("INSERT INTO jobs VALUES ('one')")
    with pytest.raises(WrongExpectedVersion):
        log.append_within(own, [Append("a", [written()], expected=7)], checkpoint=Checkpoint("c", 1))
    log.append_within(own, [Append("a", [written()])])
    own.execute("COMMIT")
    assert (jobs(own), log.version("a"), log.checkpoints()) == (["one"], 1, {})


def test_the_identical_commit_again_is_there_once(log: SqliteLog, own: sqlite3.Connection) -> None:
    commit = [Append("a", [written(), written()], expected=0)]
    for repeated in (False, True):
        own.execute("BEGIN IMMEDIATE")
        assert log.append_within(own, commit).repeated == repeated
        assert log.append_within(own, commit).repeated
        own.execute("COMMIT")
    assert log.append(commit).repeated
    assert log.version("a") == 2


@pytest.mark.parametrize("factory", [sqlite3.Row, lambda cursor, row: {"odd": row}], ids=["Row", "dict"])
def test_the_callers_own_way_with_rows_and_temporary_tables_do_not_matter(
    log: SqliteLog, own: sqlite3.Connection, factory: Callable[[sqlite3.Cursor, tuple[Any, ...]], object]
) -> None:
    log.append([Append("a", [written()])])
    own.execute("CREATE TEMP TABLE own (id INTEGER PRIMARY KEY AUTOINCREMENT)")
    own.execute("CREATE TEMP TABLE workflow_events (position, run_id, sequence)")
    own.row_factory = factory
    own.execute("BEGIN IMMEDIATE")
    assert log.append_within(own, [Append("a", [written()])]).versions == {"a": 2}
    own.execute("COMMIT")
    assert [event.position for event in log.read("a")] == [1, 2]


def test_inline_views_come_along(path: Path) -> None:
    event = Codec().encode(RunCreated("flow"))
    with open_store(f"sqlite:{path}") as store, closing(sqlite3.connect(path, isolation_level=None)) as own:
        assert isinstance(store.log, SqliteLog)
        for end, runs in (("ROLLBACK", []), ("COMMIT", ["run"])):
            own.execute("BEGIN IMMEDIATE")
            store.log.append_within(own, [Append("run", [event])])
            own.execute(end)
            assert [run.id for run in store.list_runs()] == runs
        assert store.verify().findings == ()


def test_a_connection_that_does_not_fit_is_refused_with_the_reason(
    log: SqliteLog, own: sqlite3.Connection, tmp_path: Path
) -> None:
    commit = [Append("a", [written()])]
    with pytest.raises(InvalidInput, match="in no transaction") as caught:
        log.append_within(own, commit)
    assert "BEGIN IMMEDIATE" in caught.value.hint
    for database, reason in ((":memory:", "to memory"), (str(tmp_path / "other.db"), r"other\.db, the log is in")):
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("CREATE TABLE t (x)")
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(InvalidInput, match=reason):
                log.append_within(other, commit)
    own.execute("BEGIN IMMEDIATE")
    own.text_factory = bytes
    with pytest.raises(InvalidInput, match="text"):
        log.append_within(own, commit)
    own.text_factory = str
    raised: list[BaseException] = []

    def elsewhere() -> None:
        with pytest.raises(InvalidInput, match="thread") as caught:
            log.append_within(own, commit)
        raised.append(caught.value)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(raised) == 1
    own.execute("ROLLBACK")
    own.close()
    with pytest.raises(InvalidInput, match="closed"):
        log.append_within(own, commit)
    assert log.head() == 0


def test_a_closed_log_appends_nothing(log: SqliteLog, own: sqlite3.Connection) -> None:
    own.execute("BEGIN IMMEDIATE")
    log.close()
    with pytest.raises(Closed):
        log.append_within(own, [Append("a", [written()])])


def test_a_transaction_that_has_read_before_others_wrote_is_told_to_begin_again(
    log: SqliteLog, own: sqlite3.Connection
) -> None:
    commit = [Append("a", [written()])]
    own.execute("BEGIN")
    assert jobs(own) == []
    log.append([Append("a", [written()])])
    with pytest.raises(Unavailable, match="too old") as caught:
        log.append_within(own, commit)
    assert caught.value.retriable
    assert "BEGIN IMMEDIATE" in caught.value.hint
    own.execute("ROLLBACK")
    own.execute("BEGIN IMMEDIATE")
    assert log.append_within(own, commit).versions == {"a": 2}
    own.execute("COMMIT")


def test_a_transaction_that_keeps_others_from_writing_is_waited_for_so_long_and_no_longer(
    log: SqliteLog, own: sqlite3.Connection
) -> None:
    own.execute("BEGIN IMMEDIATE")
    log.append_within(own, [Append("a", [written()])])
    with pytest.raises(Unavailable, match="locked"):
        log.append([Append("a", [written()])])
    own.execute("COMMIT")
    assert log.append([Append("a", [written()])]).versions == {"a": 2}
