"""What was done already is done again without an effect; what contradicts it is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from eventstore.errors import Conflict, InvalidTransition
from eventstore.events import RunStarted
from eventstore.log import Append, NewEvent
from projections import Store, Task
from tests.stores import run_of

Given = dict[str, Any]

CONTENT: Given = {
    "workflow_name": "flow",
    "user_message": "please",
    "input": {"n": [1, 2.5, None]},
    "metadata": {"tags": ["a", "b"], "nested": {"x": 1}},
    "workflow_id": "w",
    "workflow_version": 3,
    "workflow_hash": "h",
    "parent_run_id": "parent",
}
OTHER: Given = {
    "workflow_name": "other",
    "user_message": "",
    "input": {"n": [1, 2.5]},
    "metadata": {"tags": ["b", "a"], "nested": {"x": 1}},
    "workflow_id": None,
    "workflow_version": 4,
    "workflow_hash": "g",
    "parent_run_id": None,
}


def create(store: Store, **content: Any) -> object:
    store.create_run("parent flow", run_id="parent")
    return store.create_run(content.pop("workflow_name"), run_id="run", **content)


def test_the_same_run_is_created_once(store: Store) -> None:
    first = create(store, **CONTENT)
    head = store.log.head()
    assert create(store, **CONTENT) == first
    assert store.log.head() == head


@pytest.mark.parametrize("field", OTHER)
def test_a_run_with_other_content_is_a_conflict(store: Store, field: str) -> None:
    first = create(store, **CONTENT)
    head = store.log.head()
    with pytest.raises(Conflict, match="other content"):
        create(store, **{**CONTENT, field: OTHER[field]})
    assert store.log.head() == head
    assert store.get_run("run") == first


def test_metadata_are_the_same_if_they_are_the_same_json(store: Store) -> None:
    create(store, workflow_name="flow", metadata={"a": {"b": 1, "c": 2}})
    create(store, workflow_name="flow", metadata={"a": {"c": 2, "b": 1}})
    for other in (True, 1.0):
        with pytest.raises(Conflict):
            create(store, workflow_name="flow", metadata={"a": {"b": other, "c": 2}})


def test_a_run_that_has_gone_on_is_still_the_run_that_was_created(store: Store) -> None:
    create(store, **CONTENT)
    store.start_run("run")
    assert store.create_run("flow", run_id="other").status == "pending"
    again = create(store, **CONTENT)
    assert again == store.get_run("run")
    assert store.log.version("run") == 2


def test_a_stream_that_is_no_run_is_not_taken_over(store: Store) -> None:
    store.log.append([Append("run", [NewEvent(type="sensor.read", data=b"{}")])])
    with pytest.raises(Conflict):
        store.create_run("flow", run_id="run")
    assert store.log.version("run") == 1


def test_a_run_whose_creation_is_missing_is_not_created_over(store: Store) -> None:
    store.log.append([Append("run", [store.codec.encode(RunStarted("w"))])])
    with pytest.raises(Conflict, match="other content"):
        store.create_run("flow", run_id="run")
    assert store.log.version("run") == 1


def test_runs_without_an_id_get_one_each(store: Store) -> None:
    assert store.create_run("flow").id != store.create_run("flow").id


UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
REPEATABLE: dict[str, tuple[Callable[[Store], object], Callable[[Store], object]]] = {
    "wait": (lambda store: None, lambda store: store.wait_run("run", "approval", until=UNTIL)),
    "complete run": (lambda store: None, lambda store: store.complete_run("run", {"ok": True})),
    "complete run without output": (lambda store: None, lambda store: store.complete_run("run")),
    "fail run": (lambda store: None, lambda store: store.fail_run("run", ValueError("no"))),
    "cancel run": (lambda store: None, lambda store: store.cancel_run("run", "enough")),
    "delete run": (lambda store: None, lambda store: store.delete_run("run", force=True)),
    "schedule": (lambda store: None, lambda store: store.schedule_task("run", "b", depends_on=["a"], input=1)),
    "start": (lambda store: None, lambda store: store.start_task("run", "a", worker="w", attempt=1)),
    "complete": (
        lambda store: store.start_task("run", "a"),
        lambda store: store.complete_task("run", "a", [1], attempt=1),
    ),
    "complete without attempt": (
        lambda store: store.start_task("run", "a"),
        lambda store: store.complete_task("run", "a", [1]),
    ),
    "fail": (lambda store: store.start_task("run", "a"), lambda store: store.fail_task("run", "a", KeyError("x"))),
    "retry": (
        lambda store: (store.start_task("run", "a"), store.fail_task("run", "a", "no")),
        lambda store: store.retry_task("run", "a", reason="flaky"),
    ),
    "skip": (lambda store: None, lambda store: store.skip_task("run", "a", "not needed")),
    "cancel": (lambda store: None, lambda store: store.cancel_task("run", "a", "enough")),
    "invalidate": (
        lambda store: (store.start_task("run", "a"), store.complete_task("run", "a")),
        lambda store: store.invalidate_task("run", "a", "stale"),
    ),
    "reuse": (
        lambda store: (store.start_task("run", "a"), store.complete_task("run", "a")),
        lambda store: store.reuse_task("run", "a"),
    ),
}


@pytest.mark.parametrize(("before", "command"), REPEATABLE.values(), ids=REPEATABLE.keys())
def test_a_command_that_was_carried_out_can_be_given_again(
    store: Store, before: Callable[[Store], object], command: Callable[[Store], object]
) -> None:
    run_of(store, "a")
    before(store)
    first = command(store)
    head = store.log.head()
    assert command(store) == first
    assert store.log.head() == head


def test_a_completion_is_known_again_after_the_run_has_ended(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.complete_task("run", "a", 1, attempt=1)
    store.complete_run("run")
    assert store.complete_task("run", "a", 1, attempt=1).status == "completed"


@pytest.mark.parametrize("given", [{"worker": "other", "attempt": 1}, {"worker": "w"}, {"worker": "other"}])
def test_another_start_of_a_running_task_is_refused(store: Store, given: Given) -> None:
    run_of(store, "a")
    store.start_task("run", "a", worker="w", attempt=1)
    with pytest.raises(InvalidTransition):
        store.start_task("run", "a", **given)
    assert len(store.list_attempts("run")) == 1


@pytest.mark.parametrize("attempt", [0, 2, 7])
def test_an_attempt_that_is_not_the_next_cannot_start(store: Store, attempt: int) -> None:
    run_of(store, "a")
    with pytest.raises(Conflict, match="the next one is 1"):
        store.start_task("run", "a", attempt=attempt)
    assert store.list_attempts("run") == []


@pytest.mark.parametrize("attempt", [1, 3])
def test_a_result_of_an_attempt_that_is_not_the_running_one_is_refused(store: Store, attempt: int) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.fail_task("run", "a", "timeout")
    store.retry_task("run", "a")
    store.start_task("run", "a")
    version = store.log.version("run")
    with pytest.raises(Conflict, match="superseded"):
        store.complete_task("run", "a", "late", attempt=attempt)
    with pytest.raises(Conflict, match="superseded"):
        store.fail_task("run", "a", "late", attempt=attempt)
    assert store.log.version("run") == version


def test_a_task_is_scheduled_once_whatever_the_order_of_its_dependencies(store: Store) -> None:
    run_of(store)
    store.schedule_tasks("run", [Task("c", depends_on=["a", "b", "a"]), Task("c", depends_on=["b", "a"])])
    (task,) = store.list_task_runs("run")
    assert task.depends_on == ("a", "b")
    assert store.log.version("run") == 3


def test_other_dependencies_are_a_conflict_and_nothing_of_the_commit_is_kept(store: Store) -> None:
    run_of(store, "a")
    with pytest.raises(Conflict, match="other dependencies"):
        store.schedule_tasks("run", [Task("new"), Task("a", depends_on=["new"])])
    assert [task.task_id for task in store.list_task_runs("run")] == ["a"]


def test_tasks_that_are_known_are_left_out_of_a_larger_commit(store: Store) -> None:
    run_of(store, "a", "b")
    tasks = store.schedule_tasks("run", [Task("b"), Task("c"), Task("a")])
    assert [task.task_id for task in tasks] == ["b", "c", "a"]
    assert store.log.version("run") == 5


@pytest.mark.parametrize("task", [Task("a", depends_on=["a"]), Task("a", depends_on="prep")])
def test_dependencies_that_cannot_be_meant_are_refused(store: Store, task: Task) -> None:
    run_of(store)
    with pytest.raises(ValueError, match=r"depends on itself|one task id"):
        store.schedule_tasks("run", [task])
    assert store.list_task_runs("run") == []
