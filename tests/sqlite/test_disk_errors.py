"""A disk that is full or that fails: what was acknowledged stays, nothing else is there, and the same log goes on."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import deque
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from eventstore.errors import OutcomeUnknown, Unavailable
from eventstore.log import Append
from eventstore.sqlite import SqliteLog
from projections import open_store

from .small_disk import IN_A_NAMESPACE, available, check, commit, fill
from .writer_process import written


@pytest.mark.skipif(not available(), reason="this system gives its users no namespaces to mount a small disk in")
def test_on_a_full_disk_a_commit_is_refused_whole_and_goes_through_once_there_is_room(tmp_path: Path) -> None:
    command = [*IN_A_NAMESPACE, sys.executable, "-m", "tests.sqlite.small_disk", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 20


def test_a_file_that_may_not_grow_refuses_a_commit_whole_and_takes_it_once_it_may(log: SqliteLog) -> None:
    with log.database.writing() as session:
        session.rows("PRAGMA max_page_count = 40")
    acknowledged: list[UUID] = []
    refused = fill(log, acknowledged)
    check(log, acknowledged)
    with log.database.writing() as session:
        session.rows("PRAGMA max_page_count = 1000000")
    assert not log.append(refused).repeated
    check(log, [*acknowledged, refused[0].events[0].id])


def test_a_full_disk_keeps_events_and_views_together(path: Path) -> None:
    with open_store(f"sqlite:{path}") as store:
        assert isinstance(store.log, SqliteLog)
        with store.log.database.writing() as session:
            session.rows("PRAGMA max_page_count = 60")
        create = partial(store.create_run, "flow", input="x" * 3_000)
        with pytest.raises(Unavailable, match="full") as caught:
            deque((create(run_id=str(number)) for number in count()), maxlen=0)
        assert "Free some space" in caught.value.hint
        assert store.verify().clean
        assert {run.id for run in store.list_runs()} == {event.stream for event in store.log.read_all()}


class FailingConnection(sqlite3.Connection):
    """Its disk fails when a transaction is committed, before or after that has happened."""

    when = ""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql != "COMMIT" or not self.when:
            return super().execute(sql, parameters)
        if self.when == "after":
            super().execute(sql)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error


@pytest.mark.parametrize("when", ["before", "after"])
def test_when_the_disk_fails_at_the_commit_the_outcome_is_unknown_and_the_commit_can_be_repeated(
    path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def connect(database: str, *, uri: bool, timeout: float) -> sqlite3.Connection:
        return sqlite3.connect(
            database, timeout, isolation_level=None, check_same_thread=False, factory=FailingConnection, uri=uri
        )

    monkeypatch.setattr("eventstore.sqlite_database.connect", connect)
    with closing(SqliteLog(path)) as log:
        monkeypatch.setattr(FailingConnection, "when", when)
        wanted = commit(1)
        with pytest.raises(OutcomeUnknown, match="disk I/O error") as caught:
            log.append(wanted)
        assert "repeat the identical commit" in caught.value.hint
        monkeypatch.setattr(FailingConnection, "when", "")
        assert log.append(wanted).repeated == (when == "after")
        check(log, [wanted[0].events[0].id])
        assert log.append([Append("a", [written()])]).versions == {"a": 2}
