"""The SQLite log keeps the contract."""

from __future__ import annotations

from pathlib import Path

from eventstore.log import Hook, Log
from eventstore.sqlite import SqliteLog
from eventstore.testing import PersistentLogContract


class TestSqliteLog(PersistentLogContract):
    def open_log(self, place: Path, *, hook: Hook | None = None) -> Log:
        return SqliteLog(place / "store.db", hook=hook)
