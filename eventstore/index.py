"""The file log's index: each stream's head and each event's place. Disposable; the segments are the truth.

It is a SQLite file plus what this process has learnt since it last wrote that file. Only what is durable in the
segments is ever written to it, so an index that knows more than the segments is proof that the log has lost
something: it is the log's witness.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from uuid import UUID

import msgspec

from eventstore.admit import Head
from eventstore.disk import unavailable
from eventstore.errors import EventStoreError, Unavailable
from eventstore.line import CommitLine, EventLine
from eventstore.log import PURGES, Purged
from eventstore.sqlite_session import connect, transaction

FLUSH_AFTER = 2_000
ROWS_AT_ONCE = 50
"""Rows in one statement. A row takes 1.6 µs instead of 2.2, and a thread among others need not wait for the interpreter
after each of them: sixty-four that append get a twelfth more done.
"""
FORMAT = 1

PRAGMAS = """PRAGMA auto_vacuum = FULL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
    PRAGMA secure_delete = ON"""
SCHEMA = """
CREATE TABLE streams (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, hash TEXT NOT NULL);
CREATE TABLE events (
    position INTEGER PRIMARY KEY, stream INTEGER NOT NULL, version INTEGER NOT NULL, id BLOB NOT NULL UNIQUE,
    segment INTEGER NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL);
CREATE UNIQUE INDEX events_by_stream ON events (stream, version);
CREATE TABLE checkpoints (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE unfinished_purges (
    stream TEXT NOT NULL, position INTEGER NOT NULL, segment INTEGER NOT NULL, PRIMARY KEY (stream, position, segment));
CREATE TABLE witness (
    one INTEGER PRIMARY KEY CHECK (one = 1), commit_number INTEGER, next_position INTEGER, segment INTEGER,
    start INTEGER, length INTEGER, checksum TEXT);
"""
WITNESS = "SELECT commit_number, next_position, segment, start, length, checksum FROM witness"
SET_WITNESS = "INSERT OR REPLACE INTO witness VALUES (1, ?, ?, ?, ?, ?, ?)"
HEAD = "SELECT version, hash FROM streams WHERE id = ?"
SET_HEAD = """INSERT INTO streams (id, version, hash) VALUES (?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, hash = excluded.hash"""
EVENT = "(?, (SELECT number FROM streams WHERE id = ?), ?, ?, ?, ?, ?)"
ADD_EVENT = f"INSERT OR IGNORE INTO events VALUES {EVENT}"
ADD_EVENTS = f"INSERT OR IGNORE INTO events VALUES {', '.join([EVENT] * ROWS_AT_ONCE)}"
PLACE_OF_ID = "SELECT segment, start, length FROM events WHERE id = ?"
LARGEST_ID = "SELECT max(id) FROM events"
CHECKPOINT = "SELECT position FROM checkpoints WHERE name = ?"
CHECKPOINTS = "SELECT name, position FROM checkpoints"
SET_CHECKPOINT = "INSERT OR REPLACE INTO checkpoints VALUES (?, ?)"
STREAM_LINES = """SELECT min(version), max(version), segment, start, length FROM events
    WHERE stream = (SELECT number FROM streams WHERE id = ?) AND version > ? AND version <= ?
    GROUP BY segment, start ORDER BY segment, start"""
PLACES = """SELECT position, segment, start, length FROM events
    WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"""
PLACES_IN = """SELECT position, segment, start, length FROM events
    WHERE stream IN (SELECT number FROM streams WHERE id IN (SELECT value FROM json_each(?)))
    AND position > ? AND position <= ? ORDER BY position LIMIT ?"""
PLACES_IN_BACKWARD = PLACES_IN.replace("ORDER BY position", "ORDER BY position DESC")
PLACES_BACKWARD = PLACES.replace("ORDER BY position", "ORDER BY position DESC")
SEGMENTS_OF_STREAM = """SELECT DISTINCT segment FROM events
    WHERE stream = (SELECT number FROM streams WHERE id = ?) AND position < ?"""
FORGET_EVENTS = "DELETE FROM events WHERE stream = (SELECT number FROM streams WHERE id = ?) AND position < ?"
FORGET_STREAM = """DELETE FROM streams WHERE id = ?
    AND NOT EXISTS (SELECT 1 FROM events WHERE events.stream = streams.number)"""
EXPECT_REWRITE = "INSERT OR IGNORE INTO unfinished_purges VALUES (?, ?, ?)"
UNFINISHED = "SELECT stream, position, segment FROM unfinished_purges"
FINISHED = "DELETE FROM unfinished_purges WHERE segment = ?"
MOVE_WITNESS = "UPDATE witness SET start = ?, length = ?, checksum = ? WHERE commit_number = ?"
MOVE_EVENT = "UPDATE events SET start = ?, length = ? WHERE position = ?"


class Place(msgspec.Struct, frozen=True):
    """Where a line is: its segment (the number of the segment's first commit), first byte and length."""

    segment: int
    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


class Witness(msgspec.Struct, frozen=True):
    """The last line known: its commit number, the position after it, its place, and its checksum."""

    commit: int = 0
    next_position: int = 1
    place: Place = Place(1, 0, 0)
    checksum: str = ""


class UnfinishedPurge(msgspec.Struct, frozen=True):
    """A segment that may still hold events of a purged stream, all at positions below `position`."""

    stream: str
    position: int
    segment: int


class Index:
    """What is known of the log up to `last`. Not safe for threads by itself: its log holds a lock around it."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._connection = self._connect()
        self._forget_news()
        try:
            self._load()
        except BaseException:
            self._connection.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        """Open the file; one that is not an index of this format is thrown away: the segments tell it all again."""
        try:
            return self._open()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self._remove()
        return self._open()

    def _open(self) -> sqlite3.Connection:
        connection = connect(self._database)
        try:
            connection.executescript(PRAGMAS)
            with transaction(connection):
                (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                if not tables:
                    for statement in SCHEMA.split(";"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {FORMAT}")
            (format,) = connection.execute("PRAGMA user_version").fetchone()
            if format != FORMAT:
                raise sqlite3.DatabaseError(f"an index of format {format}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _load(self) -> None:
        row = self._connection.execute(WITNESS).fetchone()
        self.last = Witness(row[0], row[1], Place(*row[2:5]), row[5]) if row else Witness()
        self._find_largest_id()

    def _find_largest_id(self) -> None:
        self._largest_id = int.from_bytes(self._connection.execute(LARGEST_ID).fetchone()[0] or b"")

    def _forget_news(self) -> None:
        self._heads: dict[str, Head] = {}
        self._places: dict[int, Place] = {}  # by the ids as numbers, which hash in a fifth of the time
        self._rows: list[tuple[int, str, int, bytes, int, int, int]] = []
        self._checkpoints: dict[str, int] = {}
        self._purges: list[tuple[str, int]] = []

    @property
    def should_flush(self) -> bool:
        """Whether enough has been learnt for a write to pay."""
        return len(self._rows) >= FLUSH_AFTER

    @property
    def must_flush(self) -> bool:
        """Whether a purge has been learnt: what came before it must be forgotten before anything else is learnt."""
        return bool(self._purges)

    def add(self, line: CommitLine, place: Place, checksum: str) -> None:
        """Learn the line that comes next in the log."""
        last: dict[str, EventLine] = {}
        for position, event in enumerate(line.events, line.position):
            if event is None:
                continue
            last[event.stream] = event
            self._places[event.id.int] = place
            row = (position, event.stream, event.version, event.id.bytes, place.segment, place.start, place.length)
            self._rows.append(row)
            if event.stream == PURGES and not isinstance(event.data, msgspec.UnsetType):
                self._purges.append((msgspec.json.decode(event.data, type=Purged).stream, position))
        self._heads |= {stream: Head(event.version, event.hash) for stream, event in last.items()}
        if line.checkpoint is not None:
            self._checkpoints[line.checkpoint.name] = line.checkpoint.position
        self.last = Witness(line.commit, line.next_position, place, checksum)

    def flush(self) -> bool:
        """Write what was learnt to the file. The caller vouches that all of it is durable in the segments.

        False if another process had written as much or more: what it wrote was taken over instead, with its `last`.
        """
        with transaction(self._connection):
            row = self._connection.execute(WITNESS).fetchone()
            behind = row is None or row[0] < self.last.commit
            if behind:
                known = row[1] if row else 1
                self._write([new for new in self._rows if new[0] >= known])
        self._forget_news()
        if behind:
            self._find_largest_id()
        else:
            self._load()
        return behind

    def _write(self, rows: Sequence[tuple[int, str, int, bytes, int, int, int]]) -> None:
        execute, executemany = self._connection.execute, self._connection.executemany
        executemany(SET_HEAD, [(stream, head.version, head.hash) for stream, head in self._heads.items()])
        whole = len(rows) - len(rows) % ROWS_AT_ONCE
        bunches = (rows[at : at + ROWS_AT_ONCE] for at in range(0, whole, ROWS_AT_ONCE))
        executemany(ADD_EVENTS, (list(chain(*bunch)) for bunch in bunches))
        executemany(ADD_EVENT, rows[whole:])
        executemany(SET_CHECKPOINT, self._checkpoints.items())
        for stream, position in self._purges:
            segments = execute(SEGMENTS_OF_STREAM, (stream, position)).fetchall()
            executemany(EXPECT_REWRITE, [(stream, position, segment) for (segment,) in segments])
            execute(FORGET_EVENTS, (stream, position))
            execute(FORGET_STREAM, (stream,))
        last, place = self.last, self.last.place
        witness = (last.commit, last.next_position, place.segment, place.start, place.length, last.checksum)
        execute(SET_WITNESS, witness)

    def head(self, stream: str) -> Head:
        """Where the stream stands; version 0 if there is none."""
        known = self._heads.get(stream)
        if known is None:
            row = self._connection.execute(HEAD, (stream,)).fetchone()
            known = Head(*row) if row else Head()
        return known

    def place_of(self, id: UUID) -> Place | None:
        """The line an event id is in. Fresh UUIDv7 ids are larger than all old ones and cost no query."""
        known = self._places.get(id.int)
        if known is not None or id.int > self._largest_id:
            return known
        row = self._connection.execute(PLACE_OF_ID, (id.bytes,)).fetchone()
        return Place(*row) if row else None

    def checkpoint(self, name: str) -> int | None:
        known = self._checkpoints.get(name)
        if known is None:
            row = self._connection.execute(CHECKPOINT, (name,)).fetchone()
            known = row[0] if row else None
        return known

    def checkpoints(self) -> dict[str, int]:
        """All checkpoints."""
        return dict(self._connection.execute(CHECKPOINTS).fetchall()) | self._checkpoints

    def stream_lines(self, stream: str, after: int, until: int) -> list[tuple[int, int, Place]]:
        """The lines that a stream's events with after < version ≤ until are in, ascending, each with the first and the
        last of their versions in it.
        """
        rows = self._connection.execute(STREAM_LINES, (stream, after, until))
        lines = {(segment, start): (first, last, length) for first, last, segment, start, length in rows}
        for _, id, version, _, segment, start, length in self._rows:
            if id == stream and after < version <= until:
                first, last, _ = lines.get((segment, start), (version, version, length))
                lines[segment, start] = (min(first, version), max(last, version), length)
        return [(first, last, Place(*at, length)) for at, (first, last, length) in lines.items()]

    def places(self, after: int, until: int, backward: bool, limit: int) -> list[tuple[int, Place]]:
        """The next places, by position, of at most `limit` events with after < position ≤ until."""
        query = PLACES_BACKWARD if backward else PLACES
        begin, end = (bisect_right(self._rows, position, key=itemgetter(0)) for position in (after, until))
        rows = self._rows[max(begin, end - limit) : end] if backward else self._rows[begin : min(end, begin + limit)]
        return self._merged(query, (after, until, limit), ((row[0], *row[4:]) for row in rows), backward, limit)

    def places_in(
        self, streams: Collection[str], after: int, until: int, backward: bool, limit: int
    ) -> list[tuple[int, Place]]:
        """The next places, by position, of at most `limit` events of these streams with after < position ≤ until."""
        query, ids = PLACES_IN_BACKWARD if backward else PLACES_IN, msgspec.json.encode(list(streams)).decode()
        news = ((row[0], *row[4:]) for row in self._rows if row[1] in streams and after < row[0] <= until)
        return self._merged(query, (ids, after, until, limit), news, backward, limit)

    def _merged(
        self,
        query: str,
        arguments: tuple[object, ...],
        news: Iterable[tuple[int, int, int, int]],
        backward: bool,
        limit: int,
    ) -> list[tuple[int, Place]]:
        rows = {row[0]: row for row in self._connection.execute(query, arguments)}
        rows |= {row[0]: row for row in news}
        return [(key, Place(*rows[key][1:])) for key in sorted(rows, reverse=backward)[:limit]]

    def unfinished_purges(self) -> list[UnfinishedPurge]:
        """The segments that purged events have still to be taken out of."""
        return [UnfinishedPurge(*row) for row in self._connection.execute(UNFINISHED)]

    def rewritten(self, segment: int, lines: Iterable[tuple[CommitLine, Place, str]]) -> None:
        """A segment has been rewritten without its purged events: its lines have moved."""
        with transaction(self._connection):
            for line, place, checksum in lines:
                for offset in range(len(line.events)):
                    self._connection.execute(MOVE_EVENT, (place.start, place.length, line.position + offset))
                self._connection.execute(MOVE_WITNESS, (place.start, place.length, checksum, line.commit))
            self._connection.execute(FINISHED, (segment,))
        self._load()

    def make_durable(self) -> None:
        """Have a power cut not set the file back. Otherwise SQLite may forget the last transactions then, which costs
        nothing but time, unless segments were rewritten meanwhile: an older index would call that damage.
        """
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def discard(self) -> None:
        """Forget everything: the segments will tell it again."""
        self._connection.close()
        self._remove()
        self._connection = self._open()
        self._forget_news()
        self._load()

    def _remove(self) -> None:
        for ending in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(self._database + ending)
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._database)
            # A file that SQLite makes by itself is not private.
            os.close(os.open(self._database, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def translating(doing: str) -> Iterator[None]:
    """Give foreign errors this project's form."""
    try:
        yield
    except EventStoreError:
        raise
    except OSError as error:
        raise unavailable(error, doing) from error
    except sqlite3.Error as error:
        raise Unavailable(
            f"{doing}: {error}", "The index is disposable: remove _log/index.db and open again."
        ) from error
