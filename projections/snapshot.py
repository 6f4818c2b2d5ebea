"""Snapshots: what a run's events had come to at one of them, kept beside the views, so that reading the past need not
begin with the first event.

A snapshot is never believed for its own sake. It is used if the log has, at its version, the event that it was taken
after, and if the rows are still made as they were then. Whatever else is the matter with it, the events decide, and
deleting any of them costs nothing but time.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Self, get_args

import msgspec

from eventstore.board_events import BoardEvent
from eventstore.chain import timestamp
from eventstore.codec import Codec
from eventstore.events import ResultRejected, RunEvent, WorkflowEvent
from eventstore.log import Log, RecordedEvent
from eventstore.session import Batch, Session, Statement
from eventstore.validate import MAX_NUMBER
from projections.fold import Fold
from projections.rows import BY_TABLE, ROWS, defaults

EVERY = 10_000
"""How many events a fold has to go over to be worth keeping: those take 0.1 to 0.4 s, and going over fewer is not
worth a write.
"""
KEPT = 8
"""How many snapshots of a run are kept."""
PROJECTION = 1
"""To be raised whenever `project` makes other rows of the same events, unless the rows get other columns too."""

NEAREST = """SELECT version, position, latest, hash, data FROM main.snapshots
    WHERE run_id = $1 AND version > $7 AND version <= $2 AND position <= $3
    AND (CAST($4 AS TEXT) IS NULL OR latest <= $4) AND format = $5 ORDER BY version DESC LIMIT 1 OFFSET $6"""
ALL = "SELECT run_id, version FROM main.snapshots WHERE format = $1 ORDER BY run_id, version"
ONE = "SELECT version, position, latest, hash, data FROM main.snapshots WHERE run_id = $1 AND version = $2"
FORGET_OTHER_FORMATS = "DELETE FROM main.snapshots WHERE run_id = $1 AND format <> $2"
KEEP = """INSERT INTO main.snapshots (run_id, version, position, latest, hash, format, data)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (run_id, version) DO UPDATE SET position = excluded.position, latest = excluded.latest,
    hash = excluded.hash, format = excluded.format, data = excluded.data"""
VERSIONS = "SELECT version FROM main.snapshots WHERE run_id = $1 ORDER BY version"
FORGET = "DELETE FROM main.snapshots WHERE run_id = $1 AND version = $2"

UNREADABLE = (msgspec.DecodeError, zlib.error, ValueError, TypeError, OverflowError)
"""What is raised for a damaged snapshot, and for rows that cannot be kept as one."""

_ROWS_PER_EVENT = 2
_MOST_BYTES = 256 * 1024 * 1024  # not every database takes more than four times that in one piece
_QUICK = 1  # of zlib's levels: the others take several times as long for little

_DECODER = msgspec.msgpack.Decoder(dict[str, list[list[Any]]])


class Snapshot(msgspec.Struct, frozen=True):
    """A run's views after the event of this version, position and hash. No event up to there was recorded after
    `latest`. `data` are the rows.
    """

    run_id: str
    version: int
    position: int
    latest: str
    hash: str
    data: bytes

    def is_after(self, event: RecordedEvent | None) -> bool:
        """Whether this is the event that it was taken after."""
        return event is not None and (event.position, event.hash) == (self.position, self.hash)


class Outline(msgspec.Struct, frozen=True):
    """What a snapshot says, with a digest in place of the rows. Of one that cannot be read, nothing is true."""

    run_id: str
    version: int
    position: int = 0
    latest: str = ""
    hash: str = ""
    digest: str = ""


class Replay:
    """The views of one run, event by event: what they come to, and where that is."""

    def __init__(self) -> None:
        self.fold, self.version = Fold(), 0
        self.last: RecordedEvent | None = None
        self.latest: datetime | None = None
        self.taken = 0
        """How many events were taken since the nearest snapshot."""

    @classmethod
    def of(cls, snapshot: Snapshot, last: RecordedEvent) -> Self:
        """Go on from a snapshot, and the event it was taken after. Raises one of `UNREADABLE`."""
        replay = cls()
        replay.fold, replay.version, replay.last = restored(snapshot.data), last.version, last
        replay.latest = datetime.fromisoformat(snapshot.latest).astimezone(UTC)
        return replay

    def take(self, events: Iterable[RecordedEvent], codec: Codec) -> None:
        """Take the events that come next."""
        for recorded in events:
            self.fold.take(recorded, codec)
            self.last = recorded
            if self.latest is None or recorded.recorded_at > self.latest:
                self.latest = recorded.recorded_at
            self.taken += 1
        if self.last is not None:
            self.version = self.last.version

    def copy(self) -> Self:
        """Another one that is the same and can go on by itself."""
        other = type(self)()
        other.fold, other.version, other.taken = self.fold.copy(), self.version, self.taken
        other.last, other.latest = self.last, self.latest
        return other

    def snapshot(self) -> Snapshot:
        """What it has come to. Raises one of `UNREADABLE`."""
        if self.last is None or self.latest is None:
            raise ValueError("there is nothing yet")
        at = self.last
        return Snapshot(at.stream, at.version, at.position, timestamp(self.latest), at.hash, packed(self.fold))


def event_at(log: Log, stream: str, version: int) -> RecordedEvent | None:
    """The event that a stream has at a version, or None."""
    return next(log.read(stream, after=version - 1, until=version), None)


def worth_keeping(events: int, rows: int, every: int) -> bool:
    """Whether to keep so many rows of so many events, taken since the nearest snapshot before.

    To write a row and to read it again takes about as long as to go over an event; so what keeping costs is in
    proportion to what was just paid, and what is kept of a run to its events.
    """
    return events > every and rows <= _ROWS_PER_EVENT * events


def superfluous(versions: Sequence[int]) -> list[int]:
    """Which snapshots to give up, of those at these versions, ascending: one by one, until few enough are left.

    That is the one without which the gap between its neighbours is the smallest, compared with how far it is from the
    last: so the gaps grow with the distance from the end, near which questions are most likely to be about.
    """
    left, given_up = list(versions), []
    while len(left) > KEPT:
        before = [0, *left]
        place = min(range(len(left) - 1), key=lambda i: (left[i + 1] - before[i]) / (left[-1] - before[i]))
        given_up.append(left.pop(place))
    return given_up


def nearest(
    run_id: str, version: int | None, position: int | None, time: datetime | None, *, after: int, skip: int
) -> Statement:
    """Asks for the last snapshot after a version that is beyond none of these, or for the one so many before it."""
    limits = (MAX_NUMBER if limit is None else limit for limit in (version, position))
    latest = None if time is None else timestamp(time)
    return Statement(NEAREST, (run_id, *limits, latest, format_digest(), skip, after))


def found(run_id: str, row: Sequence[Any]) -> Snapshot:
    """The snapshot in such a row. Raises one of `UNREADABLE`."""
    return msgspec.convert(dict(zip(Snapshot.__struct_fields__, (run_id, *row), strict=True)), Snapshot)


def outlines(session: Session) -> Iterator[Outline]:
    """All snapshots that could be used, in short, one at a time."""
    for run_id, version in session.rows(ALL, (format_digest(),)):
        try:
            (row,) = session.rows(ONE, (run_id, version))
            yield outline(found(run_id, row))
        except UNREADABLE:
            yield Outline(run_id, version)


def outline(snapshot: Snapshot) -> Outline:
    """A snapshot in short. Raises one of `UNREADABLE`."""
    digest = sha256(unpacked(snapshot.data)).hexdigest()
    return Outline(snapshot.run_id, snapshot.version, snapshot.position, snapshot.latest, snapshot.hash, digest)


def keep(session: Session, snapshot: Snapshot) -> None:
    """Keep a snapshot, in the caller's transaction, and give up what is superfluous then."""
    format = format_digest()
    session.rows(FORGET_OTHER_FORMATS, (snapshot.run_id, format))
    *place, data = msgspec.structs.astuple(snapshot)
    session.rows(KEEP, (*place, format, data))
    versions = [version for (version,) in session.rows(VERSIONS, (snapshot.run_id,))]
    session.run([Batch(FORGET, [(snapshot.run_id, version) for version in superfluous(versions)])])


def encoded(fold: Fold) -> bytes:
    """The rows, in their order. Raises one of `UNREADABLE` for what no database can hold."""
    tables = ((table, rows) for table, rows in fold.tables.items() if rows)
    return msgspec.msgpack.encode(
        {table: [[*k, *columns.values()] for k, columns in rows.items()] for table, rows in tables}
    )


def packed(fold: Fold) -> bytes:
    """The rows as a snapshot holds them. Raises one of `UNREADABLE` for what no database can hold."""
    data = zlib.compress(encoded(fold), _QUICK)
    if len(data) > _MOST_BYTES:
        raise OverflowError(f"{len(data):,} bytes are too many to keep")
    return data


def unpacked(data: bytes) -> bytes:
    """What `encoded` gave. Raises one of `UNREADABLE`."""
    return zlib.decompress(data)


def restored(data: bytes) -> Fold:
    """The rows again. Raises one of `UNREADABLE`."""
    fold = Fold()
    for table, rows in _DECODER.decode(unpacked(data)).items():
        kind = BY_TABLE.get(table)
        if kind is None:
            raise ValueError(f"there is no table {table!r}")
        width, names = len(kind.KEY), tuple(defaults(table))
        fold.tables[table] = {tuple(row[:width]): dict(zip(names, row[width:], strict=True)) for row in rows}
    return fold


@functools.cache
def format_digest() -> str:
    """What rows and events there are, and how the one are made of the other: nothing else can be read as a snapshot.

    An event type that only a user knows makes no rows, so it does not matter who has registered it.
    """
    rows = [(kind.TABLE, kind.KEY, kind.__struct_fields__, defaults(kind.TABLE)) for kind in ROWS]
    known = get_args(RunEvent | WorkflowEvent | BoardEvent | ResultRejected)
    events = [(kind.__name__, kind.__struct_fields__) for kind in known]
    return sha256(msgspec.json.encode((PROJECTION, rows, events))).hexdigest()
