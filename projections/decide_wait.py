"""What waiting for something outside comes to, and what a decision about it does: pure functions of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from eventstore.chain import timestamp
from eventstore.errors import Conflict, InvalidTransition
from eventstore.events import TaskRunApproved, TaskRunCompleted, TaskRunFailed, TaskRunRejected, TaskRunWaiting
from eventstore.failure import Failure
from eventstore.payload import Value
from projections.decide import Events, TaskState, check_attempt, check_open, open_attempt, start
from projections.rows import shown
from projections.transitions import task_steps

_STATUS = {"approved": "completed", "rejected": "failed"}
"""What each decision brings a task to."""


def wait(
    state: TaskState,
    reason: str,
    due: datetime | None,
    attempt: int | None,
    consumes: Mapping[str, str],
    epoch: int | None,
    *,
    now: datetime,
) -> Events:
    """Have the running attempt wait, or the next one, which begins with that. For the same again: no event."""
    task = state.known
    if task.waiting_since is not None:
        check_attempt(task, attempt)
        if (task.reason, task.due) == (shown(reason), due):
            return []
        known = ", ".join(part for part in (task.reason, task.due and f"until {timestamp(task.due)}") if part)
        raise Conflict(f"task {task.task_id!r} waits already: {known}", "Complete, fail or cancel it first.")
    if task.status == "running":
        return [TaskRunWaiting(task.task_id, open_attempt(state, attempt, "waiting"), reason, due)]
    started = start(state, "", attempt, consumes, epoch, now=now)
    return [*started, TaskRunWaiting(task.task_id, task.attempt + 1, reason, due)]


def approve(state: TaskState, output: Value, comment: str, attempt: int | None) -> Events:
    """Complete a task that waits, because somebody says so. The same decision again is no event."""
    if _is_decided(state, "approved", attempt):
        if state.output is not None and state.output.digest == output.digest:
            return []
        raise Conflict(f"task {state.task_id!r} was approved already, with another output", _AGAIN)
    number = _open_wait(state, "approved")
    return [
        TaskRunApproved(state.task_id, number, comment),
        TaskRunCompleted(state.task_id, number, output, state.consumed),
    ]


def reject(state: TaskState, failure: Failure, reason: str, attempt: int | None) -> Events:
    """Fail a task that waits, because somebody says so. The same decision again is no event."""
    if _is_decided(state, "rejected", attempt):
        return []
    number = _open_wait(state, "rejected")
    return [TaskRunRejected(state.task_id, number, reason), TaskRunFailed(state.task_id, number, failure)]


_AGAIN = "A decision is made once. To have it made anew, run the task again: `eventstore rerun`."


def _is_decided(state: TaskState, wanted: str, attempt: int | None) -> bool:
    """Whether the task is what this decision has made of it. Raises `Conflict` if it is what the other one has."""
    task, decided = state.known, state.attempt
    check_attempt(task, attempt)
    if decided is None or decided.decision is None or task.status != _STATUS[decided.decision]:
        return False
    if decided.decision == wanted:
        return True
    when = timestamp(decided.finished_at) if decided.finished_at else "an unknown time"
    who = f" by {decided.decided_by}" if decided.decided_by else ""
    raise Conflict(f"task {task.task_id!r} was {decided.decision} at {when}{who}", _AGAIN)


def _open_wait(state: TaskState, wanted: str) -> int:
    """The number of the attempt that waits. What a failed run resumes from can still be decided."""
    task = state.known
    check_open(state.run)
    if task.waiting_since is None:
        raise InvalidTransition(f"task {task.task_id!r} of run {task.run_id!r}", task.status, wanted, task_steps(task))
    return task.attempt
