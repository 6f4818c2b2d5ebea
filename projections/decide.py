"""What a command on a task run comes to: pure functions from the rows as they are to the events that follow.

An empty list means that the fact is on the log already, and nothing is to be written. Each one raises `Conflict` or
one of its kinds when the fact contradicts what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from eventstore.chain import timestamp
from eventstore.errors import Conflict, Fenced, InvalidInput, InvalidTransition, NotFound
from eventstore.events import (
    RunCreated,
    TaskRunCancelled,
    TaskRunCompleted,
    TaskRunFailed,
    TaskRunInvalidated,
    TaskRunRetryScheduled,
    TaskRunReused,
    TaskRunScheduled,
    TaskRunSkipped,
    TaskRunStarted,
    TaskRunUpdated,
    WorkflowSaved,
)
from eventstore.failure import Failure
from eventstore.payload import Value
from eventstore.validate import check_kind, check_name
from projections.drift import fingerprint
from projections.rows import Attempt, Output, Run, TaskRun
from projections.transitions import RESUMABLE, RUN_STEPS, TERMINAL, check_task, is_open, steps_from, task_steps

Events = list[msgspec.Struct]


class TaskState(msgspec.Struct, frozen=True):
    """A task run and what belongs to it, as one decision sees it."""

    run: Run
    task_id: str
    task: TaskRun | None
    attempt: Attempt | None
    output: Output | None

    @property
    def consumed(self) -> dict[str, str]:
        """The digests of what the newest attempt was given."""
        return (self.attempt.consumes if self.attempt else None) or {}

    @property
    def known(self) -> TaskRun:
        """The task run; `NotFound` if it was never scheduled."""
        if self.task is None:
            hint = "Schedule it first."
            raise NotFound(f"task of run {self.run.id!r} named", self.task_id, hint)
        return self.task


def metadata_of(event: RunCreated | WorkflowSaved) -> dict[str, Any]:
    """The metadata that something was created with, or is to be."""
    return {} if isinstance(event.metadata, msgspec.UnsetType) else msgspec.json.decode(event.metadata, type=dict)


def check_epoch(run: Run, epoch: int | None) -> None:
    """Raise `Fenced` if a worker with this epoch has been superseded. None stands for no claim at all."""
    if epoch is not None and epoch != run.epoch:
        raise Fenced(run.id, epoch, run.epoch)


def check_run_id(run_id: str) -> None:
    """Raise `InvalidInput` for what no run can be called."""
    check_name(run_id, "run id")
    if run_id.startswith("$"):
        raise InvalidInput(f"run id {run_id!r} begins with '$'", "Such ids are reserved for other streams.")


def check_may_change(run: Run | None, run_id: str, epoch: int | None, *, even_deleted: bool = False) -> Run:
    """The run, if there is one and this worker may change it. Raises `NotFound` or `Fenced`."""
    if run is None or (run.deleted_at is not None and not even_deleted):
        raise NotFound("run", run_id, "" if run is None else "It was deleted.")
    check_epoch(run, epoch)
    return run


def check_unfinished(run: Run) -> None:
    """Raise `InvalidTransition` if nothing may change in the run any more, or not before it is resumed."""
    if run.status in TERMINAL:
        raise InvalidTransition(f"run {run.id!r}", run.status, "changed", steps_from(RUN_STEPS, run.status))


def check_open(run: Run) -> None:
    """Raise `InvalidTransition` if the run is over for good. What a failed one resumes from can still change."""
    if run.status not in RESUMABLE:
        raise InvalidTransition(f"run {run.id!r}", run.status, "changed", steps_from(RUN_STEPS, run.status))


def schedule(run: Run, known: Mapping[str, TaskRun], tasks: list[TaskRunScheduled]) -> Events:
    """Schedule tasks; those that are scheduled already, with the same dependencies, are left out.

    Such a task takes the fingerprint it is given now, with the metadata around it, if it is still to run.
    """
    check_unfinished(run)
    new: dict[str, TaskRunScheduled] = {}
    updated: dict[str, TaskRunUpdated] = {}
    for task in tasks:
        before = known.get(task.task_id) or new.get(task.task_id)
        if before is None:
            new[task.task_id] = task
        elif set(before.depends_on or ()) != set(task.depends_on):
            raise Conflict(
                f"task {task.task_id!r} is scheduled already, with other dependencies",
                "A task's dependencies are fixed once it is scheduled; use another task id.",
            )
        elif bool(before.always_run) != task.always_run:
            raise Conflict(
                f"task {task.task_id!r} is scheduled already, with always_run={bool(before.always_run)}",
                "That is fixed once a task is scheduled; use another task id.",
            )
        elif (
            isinstance(before, TaskRun) and isinstance(task.metadata, msgspec.Raw) and _redefined(before, task.metadata)
        ):
            updated[task.task_id] = TaskRunUpdated(task.task_id, task.metadata)
    return [*new.values(), *updated.values()]


def _redefined(known: TaskRun, metadata: msgspec.Raw) -> bool:
    given = fingerprint(msgspec.json.decode(metadata))
    done = is_open(known) or known.status == "completed"  # under the fingerprint it has
    return given is not None and given != fingerprint(known.metadata) and not done


def start(
    state: TaskState,
    worker: str,
    attempt: int | None,
    consumes: Mapping[str, str],
    epoch: int | None,
    *,
    now: datetime | None,
) -> Events:
    """Begin an attempt. The same attempt by the same worker again is no event. Refused before a retry is due, unless
    that does not matter any more: now is None.

    A completed task may be started again only if an output it was made from is not the one it would be given now.
    """
    run, task = state.run, state.known
    check_kind(consumes, Mapping, "what an attempt consumes")
    if task.status == "running" and attempt == task.attempt and state.attempt and state.attempt.worker == worker:
        return []
    if run.status != "running":
        allowed = steps_from(RUN_STEPS, run.status)
        raise InvalidTransition(f"run {run.id!r}", run.status, "the run of a started task", allowed)
    stale = state.output is not None and (state.output.consumed or {}) != dict(consumes)
    if not (task.status == "completed" and stale):
        check_task(task, "running")
    if now is not None and task.status == "waiting" and task.due is not None and task.due > now:
        hint = "Wait until then, or retry it once more with another delay."
        raise Conflict(f"task {task.task_id!r} is not to start before {timestamp(task.due)}", hint)
    number = task.attempt + 1
    if attempt is not None and attempt != number:
        raise Conflict(f"attempt {attempt} of task {task.task_id!r} cannot start: the next one is {number}")
    return [TaskRunStarted(task.task_id, number, worker, dict(consumes), epoch or run.epoch)]


def complete(
    state: TaskState, output: Value, attempt: int | None, usage: Mapping[str, float], *, now: datetime
) -> Events:
    """End an attempt with an output. The same output for the same attempt again is no event. Refused before the time
    that the attempt waits for.
    """
    task = state.known
    if task.status == "completed" and attempt in (None, task.attempt):
        if state.output is not None and state.output.digest == output.digest:
            return []
        raise Conflict(
            f"task {task.task_id!r} is completed already, with another output",
            "Invalidate it first if it is to run again.",
        )
    number = open_attempt(state, attempt, "completed")
    if task.waiting_since is not None and task.due is not None and task.due > now:
        hint = "Complete it then. Somebody can approve it sooner."
        raise Conflict(f"task {task.task_id!r} waits until {timestamp(task.due)}", hint)
    return [TaskRunCompleted(task.task_id, number, output, state.consumed, dict(usage))]


def complete_unstarted(
    state: TaskState,
    output: Value,
    attempt: int | None,
    usage: Mapping[str, float],
    consumes: Mapping[str, str],
    epoch: int | None,
    *,
    now: datetime,
) -> Events:
    """Begin the next attempt and end it with an output. A task that is not waiting to be started is completed."""
    if state.known.status not in ("pending", "waiting") or is_open(state.known):
        return complete(state, output, attempt, usage, now=now)
    number = state.known.attempt + 1
    completed = TaskRunCompleted(state.task_id, number, output, dict(consumes), dict(usage))
    return [*start(state, "", attempt, consumes, epoch, now=None), completed]


def fail(state: TaskState, failure: Failure, attempt: int | None, usage: Mapping[str, float]) -> Events:
    """End an attempt with an error. An error of the same type and message again is no event."""
    task = state.known
    if task.status == "failed" and attempt in (None, task.attempt) and state.attempt and state.attempt.failure:
        known = state.attempt.failure
        if (known.type, known.message) == (failure.type, failure.message):
            return []
    return [TaskRunFailed(task.task_id, open_attempt(state, attempt, "failed"), failure, dict(usage))]


def open_attempt(state: TaskState, attempt: int | None, wanted: str) -> int:
    """The number of the attempt that comes to this; a worker whose attempt was superseded or interrupted is refused."""
    check_unfinished(state.run)
    check_attempt(state.known, attempt)
    check_task(state.known, wanted)
    return state.known.attempt


def check_attempt(task: TaskRun, attempt: int | None) -> None:
    """Raise `Conflict` if another attempt is the newest. None stands for that one."""
    if attempt is not None and attempt != task.attempt:
        raise Conflict(
            f"attempt {attempt} of task {task.task_id!r} was superseded by attempt {task.attempt}",
            "Drop this result: the task has been started again since.",
        )


def is_late(refusal: Conflict, state: TaskState | None, attempt: int | None) -> bool:
    """Whether the end of an attempt was refused because the attempt was not its worker's any more.

    Not so if the task was never started, if the completed attempt's own output is contradicted, or if it is too early.
    """
    if isinstance(refusal, Fenced):
        return True
    task = None if state is None else state.task
    if task is None or not task.attempt:
        return False
    own = attempt in (None, task.attempt) and (task.status == "completed" or is_open(task))
    return isinstance(refusal, InvalidTransition) or not own


def retry(state: TaskState, reason: str, due: datetime | None) -> Events:
    """Let a failed task be started again; again, at another time. Again, without a delay: no event."""
    task = state.known
    check_unfinished(state.run)
    if task.status == "waiting" and (task.reason, task.due, due) == (reason or "retry", None, None):
        return []
    if is_open(task):
        raise InvalidTransition(f"task {task.task_id!r}", task.status, "retried", task_steps(task))
    check_task(task, "waiting")
    return [TaskRunRetryScheduled(state.task_id, reason, due)]


def skip(state: TaskState, reason: str) -> Events:
    """Leave a task out of this run. Again: no event."""
    if state.known.status == "skipped":
        return []
    check_unfinished(state.run)
    check_task(state.known, "skipped")
    return [TaskRunSkipped(state.task_id, reason)]


def cancel(state: TaskState, reason: str) -> Events:
    """End a task without a result. Again: no event."""
    task = state.known
    if task.status == "cancelled":
        return []
    check_unfinished(state.run)
    check_task(task, "cancelled")
    return [cancelled(task, reason)]


def cancelled(task: TaskRun, reason: str) -> TaskRunCancelled:
    """The end of a task without a result, and of its attempt if that has not ended."""
    return TaskRunCancelled(task.task_id, task.attempt if is_open(task) else 0, reason)


def invalidate(state: TaskState, reason: str) -> Events:
    """Have a completed, skipped or cancelled task run again. What was made from its output becomes stale by itself. An
    attempt that waits for something outside is cancelled first.
    """
    task = state.known
    if task.status == "pending":
        return []
    check_open(state.run)
    check_task(task, "pending")
    check_not_running(task, "invalidated")
    return invalidated(task, reason)


def invalidated(task: TaskRun, reason: str) -> Events:
    """A task is to run again, and nothing is waited for that it has asked for."""
    withdrawn: Events = [cancelled(task, reason)] if is_open(task) else []
    return [*withdrawn, TaskRunInvalidated(task.task_id, reason)]


def check_not_running(task: TaskRun, wanted: str) -> None:
    """Raise `InvalidTransition` if an attempt is under way: the task becomes pending only when that is interrupted."""
    if task.status == "running":
        raise InvalidTransition(f"task {task.task_id!r}", task.status, wanted, task_steps(task))


def reuse(state: TaskState) -> Events:
    """Note that a resumed run goes on with the output it has. Again since the last resume: no event."""
    task = state.known
    check_unfinished(state.run)
    if state.output is None:
        raise InvalidTransition(f"task {task.task_id!r}", task.status, "reused", task_steps(task))
    if task.reused_version == state.output.version and task.version > state.run.claimed_version:
        return []
    return [TaskRunReused(task.task_id, state.output.version)]
