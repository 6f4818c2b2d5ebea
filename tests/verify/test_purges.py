"""A purge that was interrupted is no damage, at whatever step, and verification says that it is not done."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from eventstore.disk import Disk
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, NewEvent
from projections import open_store

from .example import check, codes, segments


class Photographer(Disk):
    """Keeps a copy of the store as it is before and after each renaming."""

    def __init__(self, root: Path, copies: Path) -> None:
        super().__init__(root)
        self._copies, self.taken = copies, list[Path]()

    def rename(self, old: str, new: str) -> None:
        self._take()
        super().rename(old, new)
        self._take()

    def _take(self) -> None:
        self.taken.append(Path(shutil.copytree(self.root, self._copies / str(len(self.taken)))))


@pytest.fixture
def interrupted(tmp_path: Path) -> list[Path]:
    """Stores in which a purge of a stream in three segments has come to every step."""
    folder = tmp_path / "store"
    with open_store(folder, durability="none") as store:
        store.create_run("flow", run_id="secret", user_message="the word is swordfish")
        store.create_run("flow", run_id="other")
    for _ in range(2):
        with closing(JsonlLog(folder, segment_bytes=1)) as log:
            log.append([Append("secret", [NewEvent(type="a.b", data=b'"swordfish"')])])
            log.append([Append("other", [NewEvent(type="a.b", data=b"{}")])])
    open_store(folder).close()
    disk = Photographer(folder, tmp_path / "copies")
    with closing(JsonlLog(folder, disk=disk)) as log:
        assert log.purge("secret").events == 3
    assert codes(check(folder)) == {"info view-behind"}
    return disk.taken


def holds_secrets(folder: Path) -> bool:
    return any(b"swordfish" in segment.read_bytes() for segment in segments(folder))


def test_an_interrupted_purge_is_no_damage_and_is_told(interrupted: list[Path]) -> None:
    assert len(interrupted) == 6
    for folder in interrupted:
        expected = {"info view-behind", "info purge-unfinished"} if holds_secrets(folder) else {"info view-behind"}
        assert codes(check(folder)) == expected
    assert [holds_secrets(folder) for folder in interrupted] == [True] * 5 + [False]


def test_the_next_opening_finishes_the_purge(interrupted: list[Path]) -> None:
    for folder in interrupted:
        open_store(folder).close()
        assert check(folder).findings == ()
        assert not any(b"swordfish" in path.read_bytes() for path in folder.rglob("*") if path.is_file())
