"""What a run goes on from: what can be reused, what is stale and why, and what may start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import LogCorrupt, NotFound
from eventstore.events import TaskRunCompleted, TaskRunStarted
from eventstore.log import Append
from projections import Plan, Store, Task
from projections.resume import InDoubt, Reusable, Stale, Waiting, plan, stale_outputs
from projections.rows import Attempt, Output, Run, TaskRun
from tests.stores import Clock, completed, files_in, open_again, run_of, tables_of


@pytest.fixture
def diamond(store: Store) -> Store:
    """A run with the tasks a → b, c → d, all completed."""
    run_of(store)
    store.schedule_tasks("run", [Task("a"), Task("b", depends_on=["a"]), Task("c", depends_on=["a"])])
    store.schedule_tasks("run", [Task("d", depends_on=["b", "c"])])
    for task_id in "abcd":
        completed(store, "run", task_id, f"first {task_id}")
    return store


def reusable(plan: Plan) -> list[str]:
    return [task.task_id for task in plan.reusable]


def test_everything_completed_is_reusable_in_the_order_of_completion(diamond: Store) -> None:
    plan = diamond.resume_plan("run")
    assert reusable(plan) == ["a", "b", "c", "d"]
    assert (plan.stale, plan.ready, plan.blocked, plan.in_doubt) == ((), (), {}, ())
    outputs = {output.task_id: output for output in diamond.list_outputs("run")}
    assert plan.reusable[0] == Reusable("a", outputs["a"].digest, outputs["a"].version)
    assert list(diamond.get_completed_node_outputs("run").items()) == [(id, f"first {id}") for id in "abcd"]


def test_a_completion_says_which_outputs_it_was_made_from(diamond: Store) -> None:
    outputs = {output.task_id: output for output in diamond.list_outputs("run")}
    assert outputs["d"].consumed == {"b": outputs["b"].digest, "c": outputs["c"].digest}
    assert outputs["a"].consumed is None
    attempts = {attempt.task_id: attempt.consumes for attempt in diamond.list_attempts("run")}
    assert attempts["d"] == outputs["d"].consumed


def test_what_was_made_from_an_invalidated_output_is_stale_all_the_way_down(diamond: Store) -> None:
    diamond.invalidate_task("run", "b")
    plan = diamond.resume_plan("run")
    assert reusable(plan) == ["a", "c"]
    assert plan.stale == (Stale("d", "made from an output of 'b' that is no longer there"),)
    assert (plan.ready, plan.blocked) == (("b",), {"d": ("b",)})
    assert list(diamond.get_completed_node_outputs("run")) == ["a", "c"]


@pytest.mark.parametrize(
    "supersede",
    [
        lambda store: store.invalidate_task("run", "a"),
        lambda store: (store.invalidate_task("run", "a"), store.start_task("run", "a")),
        lambda store: (
            store.invalidate_task("run", "a"),
            store.start_task("run", "a"),
            store.fail_task("run", "a", "no"),
        ),
        lambda store: (
            store.invalidate_task("run", "a"),
            store.start_task("run", "a"),
            store.fail_task("run", "a", "no"),
            store.retry_task("run", "a"),
        ),
        lambda store: (store.invalidate_task("run", "a"), store.cancel_task("run", "a")),
    ],
    ids=["invalidated", "started again", "failed", "to be retried", "cancelled"],
)
def test_nothing_is_reusable_below_an_output_that_is_superseded(
    diamond: Store, supersede: Callable[[Store], object]
) -> None:
    supersede(diamond)
    plan = diamond.resume_plan("run")
    assert reusable(plan) == []
    assert [task.task_id for task in plan.stale] == ["b", "c", "d"]
    assert diamond.get_completed_node_outputs("run") == {}


def test_the_same_bytes_again_leave_what_was_made_from_them_reusable(diamond: Store) -> None:
    diamond.invalidate_task("run", "a")
    completed(diamond, "run", "a", "first a")
    assert reusable(diamond.resume_plan("run")) == ["b", "c", "d", "a"]


def test_other_bytes_make_what_was_made_from_the_old_ones_stale(diamond: Store) -> None:
    diamond.invalidate_task("run", "a")
    completed(diamond, "run", "a", "second a")
    plan = diamond.resume_plan("run")
    assert reusable(plan) == ["a"]
    assert plan.stale == (
        Stale("b", "made from another output of 'a'"),
        Stale("c", "made from another output of 'a'"),
        Stale("d", "made from the output of 'c', which is stale"),
    )
    assert (plan.ready, plan.blocked) == (("b", "c"), {"d": ("b", "c")})


def test_stale_tasks_that_run_again_make_the_run_whole_again(diamond: Store) -> None:
    diamond.invalidate_task("run", "a")
    for task_id in "abcd":
        completed(diamond, "run", task_id, f"second {task_id}")
    assert list(diamond.get_completed_node_outputs("run").values()) == [f"second {task_id}" for task_id in "abcd"]


def test_what_was_made_without_a_skipped_output_is_stale_once_there_is_one(store: Store) -> None:
    run_of(store, "a")
    store.schedule_task("run", "b", depends_on=["a"])
    store.skip_task("run", "a")
    assert store.resume_plan("run").ready == ("b",)
    completed(store, "run", "b", "made without a")
    assert reusable(store.resume_plan("run")) == ["b"]
    store.invalidate_task("run", "a")
    completed(store, "run", "a", 1)
    plan = store.resume_plan("run")
    assert plan.stale == (Stale("b", "made without an output of 'a', which has one now"),)
    assert plan.ready == ("b",)
    assert store.start_task("run", "b").attempt == 2


def test_what_is_given_as_consumed_counts_instead_of_the_dependencies(store: Store) -> None:
    run_of(store, "a")
    store.schedule_task("run", "b", depends_on=["a"])
    completed(store, "run", "a", 1)
    store.start_task("run", "b", consumes={"a": "of another run"})
    store.complete_task("run", "b", 2)
    assert store.resume_plan("run").stale == (Stale("b", "made from another output of 'a'"),)


def test_what_may_start_has_all_it_needs_reusable_or_skipped(store: Store) -> None:
    run_of(store, "done", "skipped", "pending", "failed", "running")
    completed(store, "run", "done")
    store.skip_task("run", "skipped")
    for task_id in ("failed", "running"):
        store.start_task("run", task_id)
    store.fail_task("run", "failed", "no")
    store.schedule_tasks(
        "run", [Task("free", depends_on=["done", "skipped"]), Task("bound", depends_on=["done", "failed"])]
    )
    store.schedule_tasks("run", [Task("far", depends_on=["bound", "pending"]), Task("lost", depends_on=["nowhere"])])
    plan = store.resume_plan("run")
    assert plan.ready == ("pending", "free")
    assert plan.blocked == {"bound": ("failed",), "far": ("bound", "pending"), "lost": ("nowhere",)}
    assert plan.failed == ("failed",)


def test_an_attempt_that_never_ended_is_in_doubt_and_closed_by_resuming(store: Store) -> None:
    run_of(store, "a", "b")
    started = store.start_task("run", "a", worker="lost")
    doubt = InDoubt("a", 1, "lost", started.started_at)
    assert store.resume_plan("run").in_doubt == (doubt,)
    resumption = store.resume("run", worker="rescuer")
    assert resumption.plan.in_doubt == (doubt,)
    assert resumption.plan.ready == ("a", "b")
    (attempt,) = store.list_attempts("run")
    assert (attempt.status, attempt.reason) == ("interrupted", "the run was resumed by 'rescuer'")
    assert store.start_task("run", "a").attempt == 2
    assert store.resume("run").plan.in_doubt[0].attempt == 2


def test_a_task_in_doubt_that_ends_is_in_doubt_no_more(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.resume("run")
    completed(store, "run", "a")
    assert store.resume_plan("run").in_doubt == ()


def test_a_retry_waits_until_it_is_due(store: Store, clock: Clock) -> None:
    run_of(store, "a", "b")
    for task_id in ("a", "b"):
        store.start_task("run", task_id)
        store.fail_task("run", task_id, "no")
    assert store.resume_plan("run").failed == ("a", "b")
    waiting = store.retry_task("run", "a", reason="rate limit", delay=3600)
    store.retry_task("run", "b")
    plan = store.resume_plan("run")
    assert plan.waiting == (Waiting("a", "rate limit", waiting.due),)
    assert (plan.ready, plan.failed) == (("b",), ())
    clock.time += timedelta(hours=2)
    assert store.resume_plan("run").ready == ("a", "b")


def test_totals_count_every_attempt_once_however_often_the_run_is_resumed(store: Store) -> None:
    run_of(store, "a", "b")
    store.start_task("run", "a")
    store.fail_task("run", "a", "no", usage={"tokens": 10, "cost": 0.5})
    store.retry_task("run", "a")
    store.start_task("run", "a")
    store.complete_task("run", "a", usage={"tokens": 7})
    for _ in range(3):
        store.start_task("run", "b")
        totals = store.resume("run").plan.totals
    assert totals.attempts == {"failed": 1, "completed": 1, "interrupted": 3}
    assert totals.usage == {"tokens": 17, "cost": 0.5}


def test_a_plan_changes_nothing_and_is_the_same_every_time(store: Store, folder: Path, clock: Clock) -> None:
    clock.step = timedelta(0)
    run_of(store, "a", "b", "c")
    completed(store, "run", "a")
    store.start_task("run", "b")
    before = store.log.head(), tables_of(store), files_in(folder)
    first = store.resume_plan("run")
    assert store.resume_plan("run") == first
    assert (store.log.head(), tables_of(store), files_in(folder)) == before


def test_a_plan_is_asked_of_a_run_there_is(store: Store) -> None:
    for ask in (store.resume_plan, store.get_completed_node_outputs, store.resume):
        with pytest.raises(NotFound, match="no run 'run'"):
            ask("run")


def test_a_run_without_completions_has_no_outputs(store: Store) -> None:
    run_of(store, "a")
    assert store.get_completed_node_outputs("run") == {}


def test_outputs_are_found_without_reading_the_events(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_of(store, "a")
    completed(store, "run", "a", 1)

    def forbidden(*args: Any, **more: Any) -> Any:
        raise AssertionError("the events were read")

    monkeypatch.setattr(store.log, "read", forbidden)
    monkeypatch.setattr(store.log, "read_all", forbidden)
    assert store.get_completed_node_outputs("run") == {"a": 1}


def test_large_outputs_survive_until_the_resumption(lasting: str) -> None:
    with open_again(lasting, threshold=100) as store:
        run_of(store, "large", "next")
        completed(store, "run", "large", list(range(10_000)))
        store.start_task("run", "next")
    with open_again(lasting) as store:
        store.resume("run")
        assert store.get_completed_node_outputs("run") == {"large": list(range(10_000))}


def test_a_damaged_log_is_an_error_and_never_a_run_without_outputs(folder: Path) -> None:
    with open_again(folder) as store:
        run_of(store, "a", "b")
        completed(store, "run", "a", "precious")
        completed(store, "run", "b")
    (segment,) = (folder / "_log").glob("0*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b'"precious"', b'"preciouS"', 1))
    for disposable in [folder / "_views.db", *(folder / "_log").glob("index.db*")]:
        disposable.unlink()
    with pytest.raises(LogCorrupt):
        open_again(folder)


LENGTH = 50_000


def chain(first: str) -> tuple[list[TaskRun], list[Output]]:
    """A chain of completed tasks, each made from an output "same" of the one before; the first has this output."""
    tasks, outputs = [], []
    for number, before in enumerate([None, *range(LENGTH - 1)]):
        consumed = {} if before is None else {str(before): "same"}
        tasks.append(TaskRun(run_id="run", task_id=str(number), status="completed", depends_on=tuple(consumed)))
        digest = "same" if number else first
        outputs.append(Output(run_id="run", task_id=str(number), digest=digest, consumed=consumed, version=number))
    return tasks, outputs


def test_a_chain_of_any_length_is_planned() -> None:
    tasks, outputs = chain("same")
    made = plan(Run(id="run"), tasks, outputs, [Attempt(run_id="run", task_id="0", attempt=1)], Clock()())
    assert len(made.reusable) == LENGTH
    tasks, outputs = chain("changed")
    made = plan(Run(id="run"), tasks, outputs, [], Clock()())
    assert [task.task_id for task in made.reusable] == ["0"]
    assert len(made.stale) == LENGTH - 1
    assert (made.ready, len(made.blocked)) == (("1",), LENGTH - 2)


def test_outputs_that_claim_to_be_made_from_each_other_are_judged_without_end() -> None:
    circle = [
        Output(run_id="run", task_id="a", digest="A", consumed={"b": "B"}),
        Output(run_id="run", task_id="b", digest="B", consumed={"a": "A", "c": "C"}),
    ]
    assert list(stale_outputs(circle)) == ["a", "b"]
    assert stale_outputs([*circle, Output(run_id="run", task_id="c", digest="C")]) == {}


def test_events_of_a_foreign_engine_are_judged_alike(store: Store) -> None:
    run_of(store, "a", "b")
    old, new = store.values.keep("old"), store.values.keep("new")
    events = [
        TaskRunStarted("a", 1),
        TaskRunCompleted("a", 1, old),
        TaskRunStarted("b", 1, consumes={"a": old.digest}),
        TaskRunStarted("a", 2),
        TaskRunCompleted("a", 2, new),
        TaskRunCompleted("b", 1, old, {"a": old.digest}),
    ]
    store.log.append([Append("run", [store.codec.encode(event) for event in events])])
    assert store.get_completed_node_outputs("run") == {"a": "new"}
