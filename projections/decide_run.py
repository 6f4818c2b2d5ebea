"""What a command on a run comes to: pure functions from its row and its unfinished tasks to the events that follow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from eventstore.chain import timestamp
from eventstore.errors import ClaimHeld, Conflict, InvalidTransition
from eventstore.events import (
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunDeleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunWaiting,
    TaskRunCancelled,
    TaskRunInterrupted,
)
from eventstore.failure import Failure
from eventstore.payload import Value
from projections.decide import Events
from projections.rows import Run, TaskRun
from projections.transitions import RESUMABLE, RUN_STEPS, TERMINAL, check_run, steps_from


def create(known: Run | None, run_id: str, wanted: RunCreated) -> Events:
    """Create a run. The same again is no event; the same id with other content is a `Conflict`."""
    if known is None:
        return [wanted]
    if known.deleted_at is not None:
        raise Conflict(f"run {run_id!r} was deleted", "Use another id, or purge the run first.")
    metadata = None if isinstance(wanted.metadata, msgspec.UnsetType) else msgspec.json.decode(wanted.metadata)
    same = (
        known.workflow_name == wanted.workflow_name
        and known.user_message == wanted.user_message
        and (known.input and known.input.digest) == (wanted.input and wanted.input.digest)
        and (known.metadata or None) == (metadata or None)
        and (known.workflow_id, known.workflow_version, known.workflow_hash, known.parent_run_id)
        == (wanted.workflow_id, wanted.workflow_version, wanted.workflow_hash, wanted.parent_run_id)
    )
    if not same:
        raise Conflict(f"run {run_id!r} exists already, with other content", "Use another id.")
    return []


def start(run: Run, worker: str, lease_until: datetime | None) -> Events:
    """Begin a run that has never been begun."""
    if run.status != "pending":
        raise InvalidTransition(f"run {run.id!r}", run.status, "started", steps_from(RUN_STEPS, run.status))
    return [RunStarted(worker, run.epoch + 1, lease_until)]


def wait(run: Run, reason: str, until: datetime | None) -> Events:
    """Note that the run can only go on when something outside happens."""
    if run.status == "waiting" and (run.waiting_reason, run.waiting_until) == (reason, until):
        return []
    check_run(run, "waiting")
    return [RunWaiting(reason, until)]


def resume(
    run: Run,
    running: Sequence[TaskRun],
    worker: str,
    lease_until: datetime | None,
    *,
    first_seen_epoch: int,
    now: datetime,
    force: bool,
) -> Events:
    """Claim a run, and close the attempts whose workers are gone.

    A lease that has not run out protects its holder, whoever asks; so does having claimed the run since this call
    first looked at it, so of two rescuers one wins.
    """
    if run.status not in RESUMABLE:
        raise InvalidTransition(f"run {run.id!r}", run.status, "resumed", steps_from(RUN_STEPS, run.status))
    held = run.status not in TERMINAL and run.lease_until is not None and run.lease_until > now
    if (held and not force) or run.epoch != first_seen_epoch:
        until = timestamp(run.lease_until) if run.lease_until else "it is done"
        raise ClaimHeld(run.id, run.worker or "", until)
    events: Events = [RunResumed(worker, run.epoch + 1, lease_until)]
    return events + _interrupt(running, f"the run was resumed by {worker!r}")


def complete(run: Run, running: Sequence[TaskRun], output: Value | None) -> Events:
    """End a run well. The same output again is no event. Refused while a task is running."""
    if run.status == "completed":
        if (run.output and run.output.digest) == (output and output.digest):
            return []
        raise Conflict(f"run {run.id!r} is completed already, with another output")
    check_run(run, "completed")
    if running:
        names = ", ".join(repr(task.task_id) for task in running[:5])
        raise Conflict(f"run {run.id!r} still has running tasks: {names}", "Complete, fail or cancel them first.")
    return [RunCompleted(output)]


def fail(run: Run, running: Sequence[TaskRun], failure: Failure) -> Events:
    """End a run badly; attempts that are running are closed as interrupted. The same error again is no event."""
    if run.status == "failed" and run.failure is not None:
        if (run.failure.type, run.failure.message) == (failure.type, failure.message):
            return []
        raise Conflict(f"run {run.id!r} has failed already, with another error")
    check_run(run, "failed")
    return [*_interrupt(running, "the run failed"), RunFailed(failure)]


def cancel(run: Run, unfinished: Sequence[TaskRun], reason: str) -> Events:
    """End a run and every task in it that has not ended. Again: no event."""
    if run.status == "cancelled":
        return []
    check_run(run, "cancelled")
    tasks: Events = [
        TaskRunCancelled(task.task_id, task.attempt if task.status == "running" else 0, reason) for task in unfinished
    ]
    return [*tasks, RunCancelled(reason)]


def delete(run: Run, unfinished: Sequence[TaskRun], reason: str, *, force: bool) -> Events:
    """Hide a run. One that has not ended is refused, or with `force` cancelled first. Again: no event."""
    if run.deleted_at is not None:
        return []
    if run.status in TERMINAL:
        return [RunDeleted(reason)]
    if not force:
        raise Conflict(f"run {run.id!r} is {run.status}", "Cancel it first, or delete it with force.")
    return [*cancel(run, unfinished, reason), RunDeleted(reason)]


def _interrupt(running: Sequence[TaskRun], reason: str) -> Events:
    return [TaskRunInterrupted(task.task_id, task.attempt, reason) for task in running]
