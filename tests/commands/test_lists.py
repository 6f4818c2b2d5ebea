"""Lists: in the order things came to be, filtered by what there is, and whole."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta

import pytest

from eventstore.errors import InvalidInput
from eventstore.events import RunCreated, RunDeleted
from eventstore.log import Append
from projections import Store, Task
from projections.transitions import RUN_STEPS, TASK_STEPS, Steps
from tests.stores import Clock, completed, run_of

Status = str | Collection[str] | None


def tasks_of_each_status(store: Store) -> None:
    """A run that has a task in each status, each named after it."""
    run_of(store, *TASK_STEPS)
    for task_id in ("running", "waiting", "failed", "completed"):
        store.start_task("run", task_id)
    for task_id in ("waiting", "failed"):
        store.fail_task("run", task_id, "no")
    store.retry_task("run", "waiting")
    store.complete_task("run", "completed")
    store.skip_task("run", "skipped")
    store.cancel_task("run", "cancelled")


def runs_of_each_status(store: Store) -> None:
    """A run in each status, each named after it."""
    for status in RUN_STEPS:
        store.create_run("even" if len(status) % 2 == 0 else "odd", run_id=status)
        if status != "pending":
            store.start_run(status)
    store.wait_run("waiting", "approval")
    store.complete_run("completed")
    store.fail_run("failed", "no")
    store.cancel_run("cancelled")


def task_ids(store: Store, status: Status) -> list[str]:
    return [task.task_id for task in store.list_task_runs("run", status=status)]


def run_ids(store: Store, status: Status) -> list[str]:
    return [run.id for run in store.list_runs(status=status)]


KINDS: list[tuple[Callable[[Store], None], Callable[[Store, Status], list[str]], Steps]] = [
    (tasks_of_each_status, task_ids, TASK_STEPS),
    (runs_of_each_status, run_ids, RUN_STEPS),
]


@pytest.mark.parametrize(("make", "ids", "steps"), KINDS)
def test_a_filter_takes_one_status_or_several(
    store: Store, make: Callable[[Store], None], ids: Callable[[Store, Status], list[str]], steps: Steps
) -> None:
    make(store)
    assert ids(store, None) == ids(store, tuple(steps)) == list(steps)
    for status in steps:
        assert ids(store, status) == [status]
        assert ids(store, [status]) == [status]
        assert ids(store, {status, "failed"}) == [each for each in steps if each in (status, "failed")]
    assert ids(store, []) == ids(store, ()) == []


@pytest.mark.parametrize("status", ["done", "", "Running", ["failed", "done"]])
@pytest.mark.parametrize(("make", "ids", "steps"), KINDS)
def test_an_unknown_status_is_an_error_that_names_those_there_are(
    store: Store,
    make: Callable[[Store], None],
    ids: Callable[[Store, Status], list[str]],
    steps: Steps,
    status: Status,
) -> None:
    make(store)
    with pytest.raises(ValueError, match="unknown status") as caught:
        ids(store, status)
    assert isinstance(caught.value, InvalidInput)
    assert all(known in caught.value.hint for known in steps)


def test_runs_are_listed_as_they_were_created_not_as_they_changed(store: Store) -> None:
    for run_id in ("c", "a", "b"):
        store.create_run("flow", run_id=run_id)
    store.start_run("c")
    assert [run.id for run in store.list_runs()] == ["c", "a", "b"]


def test_runs_are_filtered_by_workflow_and_status_together(store: Store) -> None:
    runs_of_each_status(store)
    assert [run.id for run in store.list_runs(workflow="even")] == ["failed"]
    assert [run.id for run in store.list_runs(workflow="odd", status=["failed", "running"])] == ["running"]
    assert store.list_runs(workflow="unknown") == []


def test_pages_of_runs_follow_on_without_gap_or_repetition(store: Store) -> None:
    for number in range(7):
        store.create_run("flow", run_id=str(number))
    seen: list[str] = []
    after = 0
    while page := store.list_runs(after=after, limit=3):
        seen += [run.id for run in page]
        after = page[-1].position
        if len(seen) == 3:
            store.create_run("flow")
    assert seen[:7] == list("0123456")
    assert len(seen) == 8
    assert store.list_runs(limit=0) == []
    with pytest.raises(ValueError, match="limit of -1"):
        store.list_runs(limit=-1)


def test_the_newest_runs_come_first_if_asked_for(store: Store, clock: Clock) -> None:
    for run_id in ("a", "b", "c", "d"):
        clock.time -= timedelta(hours=1)
        store.create_run("flow", run_id=run_id)
    newest = store.list_runs(newest_first=True, limit=2)
    assert [run.id for run in newest] == ["d", "c"]
    assert [run.id for run in store.list_runs(newest_first=True, after=newest[-1].position)] == ["b", "a"]
    assert [run.id for run in store.list_runs()] == ["a", "b", "c", "d"]


def test_children_are_listed_in_the_order_they_were_created_and_ancestors_nearest_first(store: Store) -> None:
    for run_id, parent in {"top": None, "z": "top", "a": "top", "grandchild": "a", "other": None}.items():
        store.create_run("flow", run_id=run_id, parent_run_id=parent)
    assert [run.id for run in store.list_children("top")] == ["z", "a"]
    assert [run.id for run in store.list_ancestors("grandchild")] == ["a", "top"]
    assert store.list_ancestors("a") == [store.get_run("top")]
    assert not any((store.list_ancestors("top"), store.list_children("z"), store.list_children("nobody")))
    assert store.list_ancestors("nobody") == []


def test_deleted_relatives_are_left_out_but_not_those_beyond_them(store: Store) -> None:
    for run_id, parent in {"top": None, "middle": "top", "bottom": "middle"}.items():
        store.log.append([Append(run_id, [store.codec.encode(RunCreated("flow", parent_run_id=parent))])])
    store.log.append([Append("middle", [store.codec.encode(RunDeleted())])])
    assert store.list_children("top") == []
    assert [run.id for run in store.list_children("top", include_deleted=True)] == ["middle"]
    assert [run.id for run in store.list_ancestors("bottom")] == ["top"]
    assert [run.id for run in store.list_ancestors("bottom", include_deleted=True)] == ["middle", "top"]


def test_runs_of_another_system_may_be_their_own_ancestors(store: Store) -> None:
    for run_id, parent in {"a": "b", "b": "c", "c": "a", "own": "own", "lost": "nobody"}.items():
        store.log.append([Append(run_id, [store.codec.encode(RunCreated("flow", parent_run_id=parent))])])
    assert [run.id for run in store.list_ancestors("a")] == ["b", "c"]
    assert store.list_ancestors("own") == store.list_ancestors("lost") == []


def test_tasks_are_listed_in_the_order_they_were_scheduled(store: Store) -> None:
    run_of(store, "z")
    store.schedule_tasks("run", [Task("m"), Task("a"), Task("k")])
    completed(store, "run", "k")
    assert [task.task_id for task in store.list_task_runs("run")] == ["z", "m", "a", "k"]


def test_outputs_are_listed_in_the_order_of_completion(store: Store) -> None:
    run_of(store, "a", "b", "c")
    for task_id in ("c", "a", "b"):
        completed(store, "run", task_id, task_id)
    store.invalidate_task("run", "c")
    completed(store, "run", "c", "again")
    assert list(store.get_completed_node_outputs("run").items()) == [("a", "a"), ("b", "b"), ("c", "again")]
    assert [output.task_id for output in store.list_outputs("run")] == ["a", "b", "c"]


def test_attempts_are_listed_by_number_not_by_text(store: Store) -> None:
    run_of(store, "a", "b")
    for _ in range(11):
        store.start_task("run", "a")
        store.fail_task("run", "a", "no")
        store.retry_task("run", "a")
    completed(store, "run", "b")
    assert [attempt.attempt for attempt in store.list_attempts("run", "a")] == list(range(1, 12))
    assert [(a.task_id, a.attempt) for a in store.list_attempts("run")][-2:] == [("a", 11), ("b", 1)]
    assert store.get_attempt("run", "a", 10) == store.list_attempts("run", "a")[9]
    assert store.get_attempt("run", "a", 12) is None


def test_lists_of_what_is_unknown_are_empty_and_single_things_are_none(store: Store) -> None:
    assert not any((store.list_runs(), store.list_task_runs("x"), store.list_attempts("x"), store.list_outputs("x")))
    single = (
        store.get_run("x"),
        store.get_task_run("x", "a"),
        store.get_output("x", "a"),
        store.get_attempt("x", "a", 1),
    )
    assert single == (None, None, None, None)


def test_no_list_has_a_hidden_limit(store: Store) -> None:
    run_of(store)
    store.schedule_tasks("run", [Task(str(number)) for number in range(250)])
    for number in range(250):
        store.start_task("run", str(number))
        store.create_run("flow")
    assert len(store.list_task_runs("run", status="running")) == len(store.list_attempts("run")) == 250
    assert len(store.list_runs()) == 251
    assert len(store.resume_plan("run").in_doubt) == 250


def test_tasks_of_other_runs_are_not_mixed_in(store: Store) -> None:
    for run_id in ("one", "two"):
        run_of(store, "a", run_id=run_id)
        completed(store, run_id, "a", run_id)
    assert [task.run_id for task in store.list_task_runs("one")] == ["one"]
    assert store.get_completed_node_outputs("two") == {"a": "two"}


def test_a_number_that_nothing_can_have_finds_nothing(store: Store) -> None:
    run_of(store, "a")
    completed(store, "run", "a")
    store.save_workflow("etl", {})
    assert store.get_attempt("run", "a", 10**30) is None
    assert store.get_workflow_version("etl", version=10**30) is None
