"""Checks a store in a SQLite file: what the file says of itself, then the log against itself and the views against it.

SQLite looks after its own pages and indexes; the checksum of each row, the chain of each stream and the count of all
events find what it cannot know.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files as package_files
from itertools import chain
from pathlib import Path

from eventstore.codec import Codec
from eventstore.errors import EventStoreError, LogCorrupt, RowCorrupt, UnsupportedStore
from eventstore.log import PURGES, RecordedEvent
from eventstore.purges import purge_of
from eventstore.schema import migrate, newest_version, version_of
from eventstore.sql_blobs import SqlBlobs
from eventstore.sql_reader import LAST, all_events
from eventstore.sqlite import LAST_POSITION, NEXT_POSITION
from eventstore.sqlite_database import SETTINGS, SqliteDatabase, translated
from eventstore.sqlite_session import SqliteSession, connect, transaction
from projections import tables
from projections.findings import RESTORE, Finding
from projections.inline_views import NEXT_POSITION as POSITION_AFTER
from projections.inline_views import UNPROJECTED
from projections.rows import BY_TABLE
from projections.snapshot import outlines
from projections.verify import Audit, Report, evidence

INTEGRITY = "PRAGMA integrity_check"
OBJECTS = """SELECT type || ' ' || name, sql, tbl_name FROM main.sqlite_master
    WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"""
BEING_PURGED = "SELECT run_id FROM main.purging"

SCHEMAS = {
    "log": package_files("eventstore.schema").joinpath("sqlite"),
    "views": package_files("projections").joinpath("schema/sqlite"),
}
"""The parts of the schema, and where their versions are."""


def verify_sqlite(path: Path, codec: Codec) -> Report:
    """Check everything in the file, as it is at one moment. Changes nothing, and keeps no writer waiting. What an older
    program has made is checked as that made it.

    Raises what opening the file raises.
    """
    with (
        closing(SqliteDatabase(path, durable=True, create=False)) as database,
        closing(Audit(codec)) as audit,
        closing(connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection,
    ):
        # Not the log's own way to read: after SQLite has met damage, it may refuse to end a transaction in order.
        connection.executescript(f"{SETTINGS}; BEGIN")
        check = _Check(SqliteSession(connection), path)
        with database.translating():
            check.versions()
        found = [*check.guarded(check.file()), *check.guarded(check.schema())]
        found += check.guarded(check.snapshots(audit))
        found += check.guarded(check.events(audit))
        drift = list(check.guarded(check.views(audit)))
        broken = audit.broken or any(finding.severity == "error" for finding in found)
        blobs = audit.check_blobs(SqlBlobs(database))
        return audit.report(chain(found, map(evidence, drift) if broken else drift, blobs))


class _Check:
    def __init__(self, session: SqliteSession, path: Path) -> None:
        self._session, self._path = session, path
        self._versions: dict[str, int] = {}

    def versions(self) -> None:
        """See which versions the parts of the schema have. Raises `UnsupportedStore` if a newer program made them."""
        for part, folder in SCHEMAS.items():
            version, newest = version_of(self._session, part), newest_version(folder)
            if version > newest:
                raise UnsupportedStore(part, version, newest)
            self._versions[part] = version

    def guarded(self, findings: Iterator[Finding]) -> Iterator[Finding]:
        """The findings, the last of them that the file cannot be read any further if it is so."""
        try:
            yield from findings
        except (sqlite3.Error, LogCorrupt) as error:
            reason = translated(error, self._path) if isinstance(error, sqlite3.Error) else error
            yield Finding("error", "file-unreadable", self._path.name, str(reason), RESTORE)
        except (ValueError, TypeError, OverflowError) as error:  # a damaged row may hold anything
            yield Finding("error", "file-unreadable", self._path.name, f"a row cannot be read: {error}", RESTORE)

    def file(self) -> Iterator[Finding]:
        """Pages and indexes that are not as SQLite leaves them."""
        for (message,) in self._session.rows(INTEGRITY):
            if message != "ok":
                yield Finding("error", "file-damaged", self._path.name, " ".join(message.split()), RESTORE)

    def schema(self) -> Iterator[Finding]:
        """Tables, indexes and triggers that somebody has changed: the triggers keep the events from being changed.

        Tables that are somebody else's are none of our business.
        """
        with closing(connect(":memory:")) as made:
            with transaction(made):
                for part, folder in SCHEMAS.items():
                    migrate(SqliteSession(made), part, folder, until=self._versions[part])
            ours = list(made.execute(OBJECTS))
        expected, owned = {name: text for name, text, _ in ours}, {table for _, _, table in ours}
        found = {name: text for name, text, table in self._session.rows(OBJECTS) if table in owned}
        action = "Find out who changed it: without it, events can be changed unseen."
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                what = "missing" if name not in found else "not of this store" if name not in expected else "changed"
                yield Finding("warning", "schema-drift", name, f"it is {what}", action)
        for (stream,) in self._session.rows(BEING_PURGED):
            yield Finding("warning", "schema-drift", f"stream {stream!r}", "its events are open to deletion", action)

    def snapshots(self, audit: Audit) -> Iterator[Finding]:
        """Have the events held against the snapshots, if there is a table of them. Finds nothing by itself."""
        if self._versions["views"] == newest_version(SCHEMAS["views"]):
            audit.snapshots.expect(outlines(self._session))
        yield from ()

    def events(self, audit: Audit) -> Iterator[Finding]:
        """Take the log's events, and see that none is missing but those that were purged."""
        ((following,),), ((last,),) = self._session.rows(NEXT_POSITION), self._session.rows(LAST_POSITION)
        if (last or 0) != following - 1:
            message = f"it ends with position {last or 0}, but the last one given out was {following - 1}"
            yield Finding("error", "log-truncated", self._path.name, message, RESTORE)
        found = removed = 0
        for event in self._events():
            found += 1
            if isinstance(event, LogCorrupt):
                audit.take_damage(event)
                continue
            audit.take(event)
            if event.stream == PURGES:
                with contextlib.suppress(EventStoreError):
                    removed += purge_of(event).events
        # A copy of another store holds that store's records of purges, and not what they removed.
        if found + removed < following - 1:
            message = f"{following - 1 - found - removed} events are gone that no purge has removed"
            yield Finding("error", "events-missing", self._path.name, message, RESTORE)

    def _events(self) -> Iterator[RecordedEvent | LogCorrupt]:
        after = 0
        while True:
            try:
                for event in all_events(self._session.rows, str(self._path), after, LAST):
                    after = event.position
                    yield event
            except RowCorrupt as error:
                yield error
                ((following,),) = self._session.rows(POSITION_AFTER, (after,))
                if following is None or following <= after:  # the rows are out of order
                    return
                after = following
            else:
                return

    def views(self, audit: Audit) -> Iterator[Finding]:
        """Rows of the views that are not what the events say."""
        version, newest = self._versions["views"], newest_version(SCHEMAS["views"])
        if version < newest:
            if version:
                message = f"the views have format {version}, not {newest}"
                yield Finding(
                    "info", "view-other-format", self._path.name, message, "The next opening makes them again."
                )
            return
        if self._session.rows(UNPROJECTED):
            message = "events were appended without them"
            yield Finding("info", "view-behind", self._path.name, message, "The next reading catches up.")
            return
        for table in BY_TABLE:
            yield from audit.check_table(table, tables.contents(self._session, table))
        yield from (finding for _, finding in audit.snapshots.differences())
