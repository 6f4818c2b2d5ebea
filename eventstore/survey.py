"""Reads all segments of a file log without opening it as a log: nothing is locked for long, repaired or written."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from eventstore.disk import READ, Disk
from eventstore.index import Place
from eventstore.line import CommitLine, DamagedLine, decode_line
from eventstore.segments import raw_lines, read_bytes, segment_numbers, segment_path, why_corrupt


class Damage(msgspec.Struct, frozen=True):
    """Something that should not be there. `unfinished` means that it is only a write nobody was told had succeeded,
    which the next opening cuts off.
    """

    file: str
    offset: int
    length: int
    reason: str
    unfinished: bool = False


class Survey:
    """One pass over the segments. `commit` and `position` are those expected next."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.commit = self.position = 1

    def __iter__(self) -> Iterator[CommitLine | Damage]:
        """Every line that can be read, and every damage, in order."""
        numbers = segment_numbers(self._disk)
        for number in numbers:
            if number != self.commit:
                yield Damage(segment_path(number), 0, 0, f"commits {self.commit} to {number - 1} are missing before it")
                self.commit = number
            yield from self._segment(number, last=number == numbers[-1])

    def _segment(self, number: int, *, last: bool) -> Iterator[CommitLine | Damage]:
        file = self._disk.open(segment_path(number), READ)
        try:
            size = self._disk.size(file)
            for place, raw in raw_lines(self._disk, file, number, 0, size):
                try:
                    line = decode_line(raw)
                except DamagedLine as damage:
                    rest = read_bytes(self._disk, file, size - place.start, place.start) if last else b""
                    if last and why_corrupt(rest, place.start, self.commit) is None:
                        reason = "an unfinished, unacknowledged write"
                        yield Damage(segment_path(number), place.start, len(rest), reason, unfinished=True)
                        return
                    yield _damage(place, str(damage))
                    self.commit += 1
                    continue
                yield from self._check(line, place)
                yield line
                self.commit, self.position = line.commit + 1, line.next_position
        finally:
            self._disk.close(file)

    def _check(self, line: CommitLine, place: Place) -> Iterator[Damage]:
        if line.commit != self.commit:
            yield _damage(place, f"commit {line.commit} stands where commit {self.commit} belongs")
        elif line.position < self.position:
            yield _damage(place, f"position {line.position} stands where position {self.position} belongs")


def _damage(place: Place, reason: str) -> Damage:
    return Damage(segment_path(place.segment), place.start, place.length, reason)
