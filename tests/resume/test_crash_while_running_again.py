"""A task runs again and changes what others were made from; the process dies at any point of it. Whatever is resumed
then never puts the new output beside one that was made from the old.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from projections import Store
from tests.stores import completed, run_of

Step = Callable[[Store], object]

AGAIN: list[Step] = [
    lambda store: store.invalidate_task("run", "a", "its source has changed"),
    lambda store: store.start_task("run", "a"),
    lambda store: store.complete_task("run", "a", "new a"),
    lambda store: store.start_task("run", "b"),
    lambda store: store.complete_task("run", "b", "b of new a"),
    lambda store: store.start_task("run", "c"),
    lambda store: store.complete_task("run", "c", "c of b of new a"),
]
OLD = {"a": "old a", "b": "b of old a", "c": "c of b of old a"}
NEW = {"a": "new a", "b": "b of new a", "c": "c of b of new a"}


@pytest.fixture
def run(store: Store) -> Store:
    """A run whose tasks a → b → c are completed."""
    run_of(store, "a")
    store.schedule_task("run", "b", depends_on=["a"])
    store.schedule_task("run", "c", depends_on=["b"])
    for task_id, output in OLD.items():
        completed(store, "run", task_id, output)
    return store


EXPECTED = [OLD, {}, {}, {"a": NEW["a"]}, {"a": NEW["a"]}, {k: NEW[k] for k in "ab"}, {k: NEW[k] for k in "ab"}, NEW]


@pytest.mark.parametrize("steps", range(len(AGAIN) + 1))
def test_after_a_crash_at_any_point_only_outputs_that_belong_together_are_left(run: Store, steps: int) -> None:
    for step in AGAIN[:steps]:
        step(run)
    for resumptions in range(3):
        assert run.get_completed_node_outputs("run") == EXPECTED[steps], f"before resumption {resumptions}"
        plan = run.resume("run").plan
        assert [task.task_id for task in plan.reusable] == list(EXPECTED[steps])
        assert run.get_completed_node_outputs("run") == EXPECTED[steps]


@pytest.mark.parametrize("steps", range(len(AGAIN) + 1))
def test_after_a_crash_at_any_point_the_run_can_be_brought_to_its_end(run: Store, steps: int) -> None:
    for step in AGAIN[:steps]:
        step(run)
    run.resume("run")
    changed = NEW if steps else OLD
    while ready := run.resume_plan("run").ready:
        completed(run, "run", ready[0], changed[ready[0]])
    assert run.get_completed_node_outputs("run") == changed


def test_the_plan_says_why_each_output_is_not_used(run: Store) -> None:
    for step in AGAIN[:4]:
        step(run)
    plan = run.resume("run").plan
    assert [(task.task_id, task.reason) for task in plan.stale] == [
        ("c", "made from an output of 'b' that is no longer there")
    ]
    assert [task.task_id for task in plan.in_doubt] == ["b"]
    assert (plan.ready, plan.blocked) == (("b",), {"c": ("b",)})


def test_a_task_that_fails_while_it_runs_again_takes_nothing_old_with_it(run: Store) -> None:
    run.invalidate_task("run", "a")
    run.start_task("run", "a")
    run.fail_task("run", "a", "no")
    run.fail_run("run", "a failed")
    assert run.resume("run").plan.reusable == ()
    run.retry_task("run", "a")
    completed(run, "run", "a", "old a")
    assert run.get_completed_node_outputs("run") == OLD


def test_in_a_failed_run_what_was_completed_is_kept(run: Store) -> None:
    run.schedule_task("run", "d", depends_on=["c"])
    run.start_task("run", "d")
    run.fail_task("run", "d", "no")
    run.fail_run("run", "d failed")
    plan = run.resume("run").plan
    assert [task.task_id for task in plan.reusable] == ["a", "b", "c"]
    assert (plan.failed, plan.ready) == (("d",), ())
    run.retry_task("run", "d")
    assert run.resume_plan("run").ready == ("d",)
