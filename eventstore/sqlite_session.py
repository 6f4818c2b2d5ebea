"""SQLite connections as this project uses them: explicit transactions, parameters by number."""

from __future__ import annotations

import contextlib
import functools
import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from eventstore.session import Argument, Batch, Statement

BUSY_SECONDS = 30.0
"""How long a statement waits for other processes before it fails."""

TABLE = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = $1"

_PARAMETER = re.compile(r"\$(\d+)")
_NAMES = tuple(str(number) for number in range(1, 100))


class SqliteSession:
    """A connection as a `Session`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def rows(self, text: str, arguments: Sequence[Argument] = ()) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.row_factory = None  # a caller's connection may make rows into anything
        # To SQLite, `$1` is a parameter with the name 1.
        return cursor.execute(text, dict(zip(_NAMES, arguments, strict=False))).fetchall()

    def has_table(self, name: str) -> bool:
        return bool(self.rows(TABLE, (name,)))

    def ask(self, statements: Sequence[Statement]) -> list[list[tuple[Any, ...]]]:
        return [self.rows(*statement) for statement in statements]

    def run(self, batches: Sequence[Batch]) -> None:
        for text, rows in batches:
            self.connection.executemany(_unnamed(text), rows)


@functools.lru_cache(500)
def _unnamed(text: str) -> str:
    """The text with parameters that have no names: a row of ten is put in two thirds of the time that looking up their
    names takes. Each must stand there once, in their order.
    """
    names = _PARAMETER.findall(text)
    assert tuple(names) == _NAMES[: len(names)], text
    return _PARAMETER.sub("?", text)


def connect(database: str, *, uri: bool = False, timeout: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time, and that begins no transaction by itself."""
    return sqlite3.connect(database, timeout=timeout, isolation_level=None, check_same_thread=False, uri=uri)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Commit what is done inside, or roll it back if an error leaves it."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself if the disk is full
            connection.execute("ROLLBACK")
        raise
