"""Task states for engines that keep nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest

from eventstore.errors import ClaimHeld, Conflict, InvalidInput, InvalidTransition, NotFound
from eventstore.failure import Failure
from eventstore.log import Append
from projections import Attempt, Store, TaskStore
from tests.commands.test_concurrency import at_once
from tests.stores import Clock, check_views


@pytest.fixture
def tasks(store: Store) -> TaskStore:
    tasks = TaskStore(store)
    tasks.create_workflow("flow", worker="w")
    return tasks


def test_a_workflow_is_begun_when_it_is_created_and_created_once(tasks: TaskStore) -> None:
    created = tasks.get_workflow("flow")
    assert created is not None
    assert (created.workflow_name, created.status, created.worker) == ("flow", "running", "w")
    assert tasks.create_workflow("flow", worker="v") == created
    with pytest.raises(Conflict):
        tasks.create_workflow("flow", "other")
    tasks.finish_workflow("flow", 1)
    assert tasks.create_workflow("flow").status == "completed"


def test_the_states_of_a_task_are_persisted(tasks: TaskStore) -> None:
    attempt = tasks.persist_start("flow", "a", worker="w", name="A", depends_on=["b"], input=1)
    assert (attempt.run_id, attempt.attempt, attempt.status) == ("flow", 1, "running")
    failed = tasks.persist_failure("flow", "a", ValueError("no"), attempt=1, retryable=True)
    assert (failed.status, failed.name, failed.depends_on) == ("failed", "A", ("b",))
    assert tasks.retry("flow", "a", reason="flaky").status == "waiting"
    tasks.persist_start("flow", "a", attempt=2)
    completed = tasks.persist_completion("flow", "a", {"n": 1}, attempt=2, usage={"tokens": 1})
    assert tasks.get_task("flow", "a") == completed
    assert [task.status for task in tasks.list_attempts("flow", "a")] == ["failed", "completed"]
    assert tasks.list_tasks("flow") == tasks.list_tasks("flow", ["completed", "failed"]) == [completed]
    assert tasks.list_tasks("flow", []) == tasks.list_tasks("nobody") == []
    with pytest.raises(ValueError, match="done"):
        tasks.list_tasks("flow", "done")
    check_views(tasks.store)


def test_nothing_is_persisted_of_an_unknown_workflow_unless_it_is_to_be_created(tasks: TaskStore) -> None:
    head = tasks.store.log.head()
    with pytest.raises(NotFound):
        tasks.persist_start("new", "a")
    with pytest.raises(NotFound):
        tasks.persist_completion("new", "a", 1)
    with pytest.raises(NotFound):
        tasks.persist_failure("new", "a", "no")
    assert tasks.store.log.head() == head
    assert tasks.persist_start("new", "a", create_missing=True).attempt == 1
    assert tasks.persist_start("new", "b", create_missing=True).attempt == 1
    created = tasks.get_workflow("new")
    assert created is not None
    assert (created.workflow_name, created.status) == ("new", "running")


def test_many_workers_may_be_the_first_of_a_workflow(tasks: TaskStore) -> None:
    starts = [partial(tasks.persist_start, "new", str(number), create_missing=True) for number in range(6)]
    assert all(isinstance(started, Attempt) for started in at_once(*starts))
    assert sorted(task.task_id for task in tasks.list_tasks("new", "running")) == ["0", "1", "2", "3", "4", "5"]


def test_a_task_that_has_not_been_started_completes_only_as_work_from_elsewhere(tasks: TaskStore) -> None:
    tasks.store.schedule_task("flow", "a")
    with pytest.raises(InvalidTransition):
        tasks.persist_completion("flow", "a", "cached")
    assert tasks.persist_completion("flow", "a", "cached", implicit_start=True).status == "completed"
    assert tasks.get_result("flow", "a") == "cached"


def test_a_result_that_is_none_differs_from_none_yet_and_from_no_task(tasks: TaskStore) -> None:
    tasks.persist_start("flow", "a")
    tasks.persist_start("flow", "b")
    tasks.persist_completion("flow", "a", None)
    assert tasks.get_result("flow", "a") is None
    assert tasks.get_result("flow", "unknown") is None
    with pytest.raises(NotFound):
        tasks.get_result("flow", "b")


def test_the_errors_of_all_attempts_stay_when_a_later_one_succeeds(tasks: TaskStore) -> None:
    assert tasks.get_error("flow", "a") is None
    crash = Failure(type="Killed", kind="signal", signal=9)
    errors: list[Failure | Exception] = [crash, ValueError("x" * 200_000)]
    for number, error in enumerate(errors, 1):
        tasks.persist_start("flow", "a", attempt=number)
        tasks.persist_failure("flow", "a", error, attempt=number)
        tasks.retry("flow", "a")
    tasks.persist_start("flow", "a")
    tasks.persist_completion("flow", "a", 1)
    latest = tasks.get_error("flow", "a")
    assert latest is not None
    assert (latest.type, latest.message) == ("ValueError", "x" * 200_000)
    assert tasks.list_errors("flow", "a") == {1: crash, 2: latest}


def test_when_it_happened_is_kept_if_the_engine_says_so(tasks: TaskStore, clock: Clock) -> None:
    earlier = datetime(2026, 1, 1, tzinfo=UTC)
    assert tasks.persist_start("flow", "a", time=earlier).started_at == earlier
    assert tasks.persist_completion("flow", "a", time=earlier).finished_at == earlier
    (event,) = tasks.store.log.read("flow", backward=True, limit=1)
    assert (event.time, event.recorded_at) == (earlier, clock.time)
    with pytest.raises(InvalidInput, match="time zone"):
        tasks.persist_start("flow", "b", time=earlier.replace(tzinfo=None))


def test_a_workflow_goes_on_after_a_crash(tasks: TaskStore) -> None:
    tasks.persist_start("flow", "a")
    claim = tasks.resume_workflow("flow", worker="v", lease=60)
    assert [task.task_id for task in claim.plan.in_doubt] == ["a"]
    with pytest.raises(ClaimHeld):
        tasks.resume_workflow("flow", worker="u")
    assert tasks.persist_start("flow", "a", epoch=claim.epoch).attempt == 2
    tasks.persist_completion("flow", "a", 1, attempt=2, epoch=claim.epoch)
    assert tasks.finish_workflow("flow", "done").status == "completed"


def test_deleting_a_workflow_takes_its_tasks_along(tasks: TaskStore) -> None:
    tasks.persist_start("flow", "a")
    with pytest.raises(Conflict):
        tasks.delete_workflow("flow")
    tasks.delete_workflow("flow", force=True)
    assert tasks.get_workflow("flow") is None
    assert (tasks.get_task("flow", "a"), tasks.list_tasks("flow"), tasks.list_attempts("flow", "a")) == (None, [], [])
    with pytest.raises(Conflict, match="deleted"):
        tasks.create_workflow("flow")


def test_a_task_without_a_workflow_is_reported(tasks: TaskStore) -> None:
    assert tasks.detect_orphans() == ()
    with TaskStore.open("memory:") as other:
        other.persist_start("lost", "a", create_missing=True)
        other.persist_completion("lost", "a", 1)
        task_events = list(other.store.log.read("lost"))[2:]
    for event in task_events:  # as a partial restore leaves them
        decoded = tasks.store.codec.decode(event)
        tasks.store.log.append([Append("lost", [tasks.store.codec.encode(decoded)])])
    assert [(finding.severity, finding.where) for finding in tasks.detect_orphans()] == [
        ("error", "task 'a' of run 'lost'")
    ]
