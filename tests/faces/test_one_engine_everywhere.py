"""An engine that holds one of the three interfaces moves to another backend by its address, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest

from eventstore.log import RecordedEvent
from projections import StateStore, TaskStore, WorkflowStore
from projections.face import Face
from projections.tables import Contents
from tests.stores import LASTING, Clock, address_of, check_views, tables_of

from .engines import KEEPING, NEEDS, PERSISTING, POST, REPORTING, RUN, WRITE, Lives

ENGINES: list[tuple[type[Face], Lives]] = [
    (WorkflowStore, REPORTING),
    (StateStore, KEEPING),
    (TaskStore, PERSISTING),
]
THRESHOLD = 10_000
"""The letter is larger."""


class Left(NamedTuple):
    """What an engine has left behind."""

    events: list[RecordedEvent]
    views: Contents
    blobs: list[str]
    clean: bool


@pytest.fixture
def same_ids(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Event ids that are numbered, from 1 again whenever this is called."""

    def begin() -> None:
        numbers = count(1)
        monkeypatch.setattr("eventstore.codec.new_id", lambda: UUID(int=next(numbers)))

    return begin


def live(face: type[Face], address: str, lives: Lives) -> Left:
    """Every life opens the store by its address. A store in memory has only one, in which all of them pass."""
    clock = Clock(step=timedelta(minutes=1))

    def opened() -> Face:
        return face.open(address, durability="none", threshold=THRESHOLD, clock=lambda: clock.time)

    store = opened()
    for life in lives:
        clock()
        if address != "memory:":
            store.close()
            store = opened()
        life(store)
    with store:
        check_views(store.store)
        blobs = sorted(store.store.values.blobs.digests())
        log = list(store.store.log.read_all())
        return Left(log, tables_of(store.store), blobs, store.store.verify().clean)


@pytest.mark.parametrize("kind", LASTING)
@pytest.mark.parametrize(("face", "lives"), ENGINES)
def test_an_engine_leaves_the_same_events_and_views_whatever_its_address(
    face: type[Face], lives: Lives, kind: str, tmp_path: Path, same_ids: Callable[[], None]
) -> None:
    same_ids()
    expected = live(face, "memory:", lives)
    same_ids()
    assert live(face, address_of(kind, tmp_path / "store"), lives) == expected
    assert expected.clean
    assert len(expected.blobs) == 1


@pytest.mark.parametrize(("face", "lives"), ENGINES)
def test_every_engine_comes_to_the_same_end(face: type[Face], lives: Lives) -> None:
    left = live(face, "memory:", lives)
    run = left.views["workflow_runs"][(RUN,)]
    assert (run["status"], run["workflow_name"]) == ("completed", "letters")
    tasks = {task_id: row["status"] for (_, task_id), row in left.views["task_runs"].items()}
    assert tasks.items() >= dict.fromkeys(list(NEEDS)[:3], "completed").items()
    attempts = [number for (_, task_id, number) in left.views["attempts"] if task_id == list(NEEDS)[1]]
    assert attempts == [1, 2, 3]
    assert {task_id for _, task_id in left.views["node_outputs"]} == set(list(NEEDS)[:3])
    assert left.views["node_outputs"][(RUN, POST)]["consumed"] is not None
    assert left.views["node_outputs"][(RUN, WRITE)]["consumed"] is None
