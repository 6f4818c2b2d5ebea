"""A task run again, with all that was made from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eventstore.errors import Fenced, InvalidTransition, NotFound
from projections import Store, Task, TaskRun
from tests.stores import check_views, completed, run_of

DIAMOND = [
    Task("fetch"),
    Task("left", depends_on=["fetch"]),
    Task("right", depends_on=["fetch"]),
    Task("join", depends_on=["left", "right"]),
    Task("apart"),
]


def diamond(store: Store) -> None:
    """A run all of whose tasks have completed."""
    run_of(store)
    store.schedule_tasks("run", DIAMOND)
    for task in DIAMOND:
        completed(store, "run", task.id, task.id)


def task_of(store: Store, task_id: str) -> TaskRun:
    task = store.get_task_run("run", task_id)
    assert task is not None
    return task


def test_a_task_and_all_that_was_made_from_it_run_again(store: Store) -> None:
    diamond(store)
    again = store.rerun_from("run", "left")
    assert [(task.task_id, task.status) for task in again] == [("left", "pending"), ("join", "pending")]
    plan = store.resume_plan("run")
    assert [task.task_id for task in plan.reusable] == ["fetch", "right", "apart"]
    assert (plan.ready, plan.blocked, plan.stale) == (("left",), {"join": ("left",)}, ())
    completed(store, "run", "left", "left")
    assert store.resume_plan("run").ready == ("join",)
    check_views(store)


def test_it_is_one_commit_that_says_who_and_why(store: Store) -> None:
    diamond(store)
    version = store.log.version("run")
    store.acting(actor="ada").rerun_from("run", "right", reason="wrong source")
    events = list(store.log.read("run", after=version))
    assert [event.type for event in events] == ["taskRunInvalidated"] * 2
    assert {event.commit for event in events} == {events[0].commit}
    assert {event.meta["actor"] for event in events} == {"ada"}
    assert task_of(store, "right").reason == "wrong source"
    assert task_of(store, "join").reason == "depends on 'right', which is to run again: wrong source"
    assert [(each.version, each.actor) for each in store.explain("run", "join").events][-1] == (version + 2, "ada")


def test_to_invalidate_a_task_alone_leaves_what_was_made_from_the_same_bytes(store: Store) -> None:
    diamond(store)
    store.invalidate_task("run", "left")
    completed(store, "run", "left", "left")
    assert len(store.resume_plan("run").reusable) == len(DIAMOND)


def test_repeating_it_changes_nothing(store: Store) -> None:
    diamond(store)
    store.rerun_from("run", "fetch")
    head = store.log.head()
    assert store.rerun_from("run", "fetch") == []
    assert store.log.head() == head


def test_what_was_made_from_an_output_without_depending_on_it_runs_again_too(store: Store) -> None:
    run_of(store, "a", "b")
    completed(store, "run", "a", 1)
    digest = store.list_outputs("run")[0].digest
    store.start_task("run", "b", consumes={"a": digest})
    store.complete_task("run", "b", 2)
    assert [task.task_id for task in store.rerun_from("run", "a")] == ["a", "b"]


def test_a_chain_of_any_length_runs_again(store: Store) -> None:
    run_of(store)
    names = [str(number) for number in range(1500)]
    store.schedule_tasks("run", [Task(n, depends_on=[str(int(n) - 1)] if n != "0" else []) for n in names])
    for name in names[-2:]:
        store.skip_task("run", name)
    assert [task.task_id for task in store.rerun_from("run", "0")] == names[-2:]


def test_each_task_below_runs_again_as_its_status_allows(store: Store) -> None:
    run_of(store, "a")
    for task_id in ("skipped", "failed", "cancelled", "pending", "waiting"):
        store.schedule_task("run", task_id, depends_on=["a"])
    completed(store, "run", "a")
    store.skip_task("run", "skipped")
    store.cancel_task("run", "cancelled")
    for task_id in ("failed", "waiting"):
        store.start_task("run", task_id)
        store.fail_task("run", task_id, "no")
    store.retry_task("run", "waiting", reason="later")
    again = store.rerun_from("run", "a", reason="why")
    assert {task.task_id: task.status for task in again} == {"a": "pending", "skipped": "pending", "failed": "waiting"}
    assert task_of(store, "cancelled").status == "cancelled"
    assert task_of(store, "waiting").reason == "later"
    assert [task.status for task in store.rerun_from("run", "cancelled")] == ["pending"]
    check_views(store)


def test_a_task_that_failed_can_be_where_it_begins(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.fail_task("run", "a", "no")
    assert [(task.status, task.reason) for task in store.rerun_from("run", "a", reason="mended")] == [
        ("waiting", "mended")
    ]


@pytest.mark.parametrize("running", ["left", "join"])
def test_nothing_changes_while_one_of_the_tasks_is_running(store: Store, running: str) -> None:
    diamond(store)
    store.invalidate_task("run", running)
    store.start_task("run", running)
    head = store.log.head()
    with pytest.raises(InvalidTransition, match=f"task '{running}' is running"):
        store.rerun_from("run", "left")
    assert store.log.head() == head
    store.fail_task("run", running, "no")
    assert len(store.rerun_from("run", "left")) == 2


@pytest.mark.parametrize(
    "end", [lambda store: store.complete_run("run"), lambda store: store.cancel_run("run")], ids=["complete", "cancel"]
)
@pytest.mark.parametrize(
    "act",
    [lambda store: store.rerun_from("run", "left"), lambda store: store.invalidate_task("run", "left")],
    ids=["rerun", "invalidate"],
)
def test_a_run_that_is_over_for_good_says_so(
    store: Store, end: Callable[[Store], object], act: Callable[[Store], object]
) -> None:
    diamond(store)
    end(store)
    head = store.log.head()
    with pytest.raises(InvalidTransition) as caught:
        act(store)
    assert str(caught.value) == f"run 'run' is {caught.value.current} and cannot become changed"
    assert caught.value.hint == f"{caught.value.current} is final."
    assert store.log.head() == head


@pytest.mark.parametrize(
    "act",
    [lambda store: store.rerun_from("run", "left"), lambda store: store.invalidate_task("run", "left")],
    ids=["rerun", "invalidate"],
)
def test_a_failed_run_resumes_from_what_is_left(store: Store, act: Callable[[Store], object]) -> None:
    diamond(store)
    store.fail_run("run", "broken")
    act(store)
    run = store.get_run("run")
    assert run is not None
    assert run.status == "failed"
    resumption = store.resume("run")
    assert resumption.plan.ready == ("left",)
    assert "join" not in {task.task_id for task in resumption.plan.reusable}
    check_views(store)


def test_what_there_is_not_cannot_run_again(store: Store) -> None:
    run_of(store, "a")
    head = store.log.head()
    with pytest.raises(NotFound, match="no run 'other'"):
        store.rerun_from("other", "a")
    with pytest.raises(NotFound, match="no task of run 'run' 'b'"):
        store.rerun_from("run", "b")
    with pytest.raises(Fenced):
        store.rerun_from("run", "a", epoch=7)
    assert store.log.head() == head
    store.delete_run("run", force=True)
    with pytest.raises(NotFound):
        store.rerun_from("run", "a")
