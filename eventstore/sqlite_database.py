"""A SQLite file as a `Database`: one writer, readers that never wait for it, and every setting read back.

The settings and their reasons: WAL with `synchronous = FULL` loses nothing that was committed when the power fails,
with NORMAL the last commits, but never an earlier one without the later. Where WAL is not to be had (some file
systems), a rollback journal with EXTRA gives the same. `secure_delete` overwrites what a purge removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from eventstore.disk import unavailable
from eventstore.errors import (
    Closed,
    EventStoreError,
    InvalidInput,
    OutcomeUnknown,
    RowCorrupt,
    Unavailable,
    lone_surrogate,
)
from eventstore.schema import VERSIONED
from eventstore.session import Argument, Statement
from eventstore.sqlite_session import BUSY_SECONDS, SqliteSession, connect, transaction

APPLICATION_ID = 0x666C6F77
"""What tells the files of this library from other SQLite files: `flow`, in ASCII."""

SETTINGS = """PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;
    PRAGMA secure_delete = ON; PRAGMA recursive_triggers = ON"""
SHRINKING = "PRAGMA auto_vacuum = INCREMENTAL"
"""Lets a file shrink by as many pages as are free, a few at a time. What VACUUM does costs as much as the whole file
that is left, and twice its room; appending costs the same with this and without.
"""
_NORMAL, _FULL, _EXTRA = 1, 2, 3
_IDLE_READERS = 8
_PAGES_AT_ONCE = 1_000
_READER_MILLISECONDS = 1_000
"""How long a purge waits for readers before it leaves the write-ahead log as it is."""

_creating = threading.Lock()
"""To close a file gives up all locks that this process has on it, those of SQLite too. So nobody may have begun to use
a new file before whoever made it has closed it.
"""


class SqliteDatabase:
    """The file at a path. Safe for threads, and for several processes of one machine."""

    def __init__(self, path: Path, *, durable: bool, create: bool, busy_seconds: float = BUSY_SECONDS) -> None:
        """Open the file, or create it, private to its owner.

        Raises `Unavailable`, `InvalidInput` if the file is something else, or `LogCorrupt` if it is damaged.
        """
        self.path, self._durable, self._busy_seconds = path, durable, busy_seconds
        self._pool = threading.Lock()
        self._writing = threading.RLock()
        self._readers: list[sqlite3.Connection] = []
        self._closed = False
        with self.translating():
            if create:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone_in(path.parent):
                self._prepare_file(create=create)
                self._writer = self._connect()
                try:
                    self._claim()
                    self._set(self._writer)
                except BaseException:
                    self._writer.close()
                    raise

    def _prepare_file(self, *, create: bool) -> None:
        """Make sure that there is a file, and that SQLite will write to no other."""
        missing = Unavailable(f"there is no store in {self.path}", "Give the file of a store with --store.")
        with _creating:
            if create:
                _create_private(self.path)
            elif not self.path.exists():
                raise missing
        for beside in map(self._beside, ("-wal", "-shm", "-journal")):
            if beside.is_symlink():
                raise Unavailable(f"{beside} is a symbolic link", "Remove it: SQLite would write to where it leads.")
        if not _has_content(self.path):
            if _has_content(self._beside("-wal")):
                reason = "it is empty, but the write-ahead log beside it is not"
                raise RowCorrupt(str(self.path), "the file", reason)
            if self.path.is_symlink():
                raise Unavailable(f"{self.path} is a symbolic link", "Give the path of the file itself.")
            if not create:
                raise missing

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _connect(self) -> sqlite3.Connection:
        return connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True, timeout=self._busy_seconds)

    def _claim(self) -> None:
        """Mark a new file as a store's, before anything is set, which writes to the file; refuse all others."""
        with transaction(self._writer, "DEFERRED"):  # or another process may make the tables in between
            (id,) = self._writer.execute("PRAGMA application_id").fetchone()
            (tables,) = self._writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
            (pages,) = self._writer.execute("PRAGMA page_count").fetchone()
            versioned = SqliteSession(self._writer).has_table(VERSIONED)
        if id == 0 and tables == 0 and pages <= 1:
            self._writer.execute(SHRINKING)  # which has to be the first thing a file is told
            self._writer.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        elif id != APPLICATION_ID:
            raise InvalidInput(f"{self.path} is a database of something else", "Give the store a file of its own.")
        elif pages > 1 and not versioned:
            raise RowCorrupt(str(self.path), "the file", "it is not empty, but does not know of its tables")

    def _set(self, connection: sqlite3.Connection) -> None:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        wanted = _NORMAL if not self._durable else _FULL if mode == "wal" else _EXTRA
        connection.execute(f"PRAGMA synchronous = {wanted}")
        connection.executescript(SETTINGS)
        if connection.execute("PRAGMA synchronous").fetchone() != (wanted,):
            raise Unavailable(f"SQLite does not take the setting synchronous = {wanted} for {self.path}")

    def _reading_connection(self) -> sqlite3.Connection:
        with self._pool:
            self._check_open()
            if self._readers:
                return self._readers.pop()
        connection = self._connect()
        try:
            self._set(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def rows(self, text: str, arguments: Sequence[Argument] = ()) -> list[tuple[Any, ...]]:
        with self._reader() as connection:
            return SqliteSession(connection).rows(text, arguments)

    def answers(self, questions: Sequence[Statement], *, together: bool) -> list[list[tuple[Any, ...]]]:
        with (
            self._reader() as connection,
            transaction(connection, "DEFERRED") if together else contextlib.nullcontext(),
        ):
            return SqliteSession(connection).ask(questions)

    def write(self, text: str, arguments: Sequence[Argument] = ()) -> list[tuple[Any, ...]]:
        with self.writing() as session:
            return session.rows(text, arguments)

    @contextlib.contextmanager
    def reading(self) -> Iterator[SqliteSession]:
        with self._reader() as connection, transaction(connection, "DEFERRED"):
            yield SqliteSession(connection)

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with self.translating():
            connection = self._reading_connection()
            try:
                yield connection
            finally:
                with self._pool:
                    if self._closed or len(self._readers) >= _IDLE_READERS:
                        connection.close()
                    else:
                        self._readers.append(connection)

    @contextlib.contextmanager
    def writing(self) -> Iterator[SqliteSession]:
        with self._writing, self.translating():
            self._check_open()
            self._roll_back()  # what could not be rolled back when it failed
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield SqliteSession(self._writer)
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._roll_back()
                raise
            self._commit()

    def aside(self) -> AbstractContextManager[SqliteSession]:
        return self.writing()

    def _commit(self) -> None:
        try:
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._roll_back()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR:
                # What has reached the disk by then is a whole commit to whoever opens the file after a crash.
                raise OutcomeUnknown(f"the commit to {self.path} failed: {error}") from error
            raise

    def _roll_back(self) -> None:
        if self._writer.in_transaction:  # SQLite has rolled back by itself if the disk is full
            self._writer.execute("ROLLBACK")

    def forget_removed(self) -> None:
        """Have what was deleted leave the write-ahead log too, unless somebody goes on reading: then it leaves with the
        next purge, or when the file is closed by all.
        """
        with self._writing, self.translating():
            self._check_open()
            self._writer.execute(f"PRAGMA busy_timeout = {_READER_MILLISECONDS}")
            try:
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._writer.execute(f"PRAGMA busy_timeout = {round(self._busy_seconds * 1000)}")

    def reclaim(self, *_: str) -> None:
        """Have the whole file as small as what is in it: not faster than that other writers get their turns, and, as
        long as somebody goes on reading, not on the disk.
        """
        while self._shrink():
            pass
        self.forget_removed()

    def _shrink(self) -> bool:
        """Give some free pages back. True if there may be more."""
        with self._writing, self.translating():
            self._check_open()
            self._roll_back()
            if self._writer.execute("PRAGMA auto_vacuum").fetchone() == (0,):  # made by an earlier program
                self._writer.execute(SHRINKING)
                self._writer.execute("VACUUM")
            (free,) = self._writer.execute("PRAGMA freelist_count").fetchone()
            # Each step gives one page back, and only a script is stepped to its end.
            self._writer.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
            return bool(free > _PAGES_AT_ONCE)

    def close(self) -> None:
        with self._writing, self._pool:
            if not self._closed:
                self._closed = True
                for connection in (*self._readers, self._writer):
                    connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"the store in {self.path}")

    @contextlib.contextmanager
    def translating(self) -> Iterator[None]:
        """Give SQLite's errors this project's form."""
        try:
            yield
        except EventStoreError:
            raise
        except sqlite3.Error as error:
            raise translated(error, self.path) from error
        except UnicodeDecodeError as error:  # SQLite quotes what it has found there
            raise RowCorrupt(str(self.path), "the tables", "not as they were made") from error
        except UnicodeEncodeError as error:
            raise lone_surrogate(error) from None
        except OSError as error:
            raise unavailable(error, f"cannot open the store in {self.path}") from error


def translated(error: sqlite3.Error, path: Path) -> EventStoreError:
    """A SQLite error as one of this project's, with what to do about it."""
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if isinstance(error, sqlite3.ProgrammingError):
        return InvalidInput(f"the connection cannot be used: {error}", "Give an open one that belongs to this thread.")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_TOOBIG) or extended == sqlite3.SQLITE_IOERR_SHORT_READ:
        return RowCorrupt(str(path), "the file", f"it is damaged: {error}")
    if code == sqlite3.SQLITE_ERROR:  # all statements are fixed, and do for the tables as they were made
        return RowCorrupt(str(path), "the tables", f"not as they were made: {error}")
    if code == sqlite3.SQLITE_NOTADB:
        if _says_it_is_ours(path):
            return RowCorrupt(str(path), "the first page", "it is damaged")
        hint = "Check the path; if it is a store's, its first page is damaged: restore it from a backup."
        return InvalidInput(f"{path} is not a SQLite database", hint)
    if "decode to UTF-8" in str(error):
        return RowCorrupt(str(path), "a row", f"not what was written there: {error}")
    if extended == sqlite3.SQLITE_BUSY_SNAPSHOT:
        hint = "Others have appended since it began to read: roll it back, and begin it again with BEGIN IMMEDIATE."
        return Unavailable(f"the transaction on {path} is too old to write", hint)
    hints = {
        sqlite3.SQLITE_BUSY: "Another process is writing for a long time: try again.",
        sqlite3.SQLITE_LOCKED: "Another connection is writing: try again.",
        sqlite3.SQLITE_FULL: "Free some space and try again: nothing of this call was written.",
        sqlite3.SQLITE_IOERR: "See what the system's log says of the disk, and whether it is full; then try again.",
        sqlite3.SQLITE_READONLY: (
            "Give this user the right to write the file and its folder, or copy the file, with the one of its name and "
            "-wal if there is one, to where it has that right."
        ),
        sqlite3.SQLITE_CANTOPEN: "Check that the file is there and that this user may read and write it.",
    }
    return Unavailable(f"the store in {path}: {error}", hints.get(code, ""))


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Open one file at a time in a folder: SQLite does not wait for who is just turning a new file to WAL."""
    if not folder.is_dir():
        yield  # and let SQLite say what is wrong
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create_private(path: Path) -> None:
    """A file that SQLite makes by itself is readable for everybody."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _says_it_is_ours(path: Path) -> bool:
    """Whether a file that SQLite does not take for one of its own has our mark where a store has it."""
    with path.open("rb") as file:
        return file.read(72)[68:] == APPLICATION_ID.to_bytes(4)
