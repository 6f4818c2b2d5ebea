"""Checks what a log says against itself and against its views, and reports what it finds as data. Changes nothing.

The views are made again from the log on the side, in a database that SQLite moves out of memory as it grows, so a
large store needs no more memory than a small one. It holds the events of runs, too: forks inherit from them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from heapq import merge
from itertools import chain, groupby
from typing import Any

import msgspec

from eventstore.blobs import Blobs
from eventstore.chain import GENESIS, event_hash
from eventstore.codec import Codec
from eventstore.errors import BlobCorrupt, BlobMissing, EventStoreError, LogCorrupt, RowCorrupt, UnsupportedSchema
from eventstore.log import PURGES, Purged, RecordedEvent
from eventstore.references import blob_digests
from eventstore.sqlite_session import SqliteSession, connect
from eventstore.validate import MAX_NUMBER
from projections import tables
from projections.findings import REBUILD, RESTORE, Finding, doubts_log
from projections.fold import Columns
from projections.inheritance import OriginMissing, begins_fork, inherited, stretches
from projections.orphans import orphans
from projections.project import project, removal
from projections.rows import BY_TABLE, Key
from projections.verify_snapshots import SnapshotAudit
from projections.views import Views

ROWS = {
    "workflows": "SELECT * FROM main.workflows ORDER BY id",
    "workflow_versions": "SELECT * FROM main.workflow_versions ORDER BY workflow_id, version",
    "workflow_runs": "SELECT * FROM main.workflow_runs ORDER BY id",
    "run_metadata": "SELECT * FROM main.run_metadata ORDER BY run_id, digest",
    "task_runs": "SELECT * FROM main.task_runs ORDER BY run_id, task_id",
    "attempts": "SELECT * FROM main.attempts ORDER BY run_id, task_id, attempt",
    "node_outputs": "SELECT * FROM main.node_outputs ORDER BY run_id, task_id",
    "blob_references": "SELECT * FROM main.blob_references ORDER BY stream, digest",
    "board_tasks": "SELECT * FROM main.board_tasks ORDER BY id",
    "board_dependencies": "SELECT * FROM main.board_dependencies ORDER BY task_id, depends_on",
}
RUNS = "SELECT count(*) FROM main.workflow_runs"
EVENTS = "CREATE TABLE events (stream TEXT, version INTEGER, event BLOB, PRIMARY KEY (stream, version))"
KEEP = "INSERT OR REPLACE INTO main.events VALUES ($1, $2, $3)"
FORGET = "DELETE FROM main.events WHERE stream = $1"
KEPT = """SELECT event FROM main.events WHERE stream = $1 AND version > $2 AND version <= $3
    ORDER BY version LIMIT 1000"""


class Report(msgspec.Struct, frozen=True):
    """What was looked at, and what was found."""

    events: int
    streams: int
    runs: int
    blobs: int
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing worse than `info` was found."""
        return all(finding.severity == "info" for finding in self.findings)


class Audit:
    """Takes a log's events in order, and knows afterwards what is wrong with them. It keeps those of runs on the side,
    beside the views: whoever is forked later inherits them.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._blobs: dict[str, str] = {}
        self._unlinked: dict[str, list[Finding]] = {}
        self._others: list[Finding] = []
        self._forks: dict[str, tuple[RecordedEvent, OriginMissing]] = {}
        self._damaged = False
        self.heads: dict[str, tuple[int, str]] = {}
        """Each stream's version and last hash."""
        self.purged: dict[str, int] = {}
        """Streams that have been purged, and where that is recorded."""
        self.views = _empty_views()
        """The views that the events make."""
        self.snapshots = SnapshotAudit(codec)
        self.events = 0

    @property
    def broken(self) -> bool:
        """Whether a stream is not as it was written, or missing."""
        return self._damaged or bool(self._unlinked) or bool(self._forks)

    def close(self) -> None:
        """Release the views. Repeated calls do nothing."""
        self.views.connection.close()

    def take_damage(self, error: LogCorrupt) -> None:
        """Report an event that cannot be read."""
        where = (
            error.row
            if isinstance(error, RowCorrupt)
            else f"{error.file}, bytes {error.offset}–{error.offset + error.length}"
        )
        self._others.append(Finding("error", "log-corrupt", where, error.reason, RESTORE))
        self._damaged = True

    def take(self, event: RecordedEvent) -> None:
        """Check one event, and fold it into the views."""
        self.events += 1
        self._check_chain(event)
        self.snapshots.take(event, self._inherited(event))
        if not event.stream.startswith("$"):
            self.views.rows(KEEP, (event.stream, event.version, msgspec.msgpack.encode(event)))
        try:
            decoded = self._codec.decode(event)
        except EventStoreError as error:
            if isinstance(error, UnsupportedSchema):
                finding = Finding("warning", "newer-schema", _where(event), str(error), error.hint)
            else:
                finding = Finding("error", "undecodable", _where(event), str(error), RESTORE)
            self._others.append(finding)
            return
        if isinstance(decoded, Purged) and event.stream == PURGES:
            self._take_purge(decoded, event)
        for digest in blob_digests(decoded):
            self._blobs.setdefault(digest, _where(event))
        if begins_fork(event):
            try:
                self._inherit(event)
            except OriginMissing as error:
                self._forks[event.stream] = (event, error)
        tables.apply(self.views, project(decoded, event))

    def _inherited(self, event: RecordedEvent) -> Iterator[RecordedEvent]:
        return inherited(event, self._codec, self._kept) if begins_fork(event) else iter(())

    def _inherit(self, first: RecordedEvent) -> None:
        for event in self._inherited(first):
            with contextlib.suppress(EventStoreError):  # it was reported where it stands
                tables.apply(self.views, project(self._codec.decode(event), event))

    def _settle_forks(self) -> None:
        """Make the rows of those forks again whose origins stand behind them: these were brought back."""
        for run_id, (first, _) in list(self._forks.items()):
            with contextlib.suppress(OriginMissing):
                stretches(first, self._codec, self._kept)
                del self._forks[run_id]
                tables.apply(self.views, removal(run_id))
                self._inherit(first)
                for event in self._kept(run_id):
                    with contextlib.suppress(EventStoreError):
                        tables.apply(self.views, project(self._codec.decode(event), event))

    def _kept(self, stream: str, *, after: int = 0, until: int | None = None) -> Iterator[RecordedEvent]:
        last = MAX_NUMBER if until is None else until
        while rows := self.views.rows(KEPT, (stream, after, last)):
            for (data,) in rows:
                event = msgspec.msgpack.decode(data, type=RecordedEvent)
                after = event.version
                yield event

    def _check_chain(self, event: RecordedEvent) -> None:
        version, hash = self.heads.get(event.stream, (0, GENESIS))
        finding = None
        if event.version != version + 1:
            message = f"version {event.version} follows version {version}"
            finding = Finding("error", "version-gap", _where(event), message, RESTORE)
        elif event_hash(hash, event.stream, event.version, event) != event.hash:
            message = "the event, or the one before it, was changed after it was written"
            finding = Finding("error", "hash-mismatch", _where(event), message, RESTORE)
        if finding is not None:
            self._unlinked.setdefault(event.stream, []).append(finding)
        self.heads[event.stream] = (event.version, event.hash)

    def _take_purge(self, purged: Purged, event: RecordedEvent) -> None:
        """A purge explains what is missing of its stream; if it was interrupted, there are still parts of it."""
        self.purged[purged.stream] = event.position
        self._unlinked.pop(purged.stream, None)
        self._forks.pop(purged.stream, None)
        self.views.rows(FORGET, (purged.stream,))
        if self.heads.pop(purged.stream, None):
            message = f"events of stream {purged.stream!r} are still in the segments"
            action = "The next opening takes them out."
            self._others.append(Finding("info", "purge-unfinished", _where(event), message, action))

    def check_blobs(self, blobs: Blobs, progress: Callable[[int], None] = lambda _: None) -> Iterator[Finding]:
        """Blobs that events refer to and that are gone or changed, and blobs nothing refers to."""
        for digest, where in self._blobs.items():
            try:
                progress(len(blobs.get(digest)))
            except EventStoreError as error:
                codes = {BlobMissing: "blob-missing", BlobCorrupt: "blob-corrupt"}
                message = f"{error}; needed by {where}"
                code = codes.get(type(error), "blob-unreadable")
                yield Finding("error", code, f"blob {digest!r}", message, error.hint or RESTORE)
        try:
            unknown = [digest for digest in blobs.digests() if digest not in self._blobs]
        except EventStoreError as error:
            yield Finding("error", "blob-unreadable", "blobs", str(error), error.hint or RESTORE)
            return
        for digest in unknown:
            message = "nothing refers to it; a writer was stopped between value and event, or a run was purged"
            yield Finding("info", "blob-unreferenced", f"blob {digest!r}", message, "It does no harm.")

    def check_table(self, table: str, contents: Mapping[Key, Columns]) -> Iterator[Finding]:
        """Rows of a table, whose contents are these, that are not what the events say."""
        return (finding for _, finding in self.check_rows(table, sorted(contents.items())))

    def check_rows(self, table: str, rows: Iterable[tuple[Key, Columns]]) -> Iterator[tuple[Key, Finding]]:
        """Like `check_table`, with the rows in the order of their keys, and the key with each finding."""
        self._settle_forks()
        expected = ((key, True, columns) for key, columns in sorted_rows(self.views.connection, table))
        found = ((key, False, columns) for key, columns in rows)
        for key, sides in groupby(merge(expected, found, key=_key_of), key=_key_of):
            columns = {is_expected: columns for _, is_expected, columns in sides}
            if columns.get(True) != columns.get(False):
                what = _difference(columns.get(True), columns.get(False))
                yield key, Finding("warning", "view-drift", f"{table} {key!r}", f"the row {what}", REBUILD)

    def report(self, more: Iterator[Finding]) -> Report:
        """All findings, those of further checks included, the worst first. The audit is over then."""
        findings = list(more)
        self._settle_forks()
        for first, error in self._forks.values():
            findings.append(Finding("error", error.code, _where(first), str(error), error.hint))
        for unlinked in self._unlinked.values():
            findings += unlinked
        findings += self._others
        doubtful = any(map(doubts_log, findings))
        findings += map(evidence, orphans(self.views)) if doubtful else orphans(self.views)
        findings.sort(key=lambda finding: ("error", "warning", "info").index(finding.severity))
        ((runs,),) = self.views.rows(RUNS)
        self.close()
        return Report(self.events, len(self.heads), runs, len(self._blobs), tuple(findings))


def verify_open(views: Views, codec: Codec, blobs: Blobs, progress: Callable[[int], None] = lambda _: None) -> Report:
    """Check the events of an open store against themselves, and its views and blobs against the events.

    `progress` is told of numbers of events.
    """
    with closing(Audit(codec)) as audit:
        with views.with_events() as (kept, snapshots, events):
            audit.snapshots.expect(snapshots)
            for event in events:
                if isinstance(event, LogCorrupt):
                    audit.take_damage(event)
                else:
                    audit.take(event)
                progress(1)
        rows = (finding for table, rows in kept.items() for finding in audit.check_table(table, rows))
        drift = chain(rows, (finding for _, finding in audit.snapshots.differences()))
        return audit.report(chain(map(evidence, drift) if audit.broken else drift, audit.check_blobs(blobs)))


def evidence(finding: Finding) -> Finding:
    """What not to mend yet, when the log is damaged: it may hold what the log has lost, or be all that is left."""
    if finding.severity == "warning":
        return msgspec.structs.replace(finding, action="Restore the log first: this may hold what it has lost.")
    if finding.stream:
        return msgspec.structs.replace(finding, action="Restore the log first: this may be the rest of something.")
    return finding


def sorted_rows(connection: sqlite3.Connection, table: str) -> Iterator[tuple[Key, Columns]]:
    """A table's rows in the order of their keys, each as its key and its other columns, and never all at once."""
    width = len(BY_TABLE[table].KEY)
    cursor = connection.execute(ROWS[table])
    names = [column[0] for column in cursor.description[width:]]
    return ((row[:width], dict(zip(names, row[width:], strict=True))) for row in cursor)


def _empty_views() -> SqliteSession:
    connection = connect("")  # a file without a name, once it outgrows the cache
    connection.execute("PRAGMA journal_mode = OFF")
    connection.executescript(f"{tables.sqlite_schema()}; {EVENTS}")
    connection.execute("BEGIN")
    return SqliteSession(connection)


def _key_of(row: tuple[Key, bool, Columns]) -> Any:
    return row[0]


def _difference(expected: Columns | None, found: Columns | None) -> str:
    if found is None:
        return "is missing"
    if expected is None:
        return "should not be there"
    return f"differs in {', '.join(name for name, value in expected.items() if found.get(name) != value)}"


def _where(event: RecordedEvent) -> str:
    return f"position {event.position}, version {event.version} of stream {event.stream!r}"
