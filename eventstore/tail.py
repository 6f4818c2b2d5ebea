"""The end of the file log: the active segment, and all that happens there.

Whoever calls these methods holds the process's turn, and, but for `grown`, the file lock. Readers meanwhile use the
index: it knows only what has been published.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from operator import attrgetter

import msgspec

from eventstore.disk import APPEND, READ, Disk, unavailable, write_draft, write_whole
from eventstore.errors import LogCorrupt, OutcomeUnknown, Unavailable
from eventstore.index import Index, Place, UnfinishedPurge
from eventstore.line import CommitLine, DamagedLine, checksum_of, decode_line, encode_line
from eventstore.segments import (
    FOLDER,
    Repair,
    corrupt,
    cut,
    logger,
    open_segment,
    raw_lines,
    read_bytes,
    segment_numbers,
    segment_path,
    why_corrupt,
)

_LOCK = f"{FOLDER}/lock"
_INDEX = f"{FOLDER}/index.db"


class Written(msgspec.Struct, frozen=True):
    """A line in the file that is not published yet."""

    line: CommitLine
    place: Place
    raw: bytes


class Tail:
    """The active segment, open for appending, and how much of it is known and how much is durable."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.repairs: list[Repair] = []
        self.broken = ""
        self.purges = self.purging = 0
        self._unfinished: Sequence[UnfinishedPurge] = ()
        self._file = -1
        self.segment = self.end = 0
        self.synced_commit = self._synced_end = 0
        disk.make_directory(FOLDER)
        disk.sync_directory("")
        disk.keep(FOLDER)
        with contextlib.ExitStack() as undo:
            self._lock = disk.open(_LOCK, APPEND)
            undo.callback(disk.close, self._lock)
            with self.locked():
                self.index = Index(disk.database(_INDEX))
                undo.callback(self.index.close)
                undo.callback(self._close_file)
                self._remove_drafts()
                self._open_first()
                self.catch_up()
                self._refuse_gap()
                self.sync()
                self._finish_purges_if_possible()
            undo.pop_all()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store's lock against all other processes."""
        self._disk.lock(self._lock)
        try:
            yield
        finally:
            self._disk.unlock(self._lock)

    def _remove_drafts(self) -> None:
        """A purge that was killed leaves a copy of a segment under no name, with events that may be purged later."""
        for name in self._disk.names(FOLDER):
            if name.endswith(".new"):
                self._disk.remove(f"{FOLDER}/{name}")

    def _open_first(self) -> None:
        """Stand where the index left off, once it is sure that the segments still say what the index has seen."""
        numbers = segment_numbers(self._disk)
        if not numbers and self.index.last.commit == 0:
            self._switch(1)
            return
        if self.index.last.commit and not self._holds_witness():
            if not self.index.unfinished_purges():
                raise self._lost()
            self.index.discard()
        if not self.index.last.commit and 1 not in numbers:
            raise LogCorrupt(segment_path(1), 0, 0, "the file is missing, and the log begins with it")
        self._open_known()

    def _refuse_gap(self) -> None:
        """Segments that nothing leads to are not the log's end: what stood before them is gone."""
        last = segment_numbers(self._disk)[-1]
        if last > self.segment:
            reason = f"the log ends before commit {self._next}, and yet there is {segment_path(last)}"
            raise LogCorrupt(segment_path(self.segment), self.end, 0, reason)

    def _holds_witness(self) -> bool:
        last = self.index.last
        try:
            file = self._disk.open(segment_path(last.place.segment), READ)
        except FileNotFoundError:
            return False
        try:
            raw = read_bytes(self._disk, file, last.place.length, last.place.start)
        finally:
            self._disk.close(file)
        try:
            return decode_line(raw).commit == last.commit and checksum_of(raw) == last.checksum
        except DamagedLine:
            return False

    def _lost(self) -> LogCorrupt:
        commit, place = self.index.last.commit, self.index.last.place
        reason = f"the log has lost commit {commit}, which the index has seen durable"
        return LogCorrupt(segment_path(place.segment), place.start, place.length, reason)

    def _open_known(self) -> None:
        """Open the segment of the last line the index knows, and stand behind that line, which is durable."""
        place = self.index.last.place
        self._switch(place.segment)
        self.end = self._synced_end = place.end
        self.synced_commit = self.index.last.commit

    def _switch(self, segment: int) -> None:
        file = open_segment(self._disk, segment)
        self._close_file()
        self._file, self.segment, self.end, self._synced_end = file, segment, 0, 0

    def _close_file(self) -> None:
        if self._file >= 0:
            self._disk.close(self._file)
            self._file = -1

    @property
    def _next(self) -> int:
        """The number of the next commit, and of the next segment if it begins there."""
        return self.index.last.commit + 1

    @property
    def behind(self) -> bool:
        """Whether something published is not known to be durable."""
        return self.synced_commit < self.index.last.commit

    def grown(self) -> bool:
        """Whether another process has written since; costs two looks at the file system."""
        return self._disk.size(self._file) != self.end or (
            self.segment != self._next and self._disk.exists(segment_path(self._next))
        )

    def catch_up(self) -> None:
        """Learn what other processes have written; cut an unfinished write of one that was killed.

        Raises `LogCorrupt`, and changes nothing, if there is anything no crash can leave behind.
        """
        purges = self.purges
        if self._unfinished and self.index.unfinished_purges() != self._unfinished:
            self.purges += 1  # another process has finished some, and moved what this one may know by its old places
            self.flush()
        while True:
            if self._read_on():
                continue
            if self.segment == self._next or not self._disk.exists(segment_path(self._next)):
                break
            self._switch(self._next)
        if self.purges > purges:
            self._finish_purges_if_possible()

    def _read_on(self) -> bool:
        """Learn the rest of the active segment. True if the end has moved on to where another process's index is."""
        size = self._disk.size(self._file)
        if size < self.end:
            missing = self.end - size
            raise LogCorrupt(segment_path(self.segment), size, missing, "bytes that this process has read are gone")
        for place, raw in raw_lines(self._disk, self._file, self.segment, self.end, size):
            line = self._expected_line(raw)
            if line is None:
                self._repair(place, size)
                return False
            self.synced_commit = max(self.synced_commit, line.synced)
            if self.publish(Written(line, place, raw)):
                return True
        return False

    def _expected_line(self, raw: bytes) -> CommitLine | None:
        try:
            line = decode_line(raw)
        except DamagedLine:
            return None
        return line if (line.commit, line.position) == (self._next, self.index.last.next_position) else None

    def publish(self, written: Written) -> bool:
        """Take a line into the index, where readers find it. True if the end has moved on, as in `flush`."""
        self.index.add(written.line, written.place, checksum_of(written.raw))
        self.end = written.place.end
        if not self.index.must_flush:
            return False
        self.purges += 1
        return self.flush()

    def _repair(self, place: Place, size: int) -> None:
        tail = read_bytes(self._disk, self._file, size - place.start, place.start)
        reason = why_corrupt(tail, place.start, self._next)
        if reason is None and segment_numbers(self._disk)[-1] > self.segment:
            reason = "an unfinished write in a closed segment"
        if reason is not None:
            raise corrupt(place, reason)
        self.repairs.append(cut(self._disk, self._file, place, tail))
        self.sync()

    def write(self, lines: Sequence[CommitLine], *, durable: bool) -> list[Written]:
        """Write these lines at the end, and sync them if they are to be durable. They are not published yet.

        Raises `Unavailable` if the system refuses and the file could be put back as it was, else `OutcomeUnknown`.
        """
        written, end = [], self.end
        for line in lines:
            raw = encode_line(line)
            written.append(Written(line, Place(self.segment, end, len(raw)), raw))
            end += len(raw)
        try:
            write_whole(self._disk, self._file, b"".join(w.raw for w in written))
        except OSError as error:
            self._undo_write(error)
            raise unavailable(error, "the commit was not written") from error
        if durable:
            self._sync(lines[-1].commit, end)
        return written

    def _undo_write(self, error: OSError) -> None:
        try:
            self._disk.truncate(self._file, self.end)
            self._disk.sync(self._file)
        except OSError:
            self.broken = f"a write failed ({error.strerror}) and could not be undone"
            raise OutcomeUnknown(self.broken) from error

    def sync(self) -> None:
        """Make everything that is published durable. Raises `OutcomeUnknown`."""
        self._sync(self.index.last.commit, self.end)

    def _sync(self, commit: int, end: int) -> None:
        """Make everything up to a commit durable.

        A failed sync is never tried again: the system may have dropped the bytes and report success next time. What
        the device really holds is looked up and the rest cut off; this object is then unusable.
        """
        try:
            self._disk.sync(self._file)
        except OSError as error:
            self.broken = f"a sync failed ({error.strerror})"
            with contextlib.suppress(OSError, LogCorrupt):
                self._keep_what_survived()
            raise OutcomeUnknown(self.broken) from error
        self.synced_commit, self._synced_end = commit, end

    def _keep_what_survived(self) -> None:
        self._disk.forget(self._file)
        survived = self._synced_end
        for place, raw in raw_lines(self._disk, self._file, self.segment, survived, self.end):
            try:
                decode_line(raw)
            except DamagedLine:
                break
            survived = place.end
        self._disk.truncate(self._file, survived)

    def roll(self) -> None:
        """Close the active segment for good and begin the next one. An empty segment stays the active one."""
        if self.segment == self._next:
            return
        if self.behind:
            self.sync()
        self._switch(self._next)

    def flush(self) -> bool:
        """Write the index's news to its file. True if another process had already written more than this one knew."""
        if self.behind:
            self.sync()
        written = self.index.flush()
        self._unfinished = self.index.unfinished_purges()
        if not written:
            self._open_known()
            if self.index.last.commit and not self._holds_witness():
                self._tell_of_rewriting()
        return not written

    def _tell_of_rewriting(self) -> None:
        """Have the index learn where the last line is: a process was killed that had just rewritten its segment."""
        purges = [purge for purge in self._unfinished if purge.segment == self.segment]
        if not purges:
            raise self._lost()
        self._rewrite(self.segment, purges)
        self._open_known()

    def finish_purges(self) -> None:
        """Take purged events out of the segments they are still in, unless there are more to come. Safe to repeat after
        a crash at any point.
        """
        unfinished = [] if self.purging else self.index.unfinished_purges()
        if unfinished:
            self.flush()
            self.index.make_durable()
        for segment in sorted({purge.segment for purge in unfinished}):
            self._rewrite(segment, [purge for purge in unfinished if purge.segment == segment])

    def _finish_purges_if_possible(self) -> None:
        """A disk too full for a copy of a segment does not keep the log from being opened."""
        try:
            self.finish_purges()
        except OutcomeUnknown:
            raise
        except Unavailable as error:
            logger.warning("%s; the next opening tries again", error)

    def _rewrite(self, segment: int, purges: Sequence[UnfinishedPurge]) -> None:
        """Put a copy without the purged events in a segment's place, unless only the index has still to learn of it."""
        if segment == self.segment:
            self.roll()
        before, after, end = self._closed_lines(segment), list[Written](), 0
        purged = {purge.stream: purge.position for purge in sorted(purges, key=attrgetter("position"))}
        for place, raw in before:
            try:
                line = kept = decode_line(raw)
            except DamagedLine as damage:
                raise corrupt(place, str(damage)) from None
            for stream in purged.keys() & {event.stream for event in line.events if event is not None}:
                kept = kept.without(stream, purged[stream])
            raw_kept = raw if kept is line else encode_line(kept)
            after.append(Written(kept, Place(segment, end, len(raw_kept)), raw_kept))
            end += len(raw_kept)
        draft = ""
        if [written.raw for written in after] != [raw for _, raw in before]:
            try:
                draft = write_draft(self._disk, FOLDER, b"".join(written.raw for written in after), durable=True)
            except OSError as error:
                raise unavailable(error, f"purged events are still in {segment_path(segment)}") from error
        try:
            if draft:
                self._disk.rename(draft, segment_path(segment))
            self._disk.sync_directory(FOLDER)
            self.index.rewritten(segment, ((w.line, w.place, checksum_of(w.raw)) for w in after))
            self._unfinished = self.index.unfinished_purges()
            self.purges += 1
        except (OSError, sqlite3.Error) as error:
            self.broken = f"a purge stopped half-way ({error})"
            raise OutcomeUnknown(self.broken) from error

    def _closed_lines(self, segment: int) -> list[tuple[Place, bytes]]:
        file = self._disk.open(segment_path(segment), READ)
        try:
            return list(raw_lines(self._disk, file, segment, 0, self._disk.size(file)))
        finally:
            self._disk.close(file)

    def close(self) -> None:
        """Make everything durable, write the index, and let go."""
        try:
            if not self.broken:
                with self.locked():
                    self.catch_up()
                    self.flush()
        finally:
            self.index.close()
            self._close_file()
            self._disk.close(self._lock)
