"""Reads all segments of a file log without opening it as a log: nothing is locked, repaired or written."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from eventstore.disk import READ, Disk
from eventstore.index import Place
from eventstore.line import CommitLine, DamagedLine, checksum_of, decode_line
from eventstore.segments import raw_lines, read_bytes, segment_numbers, segment_path, why_corrupt


class Damage(msgspec.Struct, frozen=True):
    """Something that should not be there. `unfinished` means that it is only a write nobody was told had succeeded:
    one that is under way, or that the next opening cuts off.
    """

    file: str
    offset: int
    length: int
    reason: str
    unfinished: bool = False


class Surveyed(msgspec.Struct, frozen=True):
    """An intact line, where it stands, and its checksum."""

    line: CommitLine
    place: Place
    checksum: str


class Survey:
    """Passes over the segments. Iterating again goes on with what has been written since the last pass.

    `commit` is the number expected next, `head` the highest position met so far.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._file, self._segment, self._start = -1, 0, 0
        self._position: int | None = 1  # expected next; not known behind damage
        self.commit, self.head = 1, 0

    def __iter__(self) -> Iterator[Surveyed | Damage]:
        """Every line that can be read, and every damage, in order."""
        while True:
            # Looked for first: once there is a next segment, this one has got its last line.
            following = next((number for number in segment_numbers(self._disk) if number > self._segment), None)
            if self._segment:
                yield from self._rest(closed=following is not None)
            if following is None:
                return
            if following > self.commit:
                missing = f"commits {self.commit} to {following - 1} are missing before it"
                yield Damage(segment_path(following), 0, 0, missing)
                self.commit, self._position = following, None
            self._open(following)

    def _open(self, segment: int) -> None:
        """Keep the segment open: a purge puts another file in its place, and this one stays as it was."""
        file = self._disk.open(segment_path(segment), READ)
        self.close()
        self._file, self._segment, self._start = file, segment, 0

    def _rest(self, *, closed: bool) -> Iterator[Surveyed | Damage]:
        size = self._disk.size(self._file)
        for place, raw in raw_lines(self._disk, self._file, self._segment, self._start, size):
            try:
                line = decode_line(raw)
            except DamagedLine as damage:
                if not closed and self._unfinished(place, raw, size):
                    reason = "an unfinished, unacknowledged write"
                    yield Damage(segment_path(self._segment), place.start, size - place.start, reason, unfinished=True)
                    return
                yield _damage(place, str(damage))
                self.commit, self._position = self.commit + 1, None
            else:
                yield from self._check(line, place)
                yield Surveyed(line, place, checksum_of(raw))
                self.commit, self._position = max(self.commit, line.commit + 1), line.next_position
                self.head = max(self.head, line.next_position - 1)
            self._start = place.end

    def _unfinished(self, place: Place, raw: bytes, size: int) -> bool:
        if raw.endswith(b"\n") and b"\0" not in raw:
            return False  # which saves reading all that follows, for every line of a file full of damage
        rest = read_bytes(self._disk, self._file, size - place.start, place.start)
        return why_corrupt(rest, place.start, self.commit) is None

    def _check(self, line: CommitLine, place: Place) -> Iterator[Damage]:
        if line.commit != self.commit:
            yield _damage(place, f"commit {line.commit} stands where commit {self.commit} belongs")
        elif self._position is not None and line.position != self._position:
            yield _damage(place, f"position {line.position} stands where position {self._position} belongs")

    def close(self) -> None:
        """Release the segment that is open. Repeated calls do nothing."""
        if self._file >= 0:
            self._disk.close(self._file)
            self._file = -1


def _damage(place: Place, reason: str) -> Damage:
    return Damage(segment_path(place.segment), place.start, place.length, reason)
