"""The SQLite log: one file, for any number of threads and processes of one machine.

Everything is decided inside the transaction that writes it, so there is nothing to be wrong about; the threads of one
process share their transactions, and so their syncs.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from importlib.resources import files as package_files
from pathlib import Path
from typing import ClassVar

from eventstore.changes import seen_in_time
from eventstore.disk import Disk, unavailable
from eventstore.errors import InvalidInput
from eventstore.file_hold import file_holder, hold_file
from eventstore.hold import Hold
from eventstore.log import Append, Appended, Checkpoint, Durability, Hook, RecordedEvent, now
from eventstore.schema import migrate
from eventstore.session import Batch, Session
from eventstore.sql_events import WRITTEN, rows_of
from eventstore.sql_log import InlineHook, SqlLog
from eventstore.sqlite_database import SqliteDatabase
from eventstore.sqlite_session import BUSY_SECONDS, SqliteSession
from eventstore.validate import check_name, validate

LAST_POSITION = "SELECT max(position) FROM main.workflow_events"
NEXT_POSITION = "SELECT coalesce(max(seq), 0) + 1 FROM main.sqlite_sequence WHERE name = 'workflow_events'"
INSERT = f"""INSERT INTO main.workflow_events (position, {", ".join(WRITTEN)})
    VALUES ($1, {", ".join(f"${place}" for place, _ in enumerate(WRITTEN, 2))})"""


class SqliteLog(SqlLog):
    """A log in a SQLite file.

    `durability` says what a crash of the *machine* can cost; a crash of the process costs nothing acknowledged.
    `"full"`: nothing. `"batched"` and `"none"`: the commits since SQLite last brought its write-ahead log into the
    file. What is left is always a prefix of what was appended.
    """

    dialect: ClassVar[str] = "sqlite"
    next_position: ClassVar[str] = NEXT_POSITION
    database: SqliteDatabase

    def __init__(
        self,
        path: str | Path,
        *,
        durability: Durability = "full",
        hook: Hook | None = None,
        inline: InlineHook | None = None,
        clock: Callable[[], datetime] = now,
        create: bool = True,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        """Open the file, or create it with its tables. `busy_seconds` is how long to wait for another process.

        Raises `Unavailable` if the system refuses, `InvalidInput` if the file is something else, `LogCorrupt` if it is
        damaged, `UnsupportedStore` if a newer program made it.
        """
        if durability not in ("full", "batched", "none"):
            raise InvalidInput(f"unknown durability {durability!r}", "Use 'full', 'batched' or 'none'.")
        database = SqliteDatabase(Path(path), durable=durability == "full", create=create, busy_seconds=busy_seconds)
        try:
            with database.writing() as session:
                migrate(session, "log", package_files("eventstore.schema").joinpath("sqlite"))
        except BaseException:
            database.close()
            raise
        super().__init__(database, str(path), hook=hook, inline=inline, clock=clock)
        self.durability = durability

    def head(self) -> int:
        ((position,),) = self._rows(LAST_POSITION)
        return position or 0

    def wait(self, after: int, timeout: float | None = None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        path = self.database.path
        return self.head() > after or seen_in_time(lambda: self.head() > after, path.parent, deadline, prefix=path.name)

    def hold(self, name: str) -> Hold:
        check_name(name)
        with self._beside() as (disk, folder):
            return hold_file(disk, folder, name)

    def holder(self, name: str) -> str | None:
        check_name(name)
        with self._beside() as (disk, folder):
            return file_holder(disk, folder, name)

    @contextlib.contextmanager
    def _beside(self) -> Iterator[tuple[Disk, str]]:
        """The folder of the file, and in it that of the names that are held."""
        self._check_open()
        path = self.database.path
        try:
            disk = Disk(path.parent, create=False)
        except OSError as error:
            raise unavailable(error, f"cannot open the folder of {path}") from error
        try:
            yield disk, f"{path.name}-holds"
        finally:
            disk.release()

    def append_within(
        self, connection: sqlite3.Connection, commit: Sequence[Append], *, checkpoint: Checkpoint | None = None
    ) -> Appended:
        """Append a commit in the caller's own transaction on this file: it is there when the caller commits, together
        with whatever else that transaction did, and not at all if it rolls back.

        Begin it with BEGIN IMMEDIATE: other writers wait from then on. Hooks other than inline ones are not told.
        """
        validate(commit, checkpoint)
        self._check_open()
        with self.database.translating():
            session = SqliteSession(connection)
            if not connection.in_transaction:
                raise InvalidInput("the connection is in no transaction", "Begin one: BEGIN IMMEDIATE.")
            if connection.text_factory is not str:
                raise InvalidInput("the connection gives texts as something else", "Leave its text_factory alone.")
            file = next(file for _, name, file in session.rows("PRAGMA database_list") if name == "main")
            if not file or not os.path.samefile(file, self.database.path):
                reason = f"the connection is to {file or 'memory'}, the log is in {self.database.path}"
                raise InvalidInput(reason, "Give a connection to the log's own file.")
            return self._append_in(session, commit, checkpoint)

    def _forget_removed(self) -> None:
        self.database.forget_removed()

    def _insert(
        self, session: Session, commit: Sequence[RecordedEvent], statements: Sequence[Batch], *, projected: bool
    ) -> None:
        rows = zip(commit, rows_of(commit, projected=projected), strict=True)
        session.run([Batch(INSERT, [(event.position, *row) for event, row in rows]), *statements])
