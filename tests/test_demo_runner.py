"""The demo's runner is fit to be copied: it survives crashes, rescuers, zombies and its own tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import ClaimHeld, Conflict, Fenced
from projections import Store, open_store
from projections.demo.runner import Call, Runner, Step, TaskFailed, Workflow
from tests.stores import ONE_OF_EACH, address_of


@pytest.fixture(params=ONE_OF_EACH)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(address_of(str(request.param), tmp_path / "store"), durability="none") as opened:
        yield opened


class Calls:
    """A chain of tasks `a`, `b`, `c` that adds a letter each, and counts how often each is called."""

    def __init__(self, **instead: Call) -> None:
        self.count: Counter[str] = Counter()
        self._instead = instead

    @property
    def workflow(self) -> Workflow:
        return Workflow("chain", (self._step("a"), self._step("b", "a"), self._step("c", "b")), "c")

    def _step(self, id: str, *needed: str) -> Step:
        def call(inputs: Mapping[str, Any], attempt: int) -> object:
            self.count[id] += 1
            return self._instead[id](inputs, attempt) if id in self._instead else "".join(inputs.values()) + id

        return Step(id, call, needed)


def fails(_inputs: Mapping[str, Any], _attempt: int) -> object:
    raise ValueError("no")


def test_a_completed_run_gives_its_output_again_without_running_anything(store: Store) -> None:
    chain = Calls()
    assert Runner(store, "one").run(chain.workflow, "r") == "abc"
    assert Runner(store, "two").run(chain.workflow, "r") == "abc"
    assert chain.count == {"a": 1, "b": 1, "c": 1}


def test_a_task_that_keeps_failing_fails_the_run_which_can_be_run_again(store: Store) -> None:
    failing = Calls(b=fails)
    with pytest.raises(TaskFailed, match="'b' has failed 3 times: no"):
        Runner(store, "one").run(failing.workflow, "r")
    run = store.get_run("r")
    assert run is not None
    assert run.status == "failed"
    assert failing.count == {"a": 1, "b": 3}
    mended = Calls()
    assert Runner(store, "two").run(mended.workflow, "r") == "abc"
    assert mended.count == {"b": 1, "c": 1}


def test_an_output_that_cannot_be_kept_is_a_failure_of_its_task(store: Store) -> None:
    with pytest.raises(TaskFailed, match="not a JSON number"):
        Runner(store, "one", tries=1).run(Calls(a=lambda _inputs, _attempt: float("nan")).workflow, "r")
    assert [attempt.status for attempt in store.list_attempts("r")] == ["failed"]


def test_a_runner_that_was_superseded_stops_and_adds_nothing(store: Store) -> None:
    def taken_over(_inputs: Mapping[str, Any], _attempt: int) -> object:
        return store.resume("r", worker="rescuer", force=True).epoch

    with pytest.raises(Fenced):
        Runner(store, "zombie").run(Calls(b=taken_over).workflow, "r")
    assert store.get_completed_node_outputs("r") == {"a": "a"}
    run = store.get_run("r")
    assert run is not None
    assert (run.status, run.worker) == ("running", "rescuer")


def test_a_run_whose_process_may_be_alive_is_taken_over_only_by_force(store: Store) -> None:
    chain = Calls()
    store.create_run("chain", run_id="r", workflow_hash=chain.workflow.hash)
    store.start_run("r", worker="alive", lease=60)
    with pytest.raises(ClaimHeld):
        Runner(store, "eager").run(chain.workflow, "r")
    assert Runner(store, "knowing").run(chain.workflow, "r", force=True) == "abc"


def test_a_run_is_not_continued_with_another_workflow(store: Store) -> None:
    with pytest.raises(TaskFailed):
        Runner(store, "one").run(Calls(b=fails).workflow, "r")
    shorter = Workflow("chain", Calls().workflow.steps[:2], "b")
    with pytest.raises(Conflict, match="other content"):
        Runner(store, "two").run(shorter, "r")


def test_what_was_made_from_an_output_that_comes_out_the_same_again_is_not_made_again(store: Store) -> None:
    with pytest.raises(TaskFailed):
        Runner(store, "one").run(Calls(c=fails).workflow, "r")
    epoch = store.resume("r").epoch
    store.invalidate_task("r", "a", epoch=epoch)
    chain = Calls()
    assert Runner(store, "two").run(chain.workflow, "r") == "abc"
    assert chain.count == {"a": 1, "c": 1}
