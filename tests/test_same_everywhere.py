"""An engine changes one address and nothing else: its events, their hashes and all views are the same on every backend.

Clock and event ids are the test's. What is compared is everything, positions included.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from eventstore.log import RecordedEvent
from projections import Plan, Store, Task, open_store
from projections.demo.analysis import standard_library
from projections.demo.runner import Runner, Step, Workflow
from projections.demo.show import half_way
from projections.import_wfformat import import_wfformat
from projections.tables import Contents
from tests.stores import LASTING, Clock, address_of, check_views, tables_of

TRACES = sorted((Path(__file__).parent / "data").glob("trace-*.json"))
THRESHOLD = 10_000
"""Of the outputs here, one of each run is larger."""


class Kept(NamedTuple):
    """What a program has left in a store."""

    events: list[RecordedEvent]
    views: Contents
    blobs: list[str]
    clean: bool


class Place:
    """Opens stores at an address for one process after the other. One in memory has only one life: it stays open."""

    def __init__(self, address: str) -> None:
        self.clock = Clock()
        self._address = address
        self._stays = self._opened() if address == "memory:" else None

    def _opened(self) -> Store:
        return open_store(self._address, durability="none", threshold=THRESHOLD, clock=lambda: self.clock.time)

    @contextlib.contextmanager
    def process(self) -> Iterator[Store]:
        """A store for a process that may end anywhere."""
        self.clock()
        if self._stays is not None:
            yield self._stays
            return
        with self._opened() as store:
            yield store

    def kept(self) -> Kept:
        """What is there at the end; a store in memory ends with it."""
        with self.process() as store:
            check_views(store)
            blobs = sorted(store.values.blobs.digests())
            kept = Kept(list(store.log.read_all()), tables_of(store), blobs, store.verify().clean)
        store.close()
        return kept


@pytest.fixture(autouse=True)
def same_ids(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Event ids that are numbered, from 1 again whenever this is called."""

    def begin() -> None:
        numbers = count(1)
        monkeypatch.setattr("eventstore.codec.new_id", lambda: UUID(int=next(numbers)))

    begin()
    return begin


def begin(store: Store) -> None:
    store.create_run("letters", run_id="run", input={"to": "all"}, user_message="Dear", metadata={"n": 1})
    store.start_run("run", worker="first", lease=60)
    store.schedule_tasks("run", [Task("write"), Task("fold", depends_on=["write"]), Task("post", depends_on=["fold"])])
    store.start_task("run", "write", worker="first")
    store.complete_task("run", "write", "Dear all, " * 2_000, attempt=1, usage={"tokens": 3})
    store.start_task("run", "fold", worker="first")
    store.fail_task("run", "fold", "paper jam", attempt=1)
    store.retry_task("run", "fold", reason="another sheet")
    store.start_task("run", "fold", worker="first")


def go_on(store: Store) -> None:
    """Another process takes over what the first has left in the middle of a task, and gets no further than that."""
    claim = store.acting(actor="second").resume("run", worker="second", force=True)
    assert [task.task_id for task in claim.plan.in_doubt] == ["fold"]
    store.reuse_task("run", "write", epoch=claim.epoch)
    store.start_task("run", "fold", worker="second", epoch=claim.epoch)
    store.complete_task("run", "fold", {"folds": [2, None, 1.5, "ü\u2028"]}, attempt=3, epoch=claim.epoch)
    store.wait_run("run", "the post office opens", epoch=claim.epoch)


def finish(store: Store) -> None:
    claim = store.resume("run", worker="third", force=True)
    assert store.get_completed_node_outputs("run").keys() == {"write", "fold"}
    store.start_task("run", "post", worker="third", epoch=claim.epoch)
    store.complete_task("run", "post", None, attempt=1, epoch=claim.epoch)
    store.complete_run("run", "posted", epoch=claim.epoch)


def clear_up(store: Store) -> None:
    store.create_run("letters", run_id="kept", parent_run_id="run")
    store.cancel_run("kept", "enough")
    store.delete_run("run")


LIVES: tuple[Callable[[Store], object], ...] = (begin, go_on, finish, clear_up)


def live(address: str) -> tuple[Kept, list[Plan | None]]:
    """Every process opens the store by its address, and leaves it without a word. And what the plan was then."""
    place, plans = Place(address), list[Plan | None]()
    for life in LIVES:
        with place.process() as store:
            life(store)
            plans.append(store.resume_plan("run") if store.get_run("run") else None)
    return place.kept(), plans


@pytest.mark.parametrize("kind", LASTING)
def test_an_engine_leaves_the_same_whatever_its_address(
    kind: str, tmp_path: Path, same_ids: Callable[[], None]
) -> None:
    expected = live("memory:")
    same_ids()
    assert live(address_of(kind, tmp_path / "store")) == expected
    kept, plans = expected
    assert kept.clean
    assert len(kept.events) == 25
    assert len(kept.blobs) == 1
    assert [plan.status if plan else "deleted" for plan in plans] == ["running", "waiting", "completed", "deleted"]


def imported(address: str) -> Kept:
    place = Place(address)
    for _ in range(2):
        with place.process() as store:
            for trace in TRACES:
                import_wfformat(store, trace)
    return place.kept()


@pytest.mark.parametrize("kind", LASTING)
def test_imported_traces_are_the_same_whatever_the_address(kind: str, tmp_path: Path) -> None:
    expected = imported("memory:")
    assert imported(address_of(kind, tmp_path / "store")) == expected
    assert len(expected.views["workflow_runs"]) == len(TRACES)
    assert expected.clean


@cache
def outputs_of_the_demo() -> dict[str, Any]:
    """What the tasks of the demo put out: they take seconds, and put out the same each time."""
    with open_store("memory:") as store:
        Runner(store, "undisturbed").run(standard_library(), "demo")
        return store.get_completed_node_outputs("demo")


class Killed(BaseException):
    """The process is no more."""


def known(step: Step, victim: str = "") -> Step:
    """The step as it comes out each time; `graph` fails once, as it does in the demo, and the victim is killed."""
    output = outputs_of_the_demo()[step.id]

    def call(_inputs: Mapping[str, Any], attempt: int) -> object:
        if step.id == victim:
            raise Killed
        if step.id == "graph" and attempt == 1:
            raise ValueError("too large")
        return output

    return Step(step.id, call, step.depends_on)


def demonstrated(address: str) -> Kept:
    workflow = standard_library()
    place = Place(address)
    for victim, force in ((half_way(workflow), False), ("", True)):
        steps = tuple(known(step, victim) for step in workflow.steps)
        with contextlib.suppress(Killed), place.process() as store:
            Runner(store, f"before {victim}").run(Workflow(workflow.name, steps, workflow.result), "demo", force=force)
    return place.kept()


@pytest.mark.parametrize("kind", LASTING)
def test_the_demo_leaves_the_same_whatever_the_address(kind: str, tmp_path: Path, same_ids: Callable[[], None]) -> None:
    outputs_of_the_demo()
    same_ids()
    expected = demonstrated("memory:")
    same_ids()
    assert demonstrated(address_of(kind, tmp_path / "store")) == expected
    assert expected.clean
    assert expected.views["workflow_runs"][("demo",)]["status"] == "completed"
    assert len(expected.blobs) == 1
