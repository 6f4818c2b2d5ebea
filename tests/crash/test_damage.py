"""Damage to a closed log: every bit flipped, every truncation, zeros, lines and files swapped, repeated and removed.

With the index there, opening the log or reading all of it raises `LogCorrupt`, whatever the damage. Without the index,
opening raises it, or cuts off what looks like an unfinished write, says so and keeps a copy. One kind of damage cannot
be seen then: a log that ends earlier, between two lines. No log can tell by itself that it was once longer.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from itertools import combinations, product
from pathlib import Path

import msgspec
import pytest

from eventstore.errors import LogCorrupt
from eventstore.jsonl import JsonlLog
from eventstore.line import CommitLine, DamagedLine, decode_line
from eventstore.log import Checkpoint, RecordedEvent
from eventstore.segments import why_corrupt

from .device import SECTOR
from .programme import SteadyLog, clock
from .simulated_disk import SimulatedDisk
from .stories import commit

FUZZ = max(100_000, 5 * int(os.environ.get("EVENTSTORE_CRASH_STATES", "0")))
EVERY_BIT = "EVENTSTORE_CRASH_STATES" in os.environ

Files = Mapping[str, bytes]


class Kept(msgspec.Struct, frozen=True):
    """A closed log of three segments: its files, its index, and what is in it."""

    files: dict[str, bytes]
    index: Path
    events: list[RecordedEvent]

    @property
    def lines(self) -> list[tuple[str, bytes]]:
        """Every line, and the file it is in."""
        return [(path, line) for path, data in self.files.items() for line in data.splitlines(keepends=True)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return keep(tmp_path_factory.mktemp("kept"))


def keep(root: Path) -> Kept:
    """A log of all kinds of commits, written and closed in this folder."""
    log = SteadyLog(root, segment_bytes=1900, clock=clock)
    for each in (
        [commit("a")],
        [commit("a", "b", size=1)],
        [commit("b", size=200)],
        [commit("a", checkpoint=Checkpoint("reader", 3))],
        [commit("c"), commit("a", size=1)],
        [commit("a", "c", "b")],
        [commit("b")],
        [commit("a"), commit("b"), commit("c", size=300)],
        [commit("c", size=1), commit("a", size=1)],
    ):
        log.append_together(each)
    events = list(log.read_all())
    log.close()
    files = {f"_log/{file.name}": file.read_bytes() for file in sorted((root / "_log").glob("*.jsonl"))}
    assert len(files) == 3
    return Kept(files, root / "_log" / "index.db", events)


class DamagedDisk(SimulatedDisk):
    """A disk with these segments; the index is lost, or it is the one that was there."""

    def __init__(self, files: Files, index: Path | None = None) -> None:
        super().__init__()
        self.index = index
        self.contents = {path: self.put(path, data).content for path, data in files.items()}

    def database(self, path: str) -> str:
        return super().database(path) if self.index is None else str(self.index)


def read_all_of(disk: SimulatedDisk) -> list[RecordedEvent]:
    with closing(JsonlLog("", disk=disk)) as log:
        return list(log.read_all())


def is_found_with_the_index(kept: Kept, *damaged: Files) -> None:
    for files in damaged:
        with pytest.raises(LogCorrupt):
            read_all_of(DamagedDisk(files, kept.index))


def is_found_without_the_index(kept: Kept, *damaged: Files) -> None:
    for files in damaged:
        disk = DamagedDisk(files)
        try:
            log = JsonlLog("", disk=disk)
        except LogCorrupt:
            continue
        with closing(log):
            events = list(log.read_all())
            assert events == kept.events[: len(events)]
            if ends_earlier(kept, files):
                assert not log.repairs
                assert len(events) < len(kept.events)
            else:
                assert len(log.repairs) == 1
                repair = log.repairs[0]
                assert disk.files()[repair.copy] == files[repair.file][repair.offset :]


def ends_earlier(kept: Kept, files: Files) -> bool:
    """Whether these are the first lines of the log, each in its place, and nothing else."""
    lines = [(path, line) for path, data in sorted(files.items()) for line in data.splitlines(keepends=True)]
    return lines == kept.lines[: len(lines)]


def flips(kept: Kept, number: int, *, all_bits: bool = False) -> Iterator[Files]:
    """The files with one bit of a segment flipped: a random one of each byte, or all."""
    path, data = list(kept.files.items())[number]
    for place, byte in enumerate(data):
        for bit in range(8) if all_bits else [random.randrange(8)]:
            yield kept.files | {path: data[:place] + bytes((byte ^ 1 << bit,)) + data[place + 1 :]}


def is_found(kept: Kept, files: Files) -> None:
    is_found_with_the_index(kept, files)
    is_found_without_the_index(kept, files)


@pytest.fixture
def opened(kept: Kept) -> Iterator[tuple[JsonlLog, dict[str, bytearray]]]:
    """A log that was opened before the damage, and the contents of its segments to be damaged."""
    disk = DamagedDisk(kept.files, kept.index)
    with closing(JsonlLog("", disk=disk)) as log:
        yield log, disk.contents
        assert list(log.read_all()) == kept.events


@pytest.mark.parametrize("number", range(3))
def test_reading_finds_every_flipped_bit(opened: tuple[JsonlLog, dict[str, bytearray]], number: int) -> None:
    log, contents = opened
    content = list(contents.values())[number]
    for place, bit in product(range(len(content)), range(8)):
        content[place] ^= 1 << bit
        with pytest.raises(LogCorrupt):
            list(log.read_all())
        content[place] ^= 1 << bit


@pytest.mark.parametrize("number", range(3))
def test_reading_finds_every_truncation(opened: tuple[JsonlLog, dict[str, bytearray]], number: int) -> None:
    log, contents = opened
    content = list(contents.values())[number]
    whole = bytes(content)
    for length in range(len(whole)):
        del content[length:]
        with pytest.raises(LogCorrupt):
            list(log.read_all())
        content[:] = whole


@pytest.mark.parametrize("number", range(3))
def test_opening_without_an_index_finds_flipped_bits(kept: Kept, number: int) -> None:
    """In the last segment, the only one where a cut is thinkable, all of them; elsewhere one of each byte, or all in a
    release.
    """
    is_found_without_the_index(kept, *flips(kept, number, all_bits=number == 2 or EVERY_BIT))


@pytest.mark.parametrize("number", range(3))
def test_opening_without_an_index_finds_every_truncation(kept: Kept, number: int) -> None:
    path, data = list(kept.files.items())[number]
    is_found_without_the_index(kept, *(kept.files | {path: data[:length]} for length in range(len(data))))


def test_opening_with_the_index_finds_every_damaged_byte_of_the_last_line(kept: Kept) -> None:
    path, data = list(kept.files.items())[-1]
    last_line = data[:-1].rindex(b"\n") + 1
    truncations = [kept.files | {path: data[:length]} for length in range(last_line, len(data))]
    for damaged in (*list(flips(kept, 2))[last_line:], *truncations):
        with pytest.raises(LogCorrupt):
            JsonlLog("", disk=DamagedDisk(damaged, kept.index))


def test_a_log_without_its_index_that_ends_between_two_lines_passes_for_a_shorter_one(kept: Kept) -> None:
    path, data = list(kept.files.items())[-1]
    for length in [0, *(at + 1 for at, byte in enumerate(data[:-1]) if byte == ord("\n"))]:
        shorter = kept.files | {path: data[:length]}
        assert ends_earlier(kept, shorter)
        log = JsonlLog("", disk=DamagedDisk(shorter))
        assert not log.repairs
        assert list(log.read_all()) == kept.events[: log.head()]
        log.close()


def test_sectors_of_zeros_are_found(kept: Kept) -> None:
    for path, data in kept.files.items():
        for start in range(0, len(data), SECTOR):
            zeros = bytes(min(SECTOR, len(data) - start))
            is_found(kept, kept.files | {path: data[:start] + zeros + data[start + SECTOR :]})


def test_swapped_lines_are_found(kept: Kept) -> None:
    for first, second in combinations(range(len(kept.lines)), 2):
        lines = kept.lines
        (path, line), (other_path, other_line) = lines[first], lines[second]
        lines[first], lines[second] = (path, other_line), (other_path, line)
        is_found(kept, files_of(lines))


def test_repeated_lines_are_found(kept: Kept) -> None:
    for at, (_, line) in enumerate(kept.lines):
        for to, (other_path, _) in enumerate(kept.lines):
            lines = kept.lines
            is_found(kept, files_of([*lines[: to + 1], (other_path, line), *lines[to + 1 :]]))
            lines[to] = (other_path, line)
            if at != to:
                is_found(kept, files_of(lines))


def test_removed_lines_are_found(kept: Kept) -> None:
    lines = kept.lines
    for first, last in combinations(range(len(lines) + 1), 2):
        is_found(kept, files_of([*lines[:first], *lines[last:]]))


def test_swapped_and_removed_segments_are_found(kept: Kept) -> None:
    for path, other in combinations(kept.files, 2):
        is_found(kept, kept.files | {path: kept.files[other], other: kept.files[path]})
    for path in kept.files:
        is_found(kept, {other: data for other, data in kept.files.items() if other != path})
        is_found_with_the_index(kept, {path: kept.files[path]})


def files_of(lines: list[tuple[str, bytes]]) -> Files:
    files: dict[str, bytes] = {}
    for path, line in lines:
        files[path] = files.get(path, b"") + line
    return files


def mutated(data: bytes) -> bytes:
    """The bytes with a few things done to them."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        start = random.randrange(len(changed) + 1)
        end = start + random.choice((0, 1, 1, 1, 8, SECTOR))
        changed[start:end] = random.choice(
            (b"", random.randbytes(random.randint(1, 8)), bytes(end - start), data[start:end] * 2, b"\n", b'"', b"{")
        )
    return bytes(changed)


def inputs(kept: Kept) -> Iterator[bytes]:
    lines = [line for _, line in kept.lines]
    for _ in range(FUZZ // 4):
        yield random.randbytes(random.randrange(200))
        yield mutated(random.choice(lines))
        yield mutated(b"".join(random.sample(lines, 3)))
        # A checksum that is right gets past the first check.
        yield summed(mutated(random.choice(lines)))


def summed(line: bytes) -> bytes:
    """The line with the checksum that its bytes call for."""
    body = line[25:-1]
    return b'{"sum":"%s"%s\n' % (hashlib.sha256(body).hexdigest()[:16].encode(), body)


def test_whatever_stands_in_a_segment_is_a_line_or_damage(kept: Kept) -> None:
    for data in inputs(kept):
        with suppress(DamagedLine):
            assert isinstance(decode_line(data), CommitLine)
        reason = why_corrupt(data, random.randrange(5000), random.randrange(12))
        assert reason is None or reason
