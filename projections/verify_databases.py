"""Holds the two databases of a store of files, its index and its views, against its log. Writes nothing.

Both are disposable, but readers look for events where the index says, and it is the witness of what had been durable.
Both are read before the segments are, so a log that somebody is writing to can only be ahead of them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from eventstore.index import FORMAT as INDEX_FORMAT
from eventstore.index import WITNESS
from eventstore.log import RecordedEvent
from eventstore.sqlite_session import SqliteSession, connect
from eventstore.survey import Surveyed
from projections.findings import REBUILD, RESTORE, Finding
from projections.following_folders import CHECKPOINT as FOLDERS
from projections.following_views import CHECKPOINT
from projections.following_views import FORMAT as VIEWS_FORMAT
from projections.rows import BY_TABLE
from projections.snapshot import Outline, outlines
from projections.verify import Audit, sorted_rows

HEADS = "SELECT id, version, hash FROM streams"
CHECKPOINTS = "SELECT name, position FROM checkpoints"
REWRITING = "SELECT DISTINCT segment FROM unfinished_purges"
PLACES = """SELECT segment, start, length, position, streams.id, events.version, events.id
    FROM events LEFT JOIN streams ON number = stream ORDER BY position"""

MADE_AGAIN = "The next opening makes it again."
REMOVE = "Remove it while no process has the store open: the next opening makes it again."


class KeptDatabase:
    """A database of the store, opened so that not even the files which SQLite keeps beside it are written."""

    def __init__(self, root: Path, name: str, code: str, format: int) -> None:
        self._name, self._code, self._path = name, code, root / name
        self._wal = self._path.with_name(f"{self._path.name}-wal")
        self._in_use, self._stamp = self._wal.exists(), self._stamped()
        self._connection: sqlite3.Connection | None = None
        self._problems: list[Finding] = []
        if self._stamp is None:
            self._problems.append(Finding("info", f"{code}-missing", name, "there is none", MADE_AGAIN))
            return
        with self._reading():
            self._connection = self._open()
            (found,) = self._connection.execute("PRAGMA user_version").fetchone()
            if found != format:
                message = f"it has format {found}, not {format}"
                self._problems.append(Finding("info", f"{code}-other-format", name, message, MADE_AGAIN))
                self.close()
                return
            self._connection.execute("BEGIN")
            self._begin(self._connection)

    def _open(self) -> sqlite3.Connection:
        mode = "mode=ro" if self._in_use else "mode=ro&immutable=1"
        uri = f"{self._path.absolute().as_uri()}?{mode}"
        return connect(uri, uri=True)

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Read what has to be known before the log is read."""

    def _stamped(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """A damaged database may hold anything: bytes where text belongs, text where numbers belong."""
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            message = f"it cannot be read: {error}"
            self._problems.append(Finding("warning", f"{self._code}-unreadable", self._name, message, REMOVE))
            self.close()

    @property
    def settled(self) -> bool:
        """Whether nobody has begun to use the database while it was read as one that nobody uses."""
        return self._in_use or (self._stamp == self._stamped() and not self._wal.exists())

    def _findings(self, *more: Finding) -> Iterator[Finding]:
        if self.settled:
            yield from (*self._problems, *more)
        else:
            message = "another process began to use it while it was read"
            yield Finding("info", f"{self._code}-busy", self._name, message, "Verify again.")

    def close(self) -> None:
        """Look no further. Repeated calls do nothing."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class KeptIndex(KeptDatabase):
    """The index, compared with the log line by line up to the last one that it knows."""

    def __init__(self, root: Path) -> None:
        self._commit, self._position, self._agrees = 0, 1, True
        self._moved: dict[str, int] = {}
        super().__init__(root, "_log/index.db", "index", INDEX_FORMAT)

    def _begin(self, connection: sqlite3.Connection) -> None:
        last = connection.execute(WITNESS).fetchone() or (0, 1, None, None, None, None)
        self._commit, self._position, self._last_place = int(last[0]), int(last[1]), last[2:]
        self._heads = {id: (version, hash) for id, version, hash in connection.execute(HEADS)}
        self._checkpoints = dict(connection.execute(CHECKPOINTS))
        # A purge that was interrupted may have moved the lines of these, and what it removes is not in the index.
        self._rewriting = {segment for (segment,) in connection.execute(REWRITING)}
        self._places = (row for row in connection.execute(PLACES) if row[0] not in self._rewriting)

    def take(self, found: Surveyed, events: Sequence[RecordedEvent], heads: Mapping[str, tuple[int, str]]) -> None:
        """Compare a line, and the versions and hashes that all streams have after it, with what the index says."""
        if self._connection is None or found.line.commit > self._commit:
            return
        line, place = found.line, (found.place.segment, found.place.start, found.place.length)
        if line.checkpoint is not None:
            self._moved[line.checkpoint.name] = line.checkpoint.position
        with self._reading():
            if found.place.segment not in self._rewriting:
                here = ((*place, e.position, e.stream, e.version, e.id.bytes) for e in events)
                self._agrees = self._agrees and all(next(self._places, None) == each for each in here)
                if line.commit == self._commit and (*place, found.checksum) != self._last_place:
                    message = f"commit {line.commit}, which was durable, is not what it was"
                    self._problems.append(Finding("error", "log-contradicts-index", self._name, message, RESTORE))
            if line.commit == self._commit:
                kept = (self._heads, self._checkpoints, None)
                self._agrees = self._agrees and kept == (heads, self._moved, next(self._places, None))
                self.close()

    def findings(self, last_commit: int, purges: Iterable[int]) -> Iterator[Finding]:
        """What is wrong with the index or, by its evidence, with the log, which ends with this commit.

        `purges` are the positions where purges are recorded: one since the index was read has moved lines.
        """
        more = []
        if self._commit > last_commit:
            message = f"commits {last_commit + 1} to {self._commit} were durable and are gone"
            more.append(Finding("error", "log-behind-index", self._name, message, RESTORE))
        elif not self._agrees and all(position < self._position for position in purges):
            more.append(Finding("warning", "index-drift", self._name, "it disagrees with the segments", REMOVE))
        return self._findings(*more)


class KeptViews(KeptDatabase):
    """The views as they are kept. `position` is the last one that they have taken, 0 if there are none, and
    `folders` the last one that the run folders have.
    """

    def __init__(self, root: Path) -> None:
        self.position, self.folders, self._hash = 0, 0, ""
        self.snapshots: list[Outline] = []
        super().__init__(root, "_views.db", "view", VIEWS_FORMAT)

    def _begin(self, connection: sqlite3.Connection) -> None:
        position, self._hash = connection.execute(CHECKPOINT).fetchone() or (0, "")
        self.position = int(position)
        (folders,) = connection.execute(FOLDERS).fetchone() or (0,)
        self.folders = min(int(folders), self.position)
        self.snapshots = list(outlines(SqliteSession(connection)))

    def take(self, event: RecordedEvent) -> None:
        """Make sure that the last event the views have taken is still the one at its position."""
        if event.position == self.position and event.hash != self._hash:
            message = f"they are of another log, which had another event at position {self.position}"
            self._problems.append(Finding("warning", "view-foreign", self._name, message, REBUILD))
            self.close()

    @property
    def usable(self) -> bool:
        """Whether there is anything to compare."""
        return self._connection is not None

    def differences(self, audit: Audit) -> Iterator[tuple[str, Finding]]:
        """The rows that are not what the events taken so far say, each with its stream."""
        with self._reading():
            for table in BY_TABLE:
                if self._connection is not None:
                    for key, finding in audit.check_rows(table, sorted_rows(self._connection, table)):
                        yield f"{BY_TABLE[table].STREAMS}{key[0]}", finding
        self.close()

    def findings(self, head: int) -> Iterator[Finding]:
        """What is wrong with the views of a log that ends at this position."""
        more = []
        message = f"they stand at position {self.position}, the log at {head}"
        if self.position > head:
            action = "If the log has lost its end, restore it: the next opening makes the views again without."
            more.append(Finding("warning", "view-ahead", self._name, message, action))
        elif self.position < head and not self._problems:
            more.append(Finding("info", "view-behind", self._name, message, "The next reading catches up."))
        return self._findings(*more)
