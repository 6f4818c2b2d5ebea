"""Waiting for what another process commits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore import sqlite
from eventstore.log import Append, NewEvent
from eventstore.sqlite import SqliteLog


class LateLog(SqliteLog):
    """Sees a commit only when it looks for the third time, like one whose sync takes a while."""

    looks = 0

    def head(self) -> int:
        self.looks += 1
        return super().head() if self.looks > 2 else 0


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LateLog]:
    log = LateLog(tmp_path / "runs.db", durability="none")
    log.append([Append("run", [NewEvent(type="x", data=b"")])])
    yield log
    log.close()


def test_a_commit_that_shows_after_its_write_is_looked_for_again(log: LateLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "folder_changes", lambda *_, **__: iter([True]))
    assert log.wait(0)
    assert log.looks == 3


def test_nothing_is_looked_for_again_where_nothing_has_changed(log: LateLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "folder_changes", lambda *_, **__: iter([False]))
    assert not log.wait(0)
    assert log.looks == 2
