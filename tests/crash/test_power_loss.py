"""The power goes before any call of any story, and again while the next process repairs what it found.

EVENTSTORE_CRASH_STATES sets how many different states of the disk are examined in all, more or less. What fails says
its seed, with which EVENTSTORE_CRASH_SEED repeats it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from eventstore.disk import Disk
from eventstore.log import Durability

from .programme import Programme
from .simulated_disk import SimulatedDisk
from .stories import STORIES, TEARS, begin, purges_without_room

CASES = [
    *((name, durability) for name in (*STORIES, *TEARS) for durability in ("full", "none")),
    ("background syncs", "batched"),
]
STATES = int(os.environ.get("EVENTSTORE_CRASH_STATES", "30000")) // len(CASES)

Record = Callable[[str, object], None]


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("EVENTSTORE_CRASH_SEED") or random.randrange(2**32))


def examine(programme: Programme, record: Record) -> None:
    programme.run()
    record("states", programme.states)
    record("calls", programme.calls)


@pytest.mark.parametrize(("name", "durability"), CASES)
def test_power_loss_before_any_call_leaves_a_prefix_with_all_that_was_durable(
    name: str, durability: Durability, seed: int, record_property: Record
) -> None:
    examine(Programme(*begin(name), durability=durability, seed=seed, limit=STATES), record_property)


@pytest.mark.parametrize(("name", "durability"), [("single appends", "none"), ("purges", "full")])
def test_an_index_that_power_loss_sets_back_never_speaks_against_its_log(
    name: str, durability: Durability, index_folder: Path, seed: int, record_property: Record
) -> None:
    story = STORIES[name]()
    start = SimulatedDisk(index_folder=index_folder)
    examine(Programme(story, start, 0, 0, durability=durability, seed=seed, limit=STATES // 8), record_property)


def test_power_loss_while_purges_are_finished_leaves_nothing_of_them(
    index_folder: Path, seed: int, record_property: Record
) -> None:
    story, left, *bounds = purges_without_room()
    start = SimulatedDisk(left.top, index_folder=index_folder)
    examine(Programme(story, start, *bounds, durability="full", seed=seed, limit=STATES // 8), record_property)


def test_a_new_store_is_durable_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    Disk(tmp_path / "new" / "store").release()
    assert synced == [(tmp_path / "new").stat().st_ino, tmp_path.stat().st_ino]
