"""The segment files: finding them, reading lines out of them, and what to do about a bad end.

A segment is named after its first commit, so the next one's name follows from the last line of this one. Closed
segments never change, except that a purge replaces one by a copy without the purged events.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator

import msgspec

from eventstore.disk import APPEND, READ, Disk, replace
from eventstore.errors import LogCorrupt
from eventstore.index import Place
from eventstore.line import CommitLine, DamagedLine, decode_line
from eventstore.log import RecordedEvent

FOLDER = "_log"
# The allocator has pieces of this size at hand. For a mebibyte it asks the system each time, which took as long as all
# else that is done to find the lines.
_CHUNK = 1 << 16
_SECTOR = 512

logger = logging.getLogger("eventstore")


class Repair(msgspec.Struct, frozen=True):
    """An unfinished, unacknowledged write that was cut off: where it was, and the file that keeps its bytes."""

    file: str
    offset: int
    length: int
    copy: str


def segment_path(number: int) -> str:
    """The path of the segment whose first commit has this number."""
    return f"{FOLDER}/{number:020d}.jsonl"


def segment_numbers(disk: Disk) -> list[int]:
    """The numbers of all segments, ascending."""
    stems = (name.removesuffix(".jsonl") for name in disk.names(FOLDER) if name.endswith(".jsonl"))
    return sorted(int(stem) for stem in stems if len(stem) == 20 and stem.isdecimal())


def open_segment(disk: Disk, number: int) -> int:
    """Open a segment for appending, and create it if there is none.

    Whoever created it may have been killed before its name was durable, so that is seen to here. Whoever wrote in it
    may have been killed after a failed sync; the cache would then show lines that the device does not hold.
    """
    file = disk.open(segment_path(number), APPEND)
    try:
        disk.sync_directory(FOLDER)
        disk.forget(file)
    except BaseException:
        disk.close(file)
        raise
    return file


def read_bytes(disk: Disk, file: int, size: int, offset: int) -> bytes:
    """Exactly these bytes, or fewer where the file ends."""
    data = disk.read(file, size, offset)
    while len(data) < size and (part := disk.read(file, size - len(data), offset + len(data))):
        data += part
    return data


def raw_lines(disk: Disk, file: int, segment: int, start: int, end: int) -> Iterator[tuple[Place, bytes]]:
    """The lines between two offsets with their newlines; the last one may lack it. Nothing else ends a line."""
    rest = b""
    while start + len(rest) < end:
        at = start + len(rest)
        # What is read grows with a line that is longer, or each chunk of it would be copied with all that follow.
        chunk = disk.read(file, min(max(_CHUNK, len(rest)), end - at), at)
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield Place(segment, start, len(line) + 1), line + b"\n"
            start += len(line) + 1
    if rest:
        yield Place(segment, start, len(rest)), rest


def lines_between(disk: Disk, file: int, segment: int, start: int, end: int) -> Iterator[tuple[CommitLine, Place]]:
    """The verified lines of a range that is known to be whole, none missing or out of place. Raises `LogCorrupt`."""
    next_commit = segment if start == 0 else 0
    for place, raw in raw_lines(disk, file, segment, start, end):
        try:
            line = decode_line(raw)
        except DamagedLine as damage:
            raise corrupt(place, str(damage)) from None
        if next_commit and line.commit != next_commit:
            raise corrupt(place, f"commit {line.commit} stands where commit {next_commit} belongs")
        next_commit = line.commit + 1
        yield line, place


def corrupt(place: Place, reason: str) -> LogCorrupt:
    """The error for a bad line at this place."""
    return LogCorrupt(segment_path(place.segment), place.start, place.length, reason)


class LineReader:
    """Reads lines by their places, keeping the last segment open and the last line decoded."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._file, self._segment = -1, 0
        self._place, self._events = Place(0, 0, 0), list[RecordedEvent]()

    def __enter__(self) -> LineReader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            self._disk.close(self._file)

    def events_at(self, place: Place) -> list[RecordedEvent]:
        """The events of the verified line at a place. Raises `LogCorrupt`."""
        if place != self._place:
            try:
                self._open(place.segment)
                line = decode_line(read_bytes(self._disk, self._file, place.length, place.start))
            except FileNotFoundError:
                raise corrupt(place, "the file is missing") from None
            except DamagedLine as damage:
                raise corrupt(place, str(damage)) from None
            self._place, self._events = place, line.recorded()
        return self._events

    def _open(self, segment: int) -> None:
        if segment != self._segment:
            file = self._disk.open(segment_path(segment), READ)
            if self._file >= 0:
                self._disk.close(self._file)
            self._file, self._segment = file, segment


def why_corrupt(tail: bytes, start: int, commit: int) -> str | None:
    """Why the bytes from a bad line to the end of the log cannot be an unfinished write; None if they can.

    `start` is the bad line's offset and `commit` the number it should have. A write that power cut short leaves
    a prefix, or whole sectors of zeros where bytes did not arrive, possibly with intact lines of the same write behind
    them. So it is damage to something safe, if a later intact line says that this commit had been durable; or
    if a line is whole to its newline, wrong, and without such a run of zeros.
    """
    offset, damaged = start, False
    for raw in _split(tail):
        try:
            line = decode_line(raw)
        except DamagedLine as damage:
            if raw.endswith(b"\n") and not _lost_sectors(raw, offset):
                return str(damage)
            damaged = True
        else:
            if line.commit <= commit or not damaged:
                return f"commit {line.commit} stands where commit {commit} belongs"
            if line.synced >= commit:
                return f"commit {commit} is missing or damaged, and commit {line.commit} proves it was durable"
        offset += len(raw)
    return None


def cut(disk: Disk, file: int, place: Place, tail: bytes) -> Repair:
    """Cut an unfinished write off the end of a segment once a durable copy of it is made. The caller syncs the cut."""
    digest = hashlib.sha256(tail).hexdigest()[:12]
    copy = f"{FOLDER}/torn-{place.segment:020d}-{place.start}-{digest}.bin"
    replace(disk, copy, tail, durable=True)
    disk.truncate(file, place.start)
    repair = Repair(segment_path(place.segment), place.start, len(tail), copy)
    logger.warning(
        "cut an unfinished, unacknowledged write of %d bytes off %s at byte %d; a copy is in %s",
        repair.length,
        repair.file,
        repair.offset,
        repair.copy,
    )
    return repair


def _split(tail: bytes) -> list[bytes]:
    *lines, rest = tail.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest else [])


def _lost_sectors(raw: bytes, offset: int) -> bool:
    """Whether a run of zeros in these bytes begins or ends where a sector does."""
    at = raw.find(b"\0")
    while at >= 0:
        end = at
        while end < len(raw) and raw[end] == 0:
            end += 1
        if (offset + at) % _SECTOR == 0 or (offset + end) % _SECTOR == 0:
            return True
        at = raw.find(b"\0", end)
    return False
