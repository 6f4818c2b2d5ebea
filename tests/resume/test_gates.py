"""Gates are decided once, by anybody; timers go on at their time; neither minds crashes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from eventstore.errors import Conflict, Fenced, InvalidInput, InvalidTransition, InvalidValue, NotFound
from eventstore.events import RunCompleted
from eventstore.log import Append
from projections import Store, Task
from projections.queries import Queries
from projections.resume import Waiting
from projections.rows import TaskRun
from projections.tables import query
from projections.task_queries import WAITING
from tests.stores import NOON, Clock, check_views, completed, open_again, run_of

PATIENCE = 60.0
LATER = NOON + timedelta(hours=1)


@pytest.fixture
def gate(store: Store) -> Store:
    """A run with the tasks draft → review → print; the draft waits for its review."""
    run_of(store, "draft")
    store.schedule_tasks("run", [Task("review", depends_on=["draft"]), Task("print", depends_on=["review"])])
    completed(store, "run", "draft", "first draft")
    store.wait_task("run", "review", "the editor's yes")
    return store


def types(store: Store, after: int) -> list[str]:
    return [event.type for event in store.log.read("run", after=after)]


def test_a_pending_task_is_started_and_waits_in_one_commit(store: Store) -> None:
    run_of(store, "review")
    task = store.wait_task("run", "review", "the editor's yes")
    started, waiting = store.log.read("run", after=3)
    assert (started.type, waiting.type, started.commit) == ("taskRunStarted", "taskRunWaiting", waiting.commit)
    assert (task.status, task.attempt, task.reason, task.due, task.waiting_since) == (
        "waiting",
        1,
        "the editor's yes",
        None,
        waiting.time,
    )
    (attempt,) = store.list_attempts("run")
    assert (attempt.status, attempt.reason, attempt.finished_at) == ("waiting", "the editor's yes", None)
    check_views(store)


def test_a_running_attempt_goes_over_to_waiting(store: Store) -> None:
    run_of(store, "review")
    attempt = store.start_task("run", "review", worker="w").attempt
    assert store.wait_task("run", "review", "yes or no", attempt=attempt, epoch=1).attempt == attempt
    assert types(store, 4) == ["taskRunWaiting"]
    (known,) = store.list_attempts("run")
    assert (known.status, known.worker) == ("waiting", "w")


def test_a_worker_that_is_fenced_or_superseded_cannot_wait(store: Store) -> None:
    run_of(store, "review")
    store.start_task("run", "review")
    with pytest.raises(Conflict, match="attempt 2 of task 'review' was superseded"):
        store.wait_task("run", "review", "yes or no", attempt=2)
    store.resume("run", force=True)
    with pytest.raises(Fenced):
        store.wait_task("run", "review", "yes or no", epoch=1)


def test_the_same_wait_again_is_no_event_and_another_one_is_refused(gate: Store) -> None:
    version = gate.log.version("run")
    gate.wait_task("run", "review", "the editor's yes")
    with pytest.raises(Conflict, match="waits already: the editor's yes"):
        gate.wait_task("run", "review", "the author's yes")
    with pytest.raises(Conflict, match="waits already"):
        gate.wait_task("run", "review", "the editor's yes", until=LATER)
    assert gate.log.version("run") == version


def test_an_approval_completes_the_gate_as_made_from_what_it_was_given(gate: Store) -> None:
    version = gate.log.version("run")
    task = gate.acting(actor="ada").approve_task("run", "review", {"copies": 3}, comment="well done")
    approved, done = gate.log.read("run", after=version)
    assert (approved.type, done.type, approved.commit) == ("taskRunApproved", "taskRunCompleted", done.commit)
    assert (task.status, task.waiting_since, task.reason) == ("completed", None, None)
    assert gate.get_result("run", "review") == {"copies": 3}
    attempt = gate.list_attempts("run", "review")[-1]
    assert (attempt.decision, attempt.decided_by, attempt.finished_at) == ("approved", "ada", done.time)
    plan = gate.resume_plan("run")
    assert ([task.task_id for task in plan.reusable], plan.waiting) == (["draft", "review"], ())
    assert plan.ready == ("print",)
    check_views(gate)


def test_a_rejection_fails_the_gate_for_good(gate: Store) -> None:
    version = gate.log.version("run")
    task = gate.acting(actor="ada").reject_task("run", "review", "too long")
    assert types(gate, version) == ["taskRunRejected", "taskRunFailed"]
    failure = gate.get_failure("run", "review")
    assert failure is not None
    assert (failure.type, failure.message, failure.retryable) == ("Rejected", "too long", False)
    assert (task.status, gate.list_attempts("run", "review")[-1].decision) == ("failed", "rejected")
    assert gate.resume_plan("run").failed == ("review",)
    check_views(gate)


def approve(store: Store) -> object:
    return store.acting(actor="ada").approve_task("run", "review")


def reject(store: Store) -> object:
    return store.acting(actor="ada").reject_task("run", "review", "no")


Decide = Callable[[Store], object]


@pytest.mark.parametrize(("decide", "opposite", "told"), [(approve, reject, "approved"), (reject, approve, "rejected")])
def test_what_is_decided_once_stays_so(gate: Store, decide: Decide, opposite: Decide, told: str) -> None:
    decide(gate)
    version = gate.log.version("run")
    decide(gate)
    with pytest.raises(Conflict, match=f"task 'review' was {told} at 2026-01-31T12:.* by ada") as caught:
        opposite(gate)
    assert not isinstance(caught.value, InvalidTransition)
    assert gate.log.version("run") == version


def test_an_approval_with_another_output_is_another_decision(gate: Store) -> None:
    gate.approve_task("run", "review", 1)
    with pytest.raises(Conflict, match="with another output"):
        gate.approve_task("run", "review", 2)


def test_a_decision_on_an_older_attempt_decides_nothing(gate: Store) -> None:
    gate.reject_task("run", "review")
    gate.retry_task("run", "review")
    assert gate.wait_task("run", "review", "the editor's yes, again").attempt == 2
    version = gate.log.version("run")
    for decide in (gate.approve_task, gate.reject_task):
        with pytest.raises(Conflict, match="attempt 1 of task 'review' was superseded by attempt 2"):
            decide("run", "review", attempt=1)
    assert gate.log.version("run") == version
    assert gate.approve_task("run", "review", attempt=2).status == "completed"


@pytest.mark.parametrize("decide", [approve, reject])
def test_what_does_not_wait_cannot_be_decided(store: Store, decide: Decide) -> None:
    run_of(store, "review")
    with pytest.raises(InvalidTransition, match="pending and cannot become"):
        decide(store)
    store.start_task("run", "review")
    with pytest.raises(InvalidTransition, match="running and cannot become"):
        decide(store)
    store.complete_task("run", "review")
    with pytest.raises(InvalidTransition, match="completed and cannot become"):
        decide(store)
    with pytest.raises(NotFound):
        store.approve_task("other", "review")


@pytest.mark.parametrize("decide", [approve, reject])
def test_a_decision_that_was_taken_back_decides_nothing_more(gate: Store, decide: Decide) -> None:
    gate.approve_task("run", "review")
    gate.invalidate_task("run", "review", "rash")
    with pytest.raises(InvalidTransition, match="pending and cannot become"):
        decide(gate)
    assert gate.wait_task("run", "review", "the editor's yes").attempt == 2
    decide(gate)


def test_nothing_is_decided_in_a_run_that_is_over_whoever_has_ended_it(gate: Store) -> None:
    gate.log.append([Append("run", [gate.codec.encode(RunCompleted())])])
    with pytest.raises(InvalidTransition, match="run 'run' is completed"):
        gate.approve_task("run", "review")
    assert gate.list_waiting() == []


def test_of_many_who_decide_at_once_one_is_right(gate: Store) -> None:
    begin = threading.Barrier(8)
    won: list[str] = []

    def decide(number: int) -> None:
        begin.wait(PATIENCE)
        try:
            if number % 2:
                won.append(gate.approve_task("run", "review").status)
            else:
                won.append(gate.reject_task("run", "review").status)
        except Conflict:
            pass

    threads = [threading.Thread(target=decide, args=(number,), daemon=True) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert won in (["completed"] * 4, ["failed"] * 4)
    assert len([kind for kind in types(gate, 0) if kind in ("taskRunApproved", "taskRunRejected")]) == 1


def test_two_programs_decide_at_once_and_one_is_right(lasting_store: Store, lasting: str) -> None:
    run_of(lasting_store, "review")
    lasting_store.wait_task("run", "review", "yes or no")
    with open_again(lasting) as other:
        look = Queries.task_state_at

        def look_then_decide(self: Queries, run_id: str, task_id: str) -> object:
            version, seen = look(self, run_id, task_id)
            if self is lasting_store and seen is not None and seen.task and seen.task.status == "waiting":
                other.acting(actor="bob").reject_task("run", "review")
            return version, seen

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Queries, "task_state_at", look_then_decide)
            with pytest.raises(Conflict, match=r"was rejected at .* by bob"):
                lasting_store.approve_task("run", "review")


def test_crashes_leave_gates_and_timers_as_they_are(gate: Store) -> None:
    gate.schedule_task("run", "nap")
    gate.wait_task("run", "nap", "until tea", until=LATER)
    before = gate.list_attempts("run")
    for _ in range(3):
        plan = gate.resume("run", worker="rescuer", force=True).plan
        assert (plan.in_doubt, plan.ready, plan.blocked) == ((), (), {"print": ("review",)})
        assert plan.waiting == (
            Waiting("review", "the editor's yes", None, 1),
            Waiting("nap", "until tea", LATER, 1),
        )
    assert gate.list_attempts("run") == before
    with pytest.raises(InvalidTransition, match="waiting and cannot become running"):
        gate.start_task("run", "review")
    assert gate.complete_task("run", "review", "yes", attempt=1, epoch=4).status == "completed"


def test_a_failed_run_keeps_its_gates_and_they_can_be_decided(gate: Store) -> None:
    gate.fail_run("run", "broken")
    assert [task.task_id for task in gate.list_waiting()] == ["review"]
    gate.approve_task("run", "review", "yes")
    assert gate.resume("run").plan.ready == ("print",)


def test_a_run_is_not_completed_while_a_gate_is_open(gate: Store) -> None:
    version = gate.log.version("run")
    with pytest.raises(Conflict, match="still has waiting tasks: 'review'"):
        gate.complete_run("run")
    with pytest.raises(Conflict, match="still has waiting tasks: 'review'"):
        gate.update_run("run", status="completed")
    assert gate.log.version("run") == version
    gate.cancel_task("run", "review", "nobody minds")
    assert gate.list_attempts("run", "review")[-1].status == "cancelled"
    gate.complete_run("run")


def test_a_cancelled_run_waits_for_nothing(gate: Store) -> None:
    gate.cancel_run("run", "enough")
    assert gate.list_attempts("run", "review")[-1].status == "cancelled"
    assert gate.list_waiting() == []
    with pytest.raises(InvalidTransition):
        gate.approve_task("run", "review")


def test_a_timer_is_completed_at_its_time_and_never_started_anew(store: Store, clock: Clock) -> None:
    run_of(store, "nap")
    store.wait_task("run", "nap", "tea", until=LATER)
    version = store.log.version("run")
    for implicit_start in (False, True):
        with pytest.raises(Conflict, match="task 'nap' waits until 2026-01-31T13:00:00"):
            store.complete_task("run", "nap", attempt=1, implicit_start=implicit_start)
    assert (store.log.version("run"), store.log.version("$telemetry/run")) == (version, 0)
    clock.time = LATER
    plan = store.resume_plan("run")
    assert (plan.due, plan.waiting, plan.ready) == ((Waiting("nap", "tea", LATER, 1),), (), ())
    with pytest.raises(InvalidTransition):
        store.start_task("run", "nap")
    claim = store.resume("run", force=True)
    assert claim.plan.due == plan.due
    store.complete_task("run", "nap", attempt=1, epoch=claim.epoch)
    assert [attempt.status for attempt in store.list_attempts("run")] == ["completed"]
    check_views(store)


def test_a_timer_may_fail_or_be_approved_before_its_time(store: Store) -> None:
    run_of(store, "a", "b")
    for task_id in "ab":
        store.wait_task("run", task_id, "tea", until=LATER)
    assert store.fail_task("run", "a", "the kettle is broken").status == "failed"
    assert store.approve_task("run", "b").status == "completed"


def test_what_means_nothing_is_refused(store: Store) -> None:
    run_of(store, "nap")
    for until in (datetime(2026, 2, 1), "tomorrow"):
        with pytest.raises(InvalidInput):
            store.wait_task("run", "nap", "tea", until=until)  # type: ignore[arg-type]  # on purpose
        with pytest.raises(InvalidInput):
            store.list_waiting(due_by=until)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidInput, match="unknown kind"):
        store.list_waiting(kind="door")  # type: ignore[arg-type]  # on purpose
    for after, limit in (("x", 1), (-1, 1), (0, -1)):
        with pytest.raises(InvalidInput):
            store.list_waiting(after=after, limit=limit)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidValue, match="reason"):
        store.wait_task("run", "nap", None)  # type: ignore[arg-type]  # on purpose
    assert store.log.version("run") == 3


def test_what_is_approved_on_an_old_draft_is_asked_again(gate: Store) -> None:
    gate.invalidate_task("run", "draft")
    completed(gate, "run", "draft", "second draft")
    gate.approve_task("run", "review", "yes")
    plan = gate.resume_plan("run")
    assert [(stale.task_id, stale.reason) for stale in plan.stale] == [
        ("review", "made from another output of 'draft'")
    ]
    assert gate.wait_task("run", "review", "the editor's yes").attempt == 2
    assert [waiting.attempt for waiting in gate.resume_plan("run").waiting] == [2]


def test_running_again_from_above_withdraws_what_was_asked(gate: Store) -> None:
    again = gate.rerun_from("run", "draft", reason="typo")
    assert [(task.task_id, task.status) for task in again] == [("draft", "pending"), ("review", "pending")]
    assert gate.list_attempts("run", "review")[-1].status == "cancelled"
    plan = gate.resume_plan("run")
    assert (plan.waiting, plan.in_doubt, plan.ready) == ((), (), ("draft",))
    version = gate.log.version("run")
    assert gate.rerun_from("run", "draft", reason="typo") == []
    assert gate.log.version("run") == version
    check_views(gate)


def test_the_inbox_shows_what_waits_in_all_runs(gate: Store) -> None:
    for number in range(3):
        run_of(gate, "ask", "nap", "retry", run_id=f"{number}")
        gate.wait_task(f"{number}", "ask", "yes or no")
        gate.wait_task(f"{number}", "nap", "tea", until=LATER + timedelta(hours=number))
        gate.start_task(f"{number}", "retry")
        gate.fail_task(f"{number}", "retry", "no")
        gate.retry_task(f"{number}", "retry")
    gate.delete_run("2", force=True)
    first, *rest = gate.list_waiting()
    assert (first.run_id, first.task_id, first.reason) == ("run", "review", "the editor's yes")
    assert [(task.run_id, task.task_id) for task in rest] == [("0", "ask"), ("0", "nap"), ("1", "ask"), ("1", "nap")]
    assert gate.list_waiting(after=first.position, limit=2) == rest[:2]
    assert gate.list_waiting(limit=0) == []
    assert {task.task_id for task in gate.list_waiting(kind="gate")} == {"review", "ask"}
    assert [task.run_id for task in gate.list_waiting(kind="timer")] == ["0", "1"]
    assert [task.run_id for task in gate.list_waiting(due_by=LATER)] == ["0"]


def test_what_does_not_wait_is_not_looked_at(file_store: Store) -> None:
    statement = query(TaskRun, WAITING, (0, None, None, 9))
    with file_store.views.at_once() as session:
        (first, *_) = [step for *_, step in session.rows(f"EXPLAIN QUERY PLAN {statement.text}", statement.arguments)]
    assert "task_runs_waiting" in str(first)
