"""Reading out of segment files: whatever is read at a time, and whatever the index says."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from eventstore.errors import LogCorrupt
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, NewEvent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A log of nine commits, the longest of them of some kilobytes."""
    with closing(JsonlLog(tmp_path, durability="none")) as log:
        for size in (0, 1, 3_000, 0, 500, 1, 1, 0, 2_000):
            log.append([Append("a", [NewEvent(type="noted", data=b'"%s"' % (b"x" * size)) for _ in range(2)])])
    return tmp_path


@pytest.fixture
def log(root: Path) -> Iterator[JsonlLog]:
    with closing(JsonlLog(root)) as log:
        yield log


@pytest.mark.parametrize("size", [1, 7, 512, 4_096])
def test_lines_are_the_same_however_much_is_read_at_a_time(
    log: JsonlLog, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(log.read_all())

    monkeypatch.setattr("eventstore.segments._CHUNK", size)

    assert list(log.read_all()) == list(log.read("a")) == expected
    assert len(expected) == 18


def test_a_line_without_all_the_versions_that_the_index_says_is_damage(root: Path) -> None:
    with closing(sqlite3.connect(root / "_log" / "index.db")) as index, index:
        index.execute("UPDATE events SET (start, length) = (SELECT start, length FROM events WHERE version = 1)")

    with closing(JsonlLog(root)) as log:
        for backward in (False, True):
            with pytest.raises(LogCorrupt, match="of the index are not all there"):
                list(log.read("a", backward=backward))
            with pytest.raises(LogCorrupt, match="of the index is not there"):
                list(log.read_all(streams=["a"], backward=backward))
        assert len(list(log.read_all())) == 18
