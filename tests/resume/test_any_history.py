"""Whatever has happened to a run, its plan is what the rules say, worked out again from its events in a plain way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import Conflict
from eventstore.events import (
    TaskRunCancelled,
    TaskRunCompleted,
    TaskRunFailed,
    TaskRunInvalidated,
    TaskRunRetryScheduled,
    TaskRunSkipped,
    TaskRunStarted,
    TaskRunWaiting,
)
from eventstore.log import Append, Appended
from projections import Plan, Store, open_store
from projections.resume import plan as plan_of
from tests.resume.dags import Dag, begin, dags, drive, outputs_of
from tests.stores import LASTING, Clock, address_of, examples

SUPERSEDES = (
    TaskRunStarted,
    TaskRunFailed,
    TaskRunRetryScheduled,
    TaskRunSkipped,
    TaskRunCancelled,
    TaskRunInvalidated,
)


class Judge:
    """Says from the events alone which completions count, and why; slow and plain."""

    def __init__(self, store: Store) -> None:
        self.completions: dict[str, TaskRunCompleted] = {}
        self.skipped: set[str] = set()
        self.waiting: set[str] = set()
        for recorded in store.log.read("run"):
            event = store.codec.decode(recorded)
            if isinstance(event, SUPERSEDES):
                self.completions.pop(event.task_id, None)
                self.skipped.discard(event.task_id)
            if isinstance(event, TaskRunSkipped):
                self.skipped.add(event.task_id)
            if isinstance(event, TaskRunCompleted):
                self.completions.pop(event.task_id, None)
                self.completions[event.task_id] = event
            if isinstance(event, (*SUPERSEDES, TaskRunCompleted)):
                self.waiting.discard(event.task_id)
            if isinstance(event, TaskRunWaiting):
                self.waiting.add(event.task_id)

    def reusable(self, task_id: str) -> bool:
        completion = self.completions.get(task_id)
        return completion is not None and all(
            self.holds(needed, digest) for needed, digest in completion.consumed.items()
        )

    def holds(self, needed: str, digest: str) -> bool:
        """Whether what was used of a dependency is what would be used of it now."""
        if needed not in self.completions:
            return digest == ""
        return digest == self.completions[needed].output.digest and self.reusable(needed)


class Step(NamedTuple):
    command: Callable[[Store, str, int], object]
    task: int
    choice: int


def complete(store: Store, task_id: str, choice: int) -> object:
    store.start_task("run", task_id)
    return store.complete_task("run", task_id, choice, usage={"tokens": 10.0 ** (16 * choice)})


def fail(store: Store, task_id: str, choice: int) -> object:
    store.start_task("run", task_id)
    store.fail_task("run", task_id, "no")
    return store.retry_task("run", task_id) if choice else None


COMMANDS: tuple[Callable[[Store, str, int], object], ...] = (
    complete,
    complete,
    complete,
    fail,
    lambda store, task_id, choice: store.start_task("run", task_id),
    lambda store, task_id, choice: store.complete_task("run", task_id, choice),
    lambda store, task_id, choice: store.invalidate_task("run", task_id),
    lambda store, task_id, choice: store.invalidate_task("run", task_id),
    lambda store, task_id, choice: store.skip_task("run", task_id),
    lambda store, task_id, choice: store.reuse_task("run", task_id),
    lambda store, task_id, choice: store.resume("run"),
    lambda store, task_id, choice: store.wait_task("run", task_id, "a decision"),
    lambda store, task_id, choice: store.approve_task("run", task_id, choice),
    lambda store, task_id, choice: store.reject_task("run", task_id),
)
steps = st.lists(
    st.builds(Step, st.sampled_from(COMMANDS), st.integers(0, 5), st.integers(0, 1)), min_size=8, max_size=40
)


def take(store: Store, dag: Dag, history: list[Step]) -> Iterator[None]:
    """Give the commands, whatever comes of each."""
    begin(store, dag)
    for step in history:
        with contextlib.suppress(Conflict):
            step.command(store, list(dag)[step.task % len(dag)], step.choice)
        yield


@examples(2)
@given(dag=dags(), history=steps)
def test_a_plan_is_what_the_rules_say(dag: Dag, history: list[Step]) -> None:
    check_plan("memory:", dag, history)


@pytest.mark.parametrize("backend", LASTING)
@examples(0.06)
@given(dag=dags(), history=steps)
def test_a_plan_is_what_the_rules_say_wherever_the_run_is_kept(
    dag: Dag, history: list[Step], backend: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_plan(address_of(backend, tmp_path_factory.mktemp("any", numbered=True)), dag, history)


def check_plan(address: str, dag: Dag, history: list[Step]) -> None:
    with open_store(address, durability="none", clock=Clock()) as store:
        for _ in take(store, dag, history):
            judge = Judge(store)
        plan = store.resume_plan("run")
        assert plan == plan_of_all_rows(store)
        assert [task.task_id for task in plan.reusable] == [id for id in judge.completions if judge.reusable(id)]
        assert [task.task_id for task in plan.stale] == [id for id in judge.completions if not judge.reusable(id)]
        assert list(store.get_completed_node_outputs("run")) == [task.task_id for task in plan.reusable]
        settled = {task.task_id for task in plan.reusable} | judge.skipped
        for task in store.list_task_runs("run"):
            due = task.status == "pending" or task.task_id in {stale.task_id for stale in plan.stale}
            due |= task.status == "waiting" and task.waiting_since is None
            missing = tuple(needed for needed in task.depends_on or () if needed not in settled)
            assert (task.task_id in plan.ready) == (due and not missing)
            assert plan.blocked.get(task.task_id, ()) == (missing if due else ())
        assert {waiting.task_id for waiting in plan.waiting} == judge.waiting
        assert {doubt.task_id for doubt in plan.in_doubt} == {
            task.task_id for task in store.list_task_runs("run") if last_attempt_never_ended(store, task.task_id)
        }


def plan_of_all_rows(store: Store) -> Plan:
    """Reading a plan leaves out rows that it says nothing about."""
    run = store.get_run("run")
    assert run is not None
    tasks, outputs, attempts = store.list_task_runs("run"), store.list_outputs("run"), store.list_attempts("run")
    return plan_of(run, tasks, outputs, attempts, Clock()())


def last_attempt_never_ended(store: Store, task_id: str) -> bool:
    attempts = store.list_attempts("run", task_id)
    task = store.get_task_run("run", task_id)
    assert task is not None
    return (
        bool(attempts) and attempts[-1].status in ("running", "interrupted") and task.status in ("running", "pending")
    )


@examples(0.5)
@given(dag=dags(), history=steps)
def test_a_plan_is_a_function_of_the_events_alone(dag: Dag, history: list[Step]) -> None:
    with open_store("memory:", clock=Clock()) as store, open_store("memory:", clock=Clock()) as other:
        for _ in take(store, dag, history):
            pass
        head = store.log.head()
        plan = store.resume_plan("run")
        assert store.resume_plan("run") == plan
        assert store.log.head() == head
        other.log.append(
            [Append("run", [store.codec.encode(store.codec.decode(event)) for event in store.log.read("run")])]
        )
        copied = other.resume_plan("run")
        assert (copied.reusable, copied.stale, copied.ready, copied.blocked, copied.totals) == (
            plan.reusable,
            plan.stale,
            plan.ready,
            plan.blocked,
            plan.totals,
        )


class Died(Exception):
    """The engine's process is no more."""


class MortalLog:
    """Lets an engine append so many times, and then never again: before or after the append that is its last."""

    def __init__(self, store: Store, appends: int, after: bool) -> None:
        self._append, self._left, self._after = store.log.append, appends, after

    def __call__(self, commit: Any, **more: Any) -> Appended:
        if self._left == 0 and not self._after:
            raise Died
        appended = self._append(commit, **more)
        if self._left == 0:
            raise Died
        self._left -= 1
        return appended


class Life(NamedTuple):
    """How an engine ends: after how many appends; and which tasks' sources have changed before it began."""

    appends: int
    after: bool
    changed: set[int]


IMMORTAL = Life(10**9, False, set())
lives = st.lists(st.builds(Life, st.integers(0, 12), st.booleans(), st.sets(st.integers(0, 5), max_size=2)), max_size=8)


@examples(1)
@given(dag=dags(), lives=lives)
def test_an_engine_that_dies_anywhere_any_number_of_times_comes_to_what_it_would_have_come_to(
    dag: Dag, lives: list[Life]
) -> None:
    check_end("memory:", dag, lives)


@pytest.mark.parametrize("backend", LASTING)
@examples(0.06)
@given(dag=dags(), lives=lives)
def test_it_comes_to_the_same_wherever_the_run_is_kept(
    dag: Dag, lives: list[Life], backend: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check_end(address_of(backend, tmp_path_factory.mktemp("any", numbered=True)), dag, lives)


def check_end(address: str, dag: Dag, lives: list[Life]) -> None:
    """Let engines live and die, and compare what the run has come to with what it comes to undisturbed."""
    sources = dict.fromkeys(dag, 0)

    def work(task_id: str, inputs: dict[str, Any]) -> object:
        return [task_id, sources[task_id] % 2, sorted(inputs.items())]

    with open_store(address, durability="none", clock=Clock()) as store, pytest.MonkeyPatch.context() as patch:
        begin(store, dag)
        for life in [*lives, IMMORTAL]:
            if status_of(store) == "completed":
                break
            for task_id in {list(dag)[number % len(dag)] for number in life.changed}:
                sources[task_id] += 1
                with contextlib.suppress(Conflict):
                    store.invalidate_task("run", task_id)
            patch.setattr(store.log, "append", MortalLog(store, life.appends, life.after))
            with contextlib.suppress(Died):
                drive(store, store.resume("run"), work)
            patch.undo()
            used_together(store)
        run = store.get_run("run")
        assert run is not None
        assert run.output is not None
        assert store.load(run.output) == json_of(outputs_of(dag, work))


def status_of(store: Store) -> str | None:
    run = store.get_run("run")
    return None if run is None else run.status


def used_together(store: Store) -> None:
    """Every output that would be used was made from the outputs that would be used beside it."""
    outputs = store.get_completed_node_outputs("run")
    for output in outputs.values():
        for needed, value in output[2]:
            assert outputs[needed] == value


def json_of(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: json_of(inner) for key, inner in value.items()}
    return [json_of(inner) for inner in value] if isinstance(value, list | tuple) else value
