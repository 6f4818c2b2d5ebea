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
from eventstore.errors import Closed, Unavailable
from eventstore.log import Log, RecordedEvent
from projections import tables
from projections.project import project
from projections.rows import Run
from projections.run_files import RunFiles

FORMAT = 1
_EVENTS_AT_ONCE = 2_000

CHECKPOINT = "SELECT position, hash FROM checkpoints WHERE name = 'views'"
SET_CHECKPOINT = "INSERT OR REPLACE INTO checkpoints VALUES ('views', ?1, ?2)"
FORGET_CHECKPOINT = "DELETE FROM checkpoints"
FORGET_FILES = "DELETE FROM run_files"
LIVE_RUNS = "WHERE deleted_at IS NULL ORDER BY position"


class Views:
    """Keeps the views, and answers queries on them. Safe for threads; several processes may share the database.

    It is a log's `Hook`. Raises `Unavailable` when the database cannot be used.
    """

    def __init__(self, database: str, log: Log, codec: Codec, files: RunFiles | None = None) -> None:
        self._database, self._log, self._codec, self._files = database, log, codec, files
        self._lock = threading.RLock()
        self._closed = False
        self._connection = self._connect()
        self._position = 0
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
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(self._database + ending)
            return self._open()

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
        """Start from the checkpoint, if the log still says what it said there."""
        position, hash = self._checkpoint()
        if position > self._log.head():
            self.rebuild()
            return
        there = next(self._log.read_all(after=position - 1, until=position), None) if position else None
        if there is not None and there.hash != hash:
            self.rebuild()
            return
        self._position = position
        self.catch_up()

    def _checkpoint(self) -> tuple[int, str]:
        row: tuple[int, str] | None = self._connection.execute(CHECKPOINT).fetchone()
        return row or (0, "")

    def committed(self, events: Sequence[RecordedEvent]) -> None:
        """Take a commit of this process."""
        if self._position + 1 != events[0].position or not self._take(events, after=self._position):
            self.catch_up()

    def catch_up(self) -> None:
        """Take everything the log holds by now."""
        head = self._log.head()
        while (after := self._position) < head:
            events = list(islice(self._log.read_all(after=after, until=head), _EVENTS_AT_ONCE))
            if not events:
                return
            self._take(events, after=after)

    def _take(self, events: Sequence[RecordedEvent], *, after: int) -> bool:
        """Take these events if the views stand at `after`; else learn where they stand, and return False."""
        with self._using() as connection, _transaction(connection):
            position, _ = self._checkpoint()
            if position != after:
                self._position = position
                return False
            self._apply(connection, events)
        self._position = events[-1].position
        return True

    def _apply(self, connection: sqlite3.Connection, events: Sequence[RecordedEvent]) -> None:
        patches = [patch for recorded in events for patch in project(self._codec.decode(recorded), recorded)]
        tables.apply(connection, patches)
        if self._files is not None:
            self._files.follow(connection, events, patches)
        connection.execute(SET_CHECKPOINT, (events[-1].position, events[-1].hash))

    def rebuild(self, progress: Callable[[int], None] | None = None) -> None:
        """Make tables and folders again from the whole log. Other readers see the old tables until all are done.

        `progress` is told how many events were taken since it was last told.
        """
        head = self._log.head()
        events = self._log.read_all(until=head)
        with self._using() as connection, _transaction(connection):
            tables.clear(connection)
            connection.execute(FORGET_CHECKPOINT)
            connection.execute(FORGET_FILES)
            position = 0
            while batch := list(islice(events, _EVENTS_AT_ONCE)):
                patches = [patch for recorded in batch for patch in project(self._codec.decode(recorded), recorded)]
                tables.apply(connection, patches)
                connection.execute(SET_CHECKPOINT, (batch[-1].position, batch[-1].hash))
                position = batch[-1].position
                if progress is not None:
                    progress(len(batch))
            if self._files is not None:
                for run in tables.select(connection, Run, LIVE_RUNS):
                    self._files.write(connection, run, position)
        self._position = position

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection on which everything appended so far shows."""
        self.catch_up()
        with self._using() as connection:
            yield connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Like `reading`, with all queries seeing one and the same state."""
        with self.reading() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:
                raise Closed("the store")
            try:
                yield self._connection
            except sqlite3.OperationalError as error:
                raise Unavailable(
                    f"the views in {self._database}: {error}", "The events are safe; try again."
                ) from error

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
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
