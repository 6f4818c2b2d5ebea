"""Views that follow their log: tables behind a checkpoint; run folders follow these.

No append waits for them: they take what has come before every read, so who has appended reads what they wrote. The
thread that writes run folders has them do so as well, so that this is never much. Of the commits of this process they
have been told, those of others they read in the log. Disposable: a lost, foreign or contradicting database is made
again from the log.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files as package_files
from itertools import chain, islice

from eventstore.codec import Codec
from eventstore.disk import Disk
from eventstore.errors import Closed, InvalidValue, LogCorrupt, Unavailable, lone_surrogate
from eventstore.log import PURGES, Log, RecordedEvent
from eventstore.session import Session, Statement
from eventstore.sqlite_session import SqliteSession, connect, transaction
from projections import tables
from projections.following_folders import TABLES, FollowingFolders
from projections.inheritance import with_inherited
from projections.project import project
from projections.snapshot import Snapshot, event_at, keep, outlines
from projections.tables import Columns, DamagedViews
from projections.told import Told
from projections.views import WithEvents, check_questions

FORMAT = 2

PRAGMAS = """PRAGMA auto_vacuum = FULL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
    PRAGMA secure_delete = ON"""
CHECKPOINT = "SELECT position, hash FROM main.checkpoints WHERE name = 'views'"
SET_CHECKPOINT = """INSERT INTO main.checkpoints VALUES ('views', $1, $2)
    ON CONFLICT (name) DO UPDATE SET position = excluded.position, hash = excluded.hash"""
FORGET_CHECKPOINT = "DELETE FROM main.checkpoints"


class FollowingViews:
    """Keeps the views, and answers queries on them. Safe for threads; several processes may share the database.

    Where they stand is asked of the database every time: another process may have moved them, or made them again.
    It is a log's `Hook`. Raises `Unavailable` when the database cannot be used.
    """

    def __init__(self, database: str, log: Log, codec: Codec, disk: Disk | None = None) -> None:
        """`disk` is where the run folders are to be kept, if they are."""
        self._database, self._log, self._codec = database, log, codec
        self._lock, self._closing = threading.RLock(), threading.Lock()
        self._process = os.getpid()
        self._told = Told()
        self._closed = False
        self._connection = self._connect()
        self._folders: FollowingFolders | None = None
        try:
            if disk is not None:
                self._folders = FollowingFolders(disk, log, codec, self._catch_up, self._reading, self._writing)
            self._trust_or_rebuild()
        except BaseException:
            self._connection.close()
            if self._folders is not None:
                self._folders.close()
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
        connection = connect(self._database)
        try:
            connection.executescript(PRAGMAS)
            with transaction(connection):
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
            position, hash = self._standing()
            there = next(self._log.read_all(after=position - 1, until=position), None) if position else None
            if position <= self._log.head() and (there is None or there.hash == hash):
                self.write_folders()
                return
        except DamagedViews:
            pass
        self.rebuild()

    def _standing(self) -> tuple[int, str]:
        """The position and the hash of the last event that the tables have taken."""
        with self._using() as session:
            return _checkpoint(session)

    def committed(self, events: Sequence[RecordedEvent]) -> None:
        """Remember a commit of this process, for the next reading. What is purged is gone when this returns."""
        self._told.add(events)
        if any(event.stream == PURGES for event in events):
            self.write_folders()
        elif self._folders is not None:
            self._folders.soon()

    def catch_up(self) -> None:
        """Take everything the log holds by now."""
        self._catch_up()

    def write_folders(self) -> None:
        """Bring the run folders, and the tables before them, up to date with everything the log holds by now."""
        if self._folders is not None:
            self._folders.catch_up()
        else:
            self._catch_up()

    def _catch_up(self) -> int:
        """Take everything the log holds by now, and return the position that the views have come to."""
        head = self._log.head()
        self._take_told()
        while (after := self._standing()[0]) < head:
            events = list(islice(self._log.read_all(after=after, until=head), tables.EVENTS_AT_ONCE))
            if not events:
                break
            self._take_readable(events, after)
            if self._folders is not None:
                self._folders.soon()
        return after

    def _take_told(self) -> None:
        """Take what this process has appended, if the views stand right before it and it can be read."""
        if self._told:
            with contextlib.suppress(InvalidValue), self._writing() as session:  # the log has it, or it was purged
                if events := self._told.take(_checkpoint(session)[0]):
                    self._apply(session, events)

    def _take_readable(self, events: Sequence[RecordedEvent], after: int) -> None:
        """Take these events if the views stand at `after`; if one of them cannot be read, those before it, and raise
        `InvalidValue`.
        """
        try:
            self._take(events, after)
        except InvalidValue:
            half = events[: len(events) // 2]
            if not half:
                raise
            self._take_readable(half, after)
            self._take_readable(events[len(half) :], half[-1].position)

    def _take(self, events: Sequence[RecordedEvent], after: int) -> None:
        with self._writing() as session:
            if _checkpoint(session)[0] == after:
                self._apply(session, events)

    def _apply(self, session: Session, events: Sequence[RecordedEvent]) -> None:
        """Bring tables and checkpoint up to date with these events."""
        taken = with_inherited(events, self._codec, self._log.read)
        while batch := list(islice(taken, tables.EVENTS_AT_ONCE)):
            patches = (project(self._codec.decode(recorded), recorded) for recorded in batch)
            tables.apply(session, chain.from_iterable(patches))
        session.rows(SET_CHECKPOINT, (events[-1].position, events[-1].hash))

    def rebuild(self, progress: Callable[[int], None] | None = None) -> None:
        """Make tables and folders again from the whole log. Other readers see the old tables until all are done.

        `progress` is told how many events were taken since it was last told.
        """
        with self._folders.turn() if self._folders is not None else contextlib.nullcontext():
            try:
                self._rebuild_tables(progress)
            except DamagedViews:
                with self._using():
                    self._connection.close()
                    self._discard()
                    self._connection = self._connect()
                self._rebuild_tables(progress)
            if self._folders is not None:
                self._folders.rebuild()

    def _rebuild_tables(self, progress: Callable[[int], None] | None) -> None:
        events = self._log.read_all()
        with self._writing() as session:
            tables.clear(session)
            session.rows(FORGET_CHECKPOINT)
            while batch := list(islice(events, tables.EVENTS_AT_ONCE)):
                self._apply(session, batch)
                if progress is not None:
                    progress(len(batch))

    def ask(self, *queries: Statement) -> list[list[Columns]]:
        """The rows of each query, all from one state, in which everything appended so far shows."""
        check_questions(queries)
        with self.at_once() as session:
            return session.ask(queries)

    def ask_at(self, stream: str, *queries: Statement) -> tuple[int, list[list[Columns]]]:
        """See `Views.ask_at`."""
        version = self._log.version(stream)
        return version, self.ask(*queries)

    def ask_if_current(self, query: Statement) -> list[Columns]:
        """The rows of one query if everything appended so far shows in the tables; otherwise none."""
        check_questions((query,))
        arguments = (*query.arguments, self._log.head())
        current = f"({TABLES}) >= ${len(arguments)}"
        with self._using() as session:
            return session.rows(query.text.replace("$current", current), arguments)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[Session]:
        """A session whose queries all see one and the same state, in which everything appended so far shows."""
        wanted = self._log.head()
        self._take_told()
        while True:
            with self._reading() as session:
                if _checkpoint(session)[0] >= wanted:
                    yield session
                    return
            wanted = self._catch_up()  # which is less if what comes next has just been purged

    def keep(self, snapshot: Snapshot) -> None:
        """Keep a snapshot beside the tables, unless the log no longer has the event that it was taken after."""
        while True:
            standing = self._standing()
            if not snapshot.is_after(event_at(self._log, snapshot.run_id, snapshot.version)):
                return
            with self._writing() as session:
                # A purge that the tables have taken by now, and the log did not show yet, would have moved them.
                if _checkpoint(session) == standing:
                    keep(session, snapshot)
                    return

    @contextlib.contextmanager
    def with_events(self) -> Iterator[WithEvents]:
        """The rows, the snapshots, and the events up to where these stand; an error in place of one ends them."""
        with self.at_once() as session:
            position, contents, kept = _checkpoint(session)[0], tables.all_contents(session), list(outlines(session))
        yield contents, kept, self._events(position)

    def _events(self, until: int) -> Iterator[RecordedEvent | LogCorrupt]:
        try:
            yield from self._log.read_all(until=until)
        except LogCorrupt as error:
            yield error

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Session]:
        with self._using() as session, transaction(self._connection, "DEFERRED"):
            yield session

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Session]:
        with self._using() as session, transaction(self._connection):
            yield session

    @contextlib.contextmanager
    def _using(self) -> Iterator[Session]:
        with self._lock:
            if self._closed:
                raise Closed("the store")
            try:
                yield SqliteSession(self._connection)
            except sqlite3.OperationalError as error:
                hint = "The events are safe; try again."
                raise Unavailable(f"the views in {self._database}: {error}", hint) from error
            except sqlite3.DatabaseError as error:
                if type(error) is not sqlite3.DatabaseError:
                    raise
                hint = "The events are safe: run `eventstore rebuild`."
                raise DamagedViews(f"the views in {self._database} are damaged: {error}", hint) from error
            except UnicodeEncodeError as error:
                raise lone_surrogate(error) from None

    def reclaim(self) -> None:
        """Give the space of rows that are gone back. The log does that for its events when they are purged."""
        with self._using():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        """Bring run folders, if they are kept, and the tables before them up to date, and release the database.

        Repeated calls do nothing, but wait for the first. Nor do those in a forked process, where other threads held
        locks that nobody will let go of.
        """
        if self._process != os.getpid():
            return
        with self._closing:
            if self._folders is not None:
                self._folders.close()
            with self._lock:
                self._closed = True
                self._connection.close()


def _checkpoint(session: Session) -> tuple[int, str]:
    position, hash = next(iter(session.rows(CHECKPOINT)), (0, ""))
    return position, hash


def _create_tables(connection: sqlite3.Connection) -> None:
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        connection.execute(f'DROP TABLE "{name}"')
    own = package_files("projections").joinpath("schema/following.sql").read_text()
    for statement in f"{tables.sqlite_schema()}{own}".split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORMAT}")
