"""The file log: one line is one commit, in segment files under `_log`. See docs/FORMAT.md for every byte.

All processes that use a store write one after the other, under a file lock held only for the write. The threads of one
process share their writes and syncs. Readers take no lock unless another process has written since they last looked.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from uuid import UUID

import msgspec

from eventstore.admit import check_expected
from eventstore.background_sync import BackgroundSync
from eventstore.changes import seen_in_time
from eventstore.disk import Disk
from eventstore.errors import Closed, EventStoreError, InvalidInput, LogCorrupt, Unavailable
from eventstore.file_hold import file_holder, hold_file
from eventstore.group import GroupCommit, Ticket
from eventstore.hold import Hold
from eventstore.hooks import tell
from eventstore.index import translating
from eventstore.line import CommitLine
from eventstore.log import (
    ANY,
    PURGES,
    Append,
    Appended,
    Checkpoint,
    Durability,
    Expect,
    Hook,
    Purged,
    RecordedEvent,
    now,
)
from eventstore.pending import Pending
from eventstore.purges import purge_event
from eventstore.reader import EventReader, Page
from eventstore.segments import FOLDER, LineReader, Repair, logger
from eventstore.tail import Tail, Written
from eventstore.validate import check_bounds, check_name, validate, validate_purge, validate_recorded

HOLDS = "_holds"
SEGMENT_BYTES = 64 * 1024 * 1024
_CLOSED = "closed"


class _Request(msgspec.Struct, frozen=True):
    commit: Sequence[Append]
    checkpoint: Checkpoint | None


class JsonlLog:
    """A log in a folder, for any number of threads and processes of one machine.

    `durability` says what a crash of the *machine* can cost; a crash of the process costs nothing acknowledged at any
    level. `"full"`: nothing. `"batched"`: the last twentieth of a second. `"none"`: everything since the segment was
    begun or the index last written. At every level what is left after a crash is a prefix of what was appended.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        durability: Durability = "full",
        hook: Hook | None = None,
        clock: Callable[[], datetime] = now,
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk | None = None,
    ) -> None:
        """Open the store, or create it. An unfinished write of a crashed process is cut off, with a copy kept.

        Raises `LogCorrupt` if anything acknowledged is damaged or gone, `Unavailable` if the system refuses.
        """
        if durability not in ("full", "batched", "none"):
            raise InvalidInput(f"unknown durability {durability!r}", "Use 'full', 'batched' or 'none'.")
        self.durability, self.hook, self._clock, self._segment_bytes = durability, hook, clock, segment_bytes
        with translating(f"cannot open the log in {root}"):
            self._disk = disk or Disk(Path(root))
            try:
                self._tail = Tail(self._disk)
            except BaseException:
                self._disk.release()
                raise
        self.root = self._disk.root
        self._index = self._tail.index
        self._group: GroupCommit[_Request, Appended] = GroupCommit(self._serve)
        # Guards the index and the tail's numbers. Held briefly, never while writing or syncing.
        self._mutex = threading.RLock()
        # Held by the one thread that is at the end of the log, but not while it tells the hook: that may read.
        self._end = threading.RLock()
        self._reader = EventReader(self._disk, self._index, self._mutex, self._check_open)
        self._in_flight = False
        self._closed = ""
        self._background = BackgroundSync(self._sync_if_behind)
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"<JsonlLog {self.root} durability={self.durability} head={self._index.last.next_position - 1}>"

    @property
    def repairs(self) -> Sequence[Repair]:
        """The unfinished writes this object has cut off."""
        return tuple(self._tail.repairs)

    def append(self, commit: Sequence[Append], *, checkpoint: Checkpoint | None = None) -> Appended:
        validate(commit, checkpoint)
        self._check_open()
        return self._group.submit(_Request(commit, checkpoint))

    def _serve(self, batch: list[Ticket[_Request, Appended]]) -> None:
        """Admit, write, sync and publish the commits of all waiting threads, as one write."""
        with self._at_the_end():
            with self._mutex:
                self._roll_if_full()
                lines = self._admit(batch)
            self._write(lines, repeated=any(ticket.result and ticket.result.repeated for ticket in batch))
        self._tell_hook(batch)

    def _roll_if_full(self) -> None:
        if self._tail.end >= self._segment_bytes:
            self._tail.roll()

    def _write(self, lines: Sequence[CommitLine], *, repeated: bool) -> None:
        """Write, sync and publish these lines. `repeated` says that somebody relies on lines that are there already."""
        with self._mutex:
            self._in_flight = True
        written: Sequence[Written] = ()
        try:
            if lines:
                written = self._tail.write(lines, durable=self.durability == "full")
            elif repeated and self.durability == "full" and self._tail.behind:
                self._tail.sync()  # whoever wrote it first may have been killed before its own sync
        finally:
            with self._mutex:
                self._in_flight = False
                self._publish(written)
        if self.durability == "batched" and written:
            self._background.soon()

    @contextlib.contextmanager
    def _at_the_end(self) -> Iterator[None]:
        """Hold the store's lock, with all that other processes have written learnt."""
        with self._end, translating(f"cannot use the log in {self.root}"):
            self._check_open()
            with self._tail.locked():
                with self._mutex:
                    self._tail.catch_up()
                yield

    def _publish(self, written: Sequence[Written]) -> None:
        for each in written:
            self._tail.publish(each)
        if written and self._index.should_flush:
            try:
                self._tail.flush()
            except sqlite3.Error as error:
                logger.warning("the index could not be written (%s); opening this store will take longer", error)

    def _tell_hook(self, batch: Sequence[Ticket[_Request, Appended]]) -> None:
        tell(self.hook, [e for t in batch if t.result and not t.result.repeated for e in t.result.events])

    def _admit(self, batch: list[Ticket[_Request, Appended]]) -> list[CommitLine]:
        """Decide every request on the log as it will be after the ones before it, and return the lines to write."""
        pending = self._pending()
        for ticket in batch:
            request, recorded_at = ticket.request, self._clock()
            try:
                ticket.result = pending.admit(request.commit, request.checkpoint, recorded_at)
            except EventStoreError as error:
                ticket.error = error
        return pending.lines

    def _pending(self) -> Pending:
        return Pending(self._index, self._commit_of, self._tail.synced_commit)

    def _commit_of(self, id: UUID) -> Sequence[RecordedEvent] | None:
        place = self._index.place_of(id)
        if place is None:
            return None
        with LineReader(self._disk) as reader:
            return reader.events_at(place)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Give foreign errors this project's form. In a log that was closed meanwhile, that is what they come from."""
        self._check_open()
        try:
            yield
        except (OSError, sqlite3.Error, Unavailable):
            self._check_open()
            with translating(f"cannot read the log in {self.root}"):
                raise

    @contextlib.contextmanager
    def _up_to_date(self) -> Iterator[None]:
        """Hold the mutex, with all learnt that others have written: who reads after their append returned finds it."""
        with self._reading():
            with self._mutex:
                # In flight, the lock is ours and nobody else can have written since we caught up.
                grown = not self._in_flight and self._tail.grown()
            if grown:
                with self._at_the_end():
                    pass
            with self._mutex:
                yield

    def read(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        backward: bool = False,
        limit: int | None = None,
    ) -> Iterator[RecordedEvent]:
        check_name(stream)
        check_bounds(after, until, limit, backward=backward)
        with self._up_to_date():
            end, head = self._index.head(stream).version, self._index.last.next_position - 1

        version = attrgetter("version")

        def pages(after: int, until: int) -> Iterator[Page]:
            return self._reader.of_stream(stream, after, until, backward)

        last = end if until is None else min(until, end)
        found = self._past_purges(pages, version, max(after, 0), last, backward)
        # A stream that was purged and made anew since has the same versions at later positions, in commits of its own.
        return islice(chain.from_iterable(page for page in found if page[0].position <= head), limit)

    def read_all(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        backward: bool = False,
        types: Collection[str] | None = None,
        streams: Collection[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[RecordedEvent]:
        check_bounds(after, until, limit, types, streams, backward=backward)
        head, position = self.head(), attrgetter("position")

        def pages(after: int, until: int) -> Iterator[Page]:
            if streams is None and not backward:
                return self._reader.in_sequence(after, until)
            places = self._index.places if streams is None else partial(self._index.places_in, streams)
            return self._reader.by_places(places, position, after, until, backward)

        last = head if until is None else min(until, head)
        found = chain.from_iterable(self._past_purges(pages, position, max(after, 0), last, backward))
        return islice(found if types is None else (event for event in found if event.type in types), limit)

    def _past_purges(
        self,
        pages: Callable[[int, int], Iterator[Page]],
        number_of: Callable[[RecordedEvent], int],
        after: int,
        until: int,
        backward: bool,
    ) -> Iterator[Page]:
        """Events with after < number ≤ until. When a purge moves lines that are being read, it looks them up again."""
        while after < until:
            purges = self._tail.purges
            try:
                with self._reading():
                    for page in filter(None, pages(after, until)):
                        yield page
                        if backward:
                            until = number_of(page[-1]) - 1
                        else:
                            after = number_of(page[-1])
                    return
            except LogCorrupt:
                with self._at_the_end():
                    if self._tail.purges == purges:
                        raise

    def version(self, stream: str) -> int:
        check_name(stream)
        with self._up_to_date():
            return self._index.head(stream).version

    def head(self) -> int:
        with self._up_to_date():
            return self._index.last.next_position - 1

    def checkpoint(self, name: str) -> int | None:
        check_name(name, "checkpoint name")
        with self._up_to_date():
            return self._index.checkpoint(name)

    def checkpoints(self) -> dict[str, int]:
        with self._up_to_date():
            return self._index.checkpoints()

    def wait(self, after: int, timeout: float | None = None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        return self.head() > after or seen_in_time(lambda: self.head() > after, self.root / FOLDER, deadline)

    def hold(self, name: str) -> Hold:
        check_name(name)
        self._check_open()
        return hold_file(self._disk, HOLDS, name)

    def holder(self, name: str) -> str | None:
        check_name(name)
        self._check_open()
        return file_holder(self._disk, HOLDS, name)

    def purge(self, stream: str, *, expected: int | Expect = ANY, meta: Mapping[str, str] | None = None) -> Purged:
        validate_purge(stream, expected, meta)
        with self._group.turn():
            with self._at_the_end():
                with self._mutex:
                    version = self._index.head(stream).version
                check_expected(iter([(stream, expected, version)]))
                if version == 0:
                    with self._mutex:
                        self._tail.finish_purges()  # of a call that the system refused half-way
                    return Purged(stream, 0)
                (last,) = self.read(stream, backward=True, limit=1)
                purged = Purged(stream, version, version, last.position, last.hash)
                record = Ticket[_Request, Appended](_Request([Append(PURGES, [purge_event(purged, meta)])], None))
                with self._mutex:
                    self._publish(self._tail.write(self._admit([record]), durable=True))
                    self._tail.finish_purges()
            self._tell_hook([record])
        return purged

    @contextlib.contextmanager
    def purging(self) -> Iterator[None]:
        with self._group.turn():
            self._tail.purging += 1
        try:
            yield
        finally:
            with self._group.turn():
                self._tail.purging -= 1
                with self._at_the_end(), self._mutex:
                    self._tail.finish_purges()

    def restore(self, commits: Sequence[Sequence[RecordedEvent]], *, checkpoint: Checkpoint | None = None) -> int:
        validate_recorded(commits, checkpoint)
        with self._group.turn():
            with self._at_the_end():
                with self._mutex:
                    self._roll_if_full()
                    pending = self._pending()
                    new = pending.readmit(commits, checkpoint, self._clock())
                self._write(pending.lines, repeated=True)
                if any(event.stream == PURGES for commit in commits for event in commit):
                    with self._mutex:
                        self._tail.finish_purges()
            tell(self.hook, new)
        return len(new)

    def close(self) -> None:
        if self._closed == _CLOSED or self._process != os.getpid():
            return
        with self._group.turn(), self._end:
            self._background.stop()
            if self._closed == _CLOSED:
                return
            self._closed = _CLOSED
            try:
                with translating(f"cannot close the log in {self.root}"), self._mutex:
                    self._tail.close()
            finally:
                self._disk.release()
        self._background.join()

    def _check_open(self) -> None:
        reason = self._closed or self._tail.broken
        if self._process != os.getpid():
            reason = "its lock and its index belong to the process this one was forked from"
        if reason:
            raise Closed(f"the log in {self.root}", "" if reason == _CLOSED else reason)

    def _sync_if_behind(self) -> None:
        if self._tail.behind:
            with self._at_the_end():
                self._tail.sync()
