"""Task state persistence: what becomes of tasks is kept as it happens, and their errors with all that is known."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import timedelta

import pytest

from eventstore.errors import Conflict, Fenced, InvalidTransition
from eventstore.failure import Cause, Failure
from projections import Store
from projections.rows import duration
from tests.stores import NOON, Clock, completed, run_of


def failed(store: Store, task_id: str, error: BaseException | Failure | str) -> int:
    """Have a task of the run start and fail, and say which attempt it was."""
    attempt = store.start_task("run", task_id).attempt
    store.fail_task("run", task_id, error, attempt=attempt)
    return attempt


def status_of(store: Store, task_id: str) -> str:
    task = store.get_task_run("run", task_id)
    assert task is not None
    return task.status


def test_s0_01_persist_task_start_sets_running_and_the_started_time(store: Store) -> None:
    run_of(store, "a")
    assert status_of(store, "a") == "pending"
    attempt = store.start_task("run", "a", worker="one")
    (event,) = store.log.read("run", backward=True, limit=1)
    task = store.get_task_run("run", "a")
    assert task is not None
    assert (task.status, task.started_at, task.finished_at) == ("running", event.time, None)
    assert (attempt.attempt, attempt.worker, attempt.started_at) == (1, "one", event.time)


def test_s0_01_when_it_happened_is_kept_apart_from_when_it_was_recorded(store: Store, clock: Clock) -> None:
    run_of(store, "a")
    earlier = NOON - timedelta(hours=1)
    store.at(earlier).start_task("run", "a")
    (event,) = store.log.read("run", backward=True, limit=1)
    task = store.get_task_run("run", "a")
    assert task is not None
    assert task.started_at == event.time == earlier
    assert NOON < event.recorded_at <= clock.time


def test_s0_01_a_second_start_of_the_same_attempt_changes_nothing(store: Store) -> None:
    run_of(store, "a")
    first = store.start_task("run", "a", worker="one", attempt=1)
    head = store.log.head()
    assert store.start_task("run", "a", worker="one", attempt=1) == first
    assert store.log.head() == head


ENDS: dict[str, Callable[[Store], object]] = {
    "completed": lambda store: completed(store, "run", "a", 1),
    "failed": lambda store: failed(store, "a", "no"),
    "skipped": lambda store: store.skip_task("run", "a"),
    "cancelled": lambda store: store.cancel_task("run", "a"),
}


@pytest.mark.parametrize("status", ENDS)
def test_s0_01_a_task_that_has_ended_starts_again_only_after_a_retry(store: Store, status: str) -> None:
    run_of(store, "a")
    ENDS[status](store)
    head = store.log.head()
    with pytest.raises(InvalidTransition) as refused:
        store.start_task("run", "a")
    assert (refused.value.current, refused.value.wanted) == (status, "running")
    assert (store.log.head(), status_of(store, "a")) == (head, status)


def test_s0_01_a_task_has_started_when_its_first_attempt_did(store: Store) -> None:
    run_of(store, "a")
    failed(store, "a", "no")
    store.retry_task("run", "a")
    store.start_task("run", "a")
    first, second = store.list_attempts("run", "a")
    task = store.get_task_run("run", "a")
    assert task is not None
    assert first.started_at is not None
    assert second.started_at is not None
    assert task.started_at == first.started_at < second.started_at


def test_s0_01_a_clock_set_back_changes_no_order_and_gives_no_negative_durations(store: Store, clock: Clock) -> None:
    run_of(store, "b", "a")
    store.start_task("run", "b")
    clock.time = NOON - timedelta(days=1)
    store.complete_task("run", "b", 1)
    completed(store, "run", "a", 2)
    assert [task.task_id for task in store.list_task_runs("run")] == ["b", "a"]
    assert list(store.get_completed_node_outputs("run")) == ["b", "a"]
    task = store.get_task_run("run", "b")
    assert task is not None
    assert task.started_at is not None
    assert task.finished_at is not None
    assert task.finished_at < task.started_at  # as it was told
    assert duration(task) == timedelta()


def test_s0_02_persist_task_completion_sets_completed_and_the_completed_time(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    task = store.complete_task("run", "a", {"rows": 3}, attempt=1)
    (event,) = store.log.read("run", backward=True, limit=1)
    assert (task.status, task.finished_at) == ("completed", event.time)
    output = store.get_output("run", "a")
    assert output is not None
    assert output.completed_at == event.time
    assert [(each.status, each.finished_at) for each in store.list_attempts("run", "a")] == [("completed", event.time)]


def test_s0_02_completing_what_never_started_is_refused_unless_the_start_is_implied(store: Store) -> None:
    run_of(store, "a")
    with pytest.raises(InvalidTransition):
        store.complete_task("run", "a", 1)
    assert status_of(store, "a") == "pending"
    head = store.log.head()
    task = store.complete_task("run", "a", 1, implicit_start=True)
    assert (task.status, task.attempt) == ("completed", 1)
    assert task.started_at is not None
    events = list(store.log.read_all(after=head))
    assert [event.type for event in events] == ["taskRunStarted", "taskRunCompleted"]
    assert len({event.commit for event in events}) == 1
    assert store.get_result("run", "a") == 1


def test_s0_02_the_same_completion_again_changes_nothing_and_another_output_is_a_conflict(store: Store) -> None:
    run_of(store, "a")
    completed(store, "run", "a", {"rows": [1, 2]})
    head = store.log.head()
    assert store.complete_task("run", "a", {"rows": [1, 2]}, attempt=1).status == "completed"
    with pytest.raises(Conflict, match="with another output"):
        store.complete_task("run", "a", {"rows": [1]}, attempt=1)
    assert store.log.version("run") == head
    assert store.get_result("run", "a") == {"rows": [1, 2]}


def test_s0_03_persist_task_failure_sets_failed_and_keeps_the_error(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    task = store.fail_task("run", "a", ValueError("paper jam"), attempt=1)
    assert (task.status, task.finished_at is not None) == ("failed", True)
    failure = store.get_failure("run", "a")
    assert failure is not None
    assert (failure.type, failure.message) == ("ValueError", "paper jam")


@pytest.mark.parametrize("error", ["", ValueError(), Failure(type="Timeout", kind="timeout")], ids=str)
def test_s0_03_an_error_without_a_message_is_still_an_error(store: Store, error: BaseException | Failure | str) -> None:
    run_of(store, "a")
    failed(store, "a", error)
    failure = store.get_failure("run", "a")
    assert failure is not None
    assert (failure.message, bool(failure.type)) == ("", True)


def test_s0_03_a_late_completion_of_a_failed_attempt_is_refused_and_noted_as_telemetry(store: Store) -> None:
    run_of(store, "a")
    failed(store, "a", Failure(type="Timeout", kind="timeout"))
    version = store.log.version("run")
    with pytest.raises(InvalidTransition):
        store.complete_task("run", "a", "too late", attempt=1)
    store.retry_task("run", "a")
    store.start_task("run", "a")
    with pytest.raises(Conflict, match="superseded by attempt 2"):
        store.complete_task("run", "a", "too late", attempt=1)
    assert store.log.version("run") == version + 2
    assert status_of(store, "a") == "running"
    assert [event.type for event in store.telemetry("run")] == ["resultRejected"] * 2


def test_s0_03_a_worker_whose_claim_was_taken_over_is_refused_and_that_is_noted(store: Store) -> None:
    store.create_run("flow", run_id="run")
    epoch = store.start_run("run", worker="first").epoch
    store.schedule_task("run", "a")
    store.start_task("run", "a", epoch=epoch)
    store.resume("run", worker="second")
    with pytest.raises(Fenced):
        store.complete_task("run", "a", "too late", attempt=1, epoch=epoch)
    (note,) = store.telemetry("run")
    assert (note.type, b'"fenced"' in note.data) == ("resultRejected", True)
    assert store.get_output("run", "a") is None


def chained() -> ValueError:
    """An error with its traceback and two causes."""
    try:
        try:
            try:
                raise OSError("no route")
            except OSError as error:
                raise ConnectionError("no answer") from error
        except ConnectionError as error:
            raise ValueError("no rows") from error
    except ValueError as error:
        return error


def test_s0_07_persist_error_message_and_type_with_the_chain_of_causes(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.fail_task("run", "a", chained(), retryable=True)
    failure = store.get_failure("run", "a")
    assert failure is not None
    assert (failure.type, failure.message, failure.retryable) == ("ValueError", "no rows", True)
    assert failure.causes == (Cause("ConnectionError", "no answer"), Cause("OSError", "no route"))


def test_s0_07_an_error_keeps_the_code_that_an_engine_gives_it(store: Store) -> None:
    run_of(store, "a")
    error = Failure(type="HttpError", message="slow down", code="429", retryable=True)
    failed(store, "a", error)
    assert store.get_failure("run", "a") == error


def test_s0_07_a_huge_message_is_kept_whole(store: Store) -> None:
    run_of(store, "a")
    message = "ä" * 200_000
    failed(store, "a", ValueError(message))
    (attempt,) = store.list_attempts("run", "a")
    assert attempt.failure is not None
    assert attempt.failure.full is not None
    assert len(attempt.failure.message) < 2_000
    failure = store.get_failure("run", "a")
    assert failure is not None
    assert failure.message == message
    assert len(list(store.values.blobs.digests())) == 1


def test_s0_08_persist_stack_trace_whole(store: Store) -> None:
    run_of(store, "a")
    failed(store, "a", chained())
    failure = store.get_failure("run", "a")
    assert failure is not None
    assert failure.traceback is not None
    assert failure.traceback.startswith("Traceback (most recent call last):")
    assert failure.traceback.count("in chained") == 3
    assert failure.traceback.endswith("ValueError: no rows\n")


@pytest.mark.parametrize(
    "crash",
    [
        Failure(type="ProcessExit", message="exit code 3", kind="exit", exit_code=3),
        Failure(type="Killed", message="SIGKILL", kind="signal", signal=signal.SIGKILL.value),
        Failure(type="Timeout", message="after 60 s", kind="timeout"),
        Failure(type="LeaseLost", message="no heartbeat", kind="lease-lost"),
    ],
    ids=lambda crash: str(crash.kind),
)
def test_s0_08_a_crash_without_a_traceback_has_a_reason(store: Store, crash: Failure) -> None:
    run_of(store, "a")
    failed(store, "a", crash)
    assert store.get_failure("run", "a") == crash
    assert crash.traceback is None


def test_s0_08_an_attempt_whose_worker_vanished_says_why_it_ended(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.resume("run", worker="rescuer")
    (attempt,) = store.list_attempts("run", "a")
    assert (attempt.status, attempt.reason) == ("interrupted", "the run was resumed by 'rescuer'")


def test_s0_09_retrieve_error_details_of_the_latest_failure_and_of_every_attempt(store: Store) -> None:
    run_of(store, "a")
    assert store.get_failure("run", "a") is None
    for message in ("first", "second"):
        failed(store, "a", ValueError(message))
        store.retry_task("run", "a")
    latest = store.get_failure("run", "a")
    assert latest is not None
    assert latest.message == "second"
    errors = [attempt.failure and attempt.failure.message for attempt in store.list_attempts("run", "a")]
    assert errors == ["first", "second"]


def test_s0_09_a_later_success_leaves_the_error_in_history_and_not_in_the_current_view(store: Store) -> None:
    run_of(store, "a")
    failed(store, "a", ValueError("once"))
    store.retry_task("run", "a")
    completed(store, "run", "a", 1)
    task = store.get_task_run("run", "a")
    assert task is not None
    assert (task.status, task.reason) == ("completed", None)
    first, second = store.list_attempts("run", "a")
    assert first.failure is not None
    assert (first.failure.message, second.failure) == ("once", None)
    assert "taskRunFailed" in [event.type for event in store.log.read("run")]
