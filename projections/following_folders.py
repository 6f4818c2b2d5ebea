"""Run folders that follow the tables, a tenth of a second behind the log.

Nobody reads them back, so no append waits for them: a thread brings the tables up to date, and then writes what has
come since it wrote last, each file once. They have a checkpoint of their own, which moves when they are written; a
crash in between leaves files that are ahead of it, which the next pass notices by the size of `events.jsonl`. One
process at a time writes, under a file lock.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice

from eventstore.codec import Codec
from eventstore.disk import APPEND, Disk, unavailable
from eventstore.errors import Closed, EventStoreError
from eventstore.log import PURGES, Log, RecordedEvent
from eventstore.session import Batch, Session
from projections.project import project
from projections.rows import Patch
from projections.run_files import RunFiles, Sizes, purged_runs

LOCK = "_folders.lock"
DELAY_SECONDS = 0.1
"""How long after a commit its run's folder is written. What comes meanwhile is written with it, and put into the
tables in one transaction.
"""

PAUSE_SECONDS = 0.0002
"""How long the thread lets go of the interpreter after each file. Without, an append that comes back from its sync
waits until Python takes the interpreter away from the thread, which is up to 5 ms: 3.4 ms at p99 in place of 1.3 ms.
"""

CHECKPOINT = "SELECT position FROM main.checkpoints WHERE name = 'folders'"
TABLES = "SELECT position FROM main.checkpoints WHERE name = 'views'"
SET_CHECKPOINT = """INSERT INTO main.checkpoints VALUES ('folders', $1, '')
    ON CONFLICT (name) DO UPDATE SET position = excluded.position"""
SET_SIZE = "INSERT INTO main.run_files VALUES ($1, $2) ON CONFLICT (run_id) DO UPDATE SET size = excluded.size"
FORGET_SIZE = "DELETE FROM main.run_files WHERE run_id = $1"
_EVENTS_AT_ONCE = 2_000

_logger = logging.getLogger("eventstore")

Transaction = Callable[[], AbstractContextManager[Session]]


class FollowingFolders:
    """Keeps the run folders. `follow_log` brings the tables up to date; `reading` and `writing` begin transactions of
    theirs, of which none lasts while files are written.
    """

    def __init__(
        self,
        disk: Disk,
        log: Log,
        codec: Codec,
        follow_log: Callable[[], object],
        reading: Transaction,
        writing: Transaction,
    ) -> None:
        self._disk, self._log, self._codec, self._follow_log = disk, log, codec, follow_log
        self._reading, self._writing = reading, writing
        self._files = RunFiles(disk, log, reading, self._pause)
        self._turn, self._starting = threading.Lock(), threading.Lock()
        try:
            self._lock = disk.open(LOCK, APPEND)
        except OSError as error:
            raise unavailable(error, f"cannot keep run folders in {disk.root}") from error
        self._due, self._stop = threading.Event(), threading.Event()
        self._writer: threading.Thread | None = None

    def soon(self) -> None:
        """Have tables and folders brought up to date by and by: the log has grown."""
        if self._due.is_set():
            return
        with self._starting:
            self._due.set()
            if self._writer is None:
                self._writer = threading.Thread(target=self._keep_writing, name="eventstore-folders", daemon=True)
                self._writer.start()

    def catch_up(self) -> None:
        """Bring the tables to where the log is, and the folders to where these are, however far that is. What cannot
        be written is logged, and left for later.
        """
        try:
            self._follow_log()
        finally:
            with self.turn():
                self._catch_up()

    def rebuild(self) -> None:
        """Write all folders anew from tables that were made again, in a turn of the caller's. Raises `Unavailable` if
        some cannot be written.
        """
        error = self._catch_up()
        if error is not None:
            raise unavailable(error, "cannot write the run folders") from error

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the folders against all others who write them."""
        with self._turn:
            self._disk.lock(self._lock)
            try:
                yield
            finally:
                self._disk.unlock(self._lock)

    def _catch_up(self) -> OSError | None:
        failed: OSError | None = None
        while True:
            with self._reading() as session:
                (position,) = next(iter(session.rows(TABLES)), (0,))
                (reached,) = next(iter(session.rows(CHECKPOINT)), (None,))
            if reached == position:
                return failed
            if reached is None:
                purged = purged_runs(self._patches(self._log.read(PURGES)))
                sizes, error = self._files.rebuild(position, purged)
            else:
                sizes, error, position = self._follow(reached, position)
            failed = failed or error
            sets = Batch(SET_SIZE, [(run_id, size) for run_id, size in sizes.items() if size is not None])
            forgets = Batch(FORGET_SIZE, [(run_id,) for run_id, size in sizes.items() if size is None])
            with self._writing() as session:
                session.run([sets, forgets, Batch(SET_CHECKPOINT, [(position,)])])

    def _follow(self, after: int, until: int) -> tuple[Sizes, OSError | None, int]:
        """Take the next events, and say where they end."""
        events = list(islice(self._log.read_all(after=after, until=until), _EVENTS_AT_ONCE))
        sizes, error = self._files.follow(events, list(self._patches(events)))
        return sizes, error, events[-1].position if len(events) == _EVENTS_AT_ONCE else until

    def _patches(self, events: Iterable[RecordedEvent]) -> Iterator[Patch]:
        return (patch for event in events for patch in project(self._codec.decode(event), event))

    def _pause(self) -> None:
        """Let those who append go first, if this is the thread, unless the store is being closed."""
        if threading.current_thread() is self._writer and not self._stop.is_set():
            time.sleep(PAUSE_SECONDS)

    def _keep_writing(self) -> None:
        while not self._stop.is_set():  # what is due may have been cleared just after the end was said
            self._due.wait()
            if self._stop.wait(DELAY_SECONDS):
                return
            self._due.clear()
            try:
                self.catch_up()
            except Closed:
                return
            except Exception:
                _logger.warning("the events are safe, but the views could not follow", exc_info=True)

    def close(self) -> None:
        """Bring tables and folders up to date, if the log and these can still be read. Repeated calls do nothing."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._due.set()
        if self._writer is not None:
            self._writer.join()
        try:
            self.catch_up()
        except (EventStoreError, OSError, sqlite3.Error) as error:
            _logger.warning("the views follow when the store is opened next: %s", error)
        self._disk.close(self._lock)
