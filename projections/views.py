"""The views of one log: tables behind a checkpoint, and the run folders beside them.

They are told of every commit this process makes and catch up with those of others before every read, so who has
appended reads what they wrote. Disposable: a lost, foreign or contradicting database is made again from the log.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files as package_files
from itertools import islice

from eventstore.codec import Codec
from eventstore.errors import Closed, InvalidInput, Unavailable
from eventstore.log import Log, RecordedEvent
from projections import tables
from projections.project import project
from projections.rows import Patch
from projections.run_files import RunFiles

FORMAT = 1
_EVENTS_AT_ONCE = 2_000

CHECKPOINT = "SELECT position, hash FROM checkpoints WHERE name = 'views'"
SET_CHECKPOINT = "INSERT OR REPLACE INTO checkpoints VALUES ('views', ?, ?)"
FORGET_CHECKPOINT = "DELETE FROM checkpoints"


class DamagedViews(Unavailable):
    """The database of the views is not what was written there."""

    code = "views-damaged"
    retriable = False


class Views:
    """Keeps the views, and answers queries on them. Safe for threads; several processes may share the database.

    Where they stand is asked of the database every time: another process may have moved them, or made them again.
    It is a log's `Hook`. Raises `Unavailable` when the database cannot be used.
    """

    def __init__(self, database: str, log: Log, codec: Codec, files: RunFiles | None = None) -> None:
        self._database, self._log, self._codec, self._files = database, log, codec, files
        self._lock = threading.RLock()
        self._closed = False
        self._connection = self._connect()
        try:
            self._trust_or_rebuild()
        except BaseException:
            self._connection.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.OperationalError as error:
            raise Unavailable(f"cannot open the views in {self._database}: {error}") from error
        except sqlite3.DatabaseError:
            self._discard()
            return self._open()

    def _discard(self) -> None:
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(self._database + ending)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._database, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            connection.executescript(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON"
            )
            with _transaction(connection):
                (format,) = connection.execute("PRAGMA user_version").fetchone()
                if format != FORMAT:
                    _create_tables(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _trust_or_rebuild(self) -> None:
        """Go on from the checkpoint, if there is one and the log still says what it said there."""
        try:
            position, hash = self._checkpoint()
            there = next(self._log.read_all(after=position - 1, until=position), None) if position else None
            if position <= self._log.head() and (there is None or there.hash == hash):
                self.catch_up()
                return
        except DamagedViews:
            pass
        self.rebuild()

    def _checkpoint(self) -> tuple[int, str]:
        with self._using() as connection:
            row: tuple[int, str] | None = connection.execute(CHECKPOINT).fetchone()
        return row or (0, "")

    def committed(self, events: Sequence[RecordedEvent]) -> None:
        """Take a commit of this process, unless others have written before it that the views have not seen."""
        if not self._take(events, after=events[0].position - 1):
            self.catch_up()

    def catch_up(self) -> int:
        """Take everything the log holds by now, and return the position that the views have come to."""
        head = self._log.head()
        while (after := self._checkpoint()[0]) < head:
            events = list(islice(self._log.read_all(after=after, until=head), _EVENTS_AT_ONCE))
            if not events:
                break
            self._take(events, after=after)
        return after

    def _take(self, events: Sequence[RecordedEvent], *, after: int) -> bool:
        """Take these events if the views stand at `after`; else do nothing, and return False."""
        with self._using() as connection, _transaction(connection):
            if self._checkpoint()[0] != after:
                return False
            patches = self._apply(connection, events)
            if self._files is not None:
                self._files.follow(connection, events, patches)
        return True

    def _apply(self, connection: sqlite3.Connection, events: Sequence[RecordedEvent]) -> list[Patch]:
        """Bring tables and checkpoint up to date with these events, and return the patches they made."""
        patches = [patch for recorded in events for patch in project(self._codec.decode(recorded), recorded)]
        tables.apply(connection, patches)
        connection.execute(SET_CHECKPOINT, (events[-1].position, events[-1].hash))
        return patches

    def rebuild(self, progress: Callable[[int], None] | None = None) -> None:
        """Make tables and folders again from the whole log. Other readers see the old tables until all are done.

        `progress` is told how many events were taken since it was last told.
        """
        try:
            self._rebuild(progress)
        except DamagedViews:
            with self._using():
                self._connection.close()
                self._discard()
                self._connection = self._connect()
            self._rebuild(progress)

    def _rebuild(self, progress: Callable[[int], None] | None) -> None:
        events = self._log.read_all()
        with self._using() as connection, _transaction(connection):
            tables.clear(connection)
            connection.execute(FORGET_CHECKPOINT)
            while batch := list(islice(events, _EVENTS_AT_ONCE)):
                self._apply(connection, batch)
                if progress is not None:
                    progress(len(batch))
            if self._files is not None:
                self._files.rebuild(connection, self._checkpoint()[0])

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection whose queries all see one and the same state, in which everything appended so far shows."""
        wanted = self._log.head()
        while True:
            with self._using() as connection, _transaction(connection, "DEFERRED"):
                if self._checkpoint()[0] >= wanted:
                    yield connection
                    return
            wanted = self.catch_up()  # which is less if what comes next has just been purged

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:
                raise Closed("the store")
            try:
                yield self._connection
            except sqlite3.OperationalError as error:
                hint = "The events are safe; try again."
                raise Unavailable(f"the views in {self._database}: {error}", hint) from error
            except sqlite3.DatabaseError as error:
                if type(error) is not sqlite3.DatabaseError:
                    raise
                hint = "The events are safe: run `eventstore rebuild`."
                raise DamagedViews(f"the views in {self._database} are damaged: {error}", hint) from error
            except UnicodeEncodeError as error:
                raise InvalidInput(f"{error.object!r} contains a lone surrogate, which UTF-8 cannot carry") from None

    def close(self) -> None:
        """Release the database. Repeated calls do nothing."""
        with self._lock:
            self._closed = True
            self._connection.close()


def _create_tables(connection: sqlite3.Connection) -> None:
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        connection.execute(f'DROP TABLE "{name}"')
    for statement in package_files("projections").joinpath("views.sql").read_text().split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORMAT}")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself if the disk is full
            connection.execute("ROLLBACK")
        raise
