"""Bugs that others have shipped, planted one at a time: the programme finds every one of them.

Some are lies of the disk, which come to the same as leaving out the call; others are put into the log itself.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

import eventstore.line
import eventstore.tail
from eventstore.disk import Disk
from eventstore.index import Index, Place
from eventstore.line import CommitLine, DamagedLine, decode_line
from eventstore.log import Durability
from eventstore.segments import raw_lines
from eventstore.tail import Tail, Written

from .programme import Programme, Violation
from .simulated_disk import SimulatedDisk
from .stories import STORIES, begin
from .test_call_errors import refuse_any_call, stop_any_write_short
from .test_damage import flips, is_found_with_the_index, is_found_without_the_index, keep


def lose_power(name: str, bug: str = "") -> None:
    story, disk, *bounds = begin(name)
    disk.bugs = frozenset({bug})
    Programme(story, disk, *bounds, durability="full", seed=0, limit=500).run()


@pytest.mark.parametrize(
    ("bug", "story"),
    [
        ("does not sync", "single appends"),
        ("does not sync", "purges"),
        ("does not sync_directory", "single appends"),
        ("does not sync_directory", "blobs"),
        ("does not truncate", "group commits"),
        ("does not sync a cut", "half"),
    ],
)
def test_power_loss_finds_out_a_disk_that(bug: str, story: str) -> None:
    with pytest.raises(Violation):
        lose_power(story, bug)


def test_power_loss_finds_out_who_acknowledges_before_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    write = Tail.write

    def write_only(self: Tail, lines: Sequence[CommitLine], *, durable: bool) -> list[Written]:
        return write(self, lines, durable=False)

    monkeypatch.setattr(Tail, "write", write_only)
    with pytest.raises(Violation):
        lose_power("single appends")


def test_power_loss_finds_out_who_rewrites_segments_behind_the_back_of_a_durable_index(
    index_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Index, "make_durable", lambda _: None)
    start = SimulatedDisk(index_folder=index_folder)
    with pytest.raises(Violation):
        Programme(STORIES["purges"](), start, 0, 0, durability="full", seed=0, limit=500).run()


@pytest.mark.parametrize(
    ("bug", "durability"), [("repeats a failed sync", "full"), ("does not forget", "full"), ("does not forget", "none")]
)
def test_errors_find_out_a_disk_that(bug: str, durability: Durability) -> None:
    with pytest.raises(Violation):
        refuse_any_call("group commits", durability, lambda: [(errno.EIO, False), (errno.EIO, True)], bug)


def test_errors_find_out_who_repeats_a_failed_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    def sync(self: Tail) -> None:
        try:
            self._disk.sync(self._file)
        except OSError:
            self._disk.sync(self._file)

    monkeypatch.setattr(Tail, "_sync", lambda self, commit, end: sync(self))
    with pytest.raises(Violation, match="a failed sync was tried again"):
        refuse_any_call("single appends", "full", lambda: [(errno.EIO, False)])


def test_errors_find_out_who_ignores_a_short_write(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_once(disk: Disk, file: int, data: bytes) -> None:
        disk.write(file, data)

    monkeypatch.setattr(eventstore.tail, "write_whole", write_once)
    with pytest.raises(Violation):
        stop_any_write_short("group commits", again=False)


def test_flipped_bits_find_out_who_checks_no_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventstore.line, "_checksum", lambda _: b"0" * 16)
    kept = keep(tmp_path)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        is_found_with_the_index(kept, *flips(kept, 0))


def test_flipped_bits_find_out_who_skips_bad_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def readable_lines(disk: Disk, file: int, segment: int, start: int, end: int) -> Iterator[tuple[Place, bytes]]:
        for place, raw in raw_lines(disk, file, segment, start, end):
            with suppress(DamagedLine):
                decode_line(raw)
                yield place, raw

    kept = keep(tmp_path)
    monkeypatch.setattr(eventstore.tail, "raw_lines", readable_lines)
    with pytest.raises(AssertionError):
        is_found_without_the_index(kept, *flips(kept, 2))
