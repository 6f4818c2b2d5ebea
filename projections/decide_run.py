"""What a command on a run comes to: pure functions from its row and its unfinished tasks to the events that follow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from eventstore.chain import timestamp
from eventstore.errors import ClaimHeld, Conflict, InvalidTransition, NotFound
from eventstore.events import (
    ChildRunCreated,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunDeleted,
    RunFailed,
    RunLeaseRenewed,
    RunResumed,
    RunStarted,
    RunWaiting,
    TaskRunInterrupted,
    TaskRunInvalidated,
)
from eventstore.failure import Failure
from eventstore.payload import Value
from projections.decide import Events, cancelled, metadata_of
from projections.rows import Run, TaskRun, Workflow, WorkflowVersion, json_digest
from projections.transitions import ALIVE, RESUMABLE, RUN_STEPS, TERMINAL, check_run, is_open, steps_from


def check_same(known: Run, created: RunCreated | None, wanted: RunCreated) -> None:
    """Raise `Conflict` unless the run that is there was created as it is wanted. A version or hash of the workflow that
    is not given is not compared: it may have been pinned then.
    """
    if known.deleted_at is not None:
        raise Conflict(f"run {known.id!r} was deleted", "Use another id, or purge the run first.")
    same = (
        created is not None
        and (created.workflow_name, created.user_message) == (wanted.workflow_name, wanted.user_message)
        and (created.input and created.input.digest) == (wanted.input and wanted.input.digest)
        and json_digest(metadata_of(created)) == json_digest(metadata_of(wanted))
        and (created.workflow_id, created.parent_run_id) == (wanted.workflow_id, wanted.parent_run_id)
        and wanted.workflow_version in (None, created.workflow_version)
        and wanted.workflow_hash in (None, created.workflow_hash)
    )
    if not same:
        raise Conflict(f"run {known.id!r} exists already, with other content", "Use another id.")


def pin(
    wanted: RunCreated, workflow: Workflow | None, version: WorkflowVersion | None, *, required: bool
) -> RunCreated:
    """The run, with the version and hash of the stored definition that it is of; as it is if there is none, or if it
    was deleted, unless one is required.

    `version` is the one that was asked for, or the newest. Raises `NotFound` if there is none such, `Conflict` if its
    hash is not the one that was asked for.
    """
    if workflow is None or workflow.deleted_at is not None:
        if required:
            hint = "Save it first." if workflow is None else "It was deleted. Save it again first."
            raise NotFound("workflow", wanted.workflow_id or "", hint)
        return wanted
    if version is None:
        asked = wanted.workflow_hash if wanted.workflow_version is None else str(wanted.workflow_version)
        raise NotFound(
            f"version of workflow {workflow.id!r} that is", asked or "", f"Its newest one is {workflow.version}."
        )
    if wanted.workflow_hash not in (None, version.hash):
        reason = f"version {version.version} of workflow {workflow.id!r} does not have the hash that was asked for"
        raise Conflict(reason, "Give one of the two, or both as they were saved.")
    return msgspec.structs.replace(wanted, workflow_version=version.version, workflow_hash=version.hash)


def adopt(parent: Run, run_id: str) -> Events:
    """Note with a run that another one is created as its child. Refused once it is cancelled."""
    if parent.status == "cancelled":
        raise Conflict(f"run {parent.id!r} was cancelled, and gets no more children", "Create the run on its own.")
    return [ChildRunCreated(run_id)]


def start(run: Run, tasks: Sequence[TaskRun], worker: str, lease_until: datetime | None) -> Events:
    """Begin a run that has never been begun. In a fork, tasks that always run do so again."""
    if run.status != "pending":
        raise InvalidTransition(f"run {run.id!r}", run.status, "started", steps_from(RUN_STEPS, run.status))
    return [RunStarted(worker, run.epoch + 1, lease_until), *_again(tasks)]


def wait(run: Run, reason: str, until: datetime | None) -> Events:
    """Note that the run can only go on when something outside happens."""
    if run.status == "waiting" and (run.waiting_reason, run.waiting_until) == (reason, until):
        return []
    check_run(run, "waiting")
    return [RunWaiting(reason, until)]


def resume(
    run: Run,
    tasks: Sequence[TaskRun],
    worker: str,
    lease_until: datetime | None,
    *,
    first_seen_epoch: int,
    now: datetime,
    force: bool,
) -> Events:
    """Claim a run, close the attempts whose workers are gone, and have the tasks run again that always do. What waits
    for something outside has no worker to miss, and goes on waiting.

    A lease that has not run out protects its holder, whoever asks; so does having claimed the run since this call
    first looked at it, so of two rescuers one wins.
    """
    if run.status not in RESUMABLE:
        raise InvalidTransition(f"run {run.id!r}", run.status, "resumed", steps_from(RUN_STEPS, run.status))
    held = run.status not in TERMINAL and run.lease_until is not None and run.lease_until > now
    if (held and not force) or run.epoch != first_seen_epoch:
        raise held_by(run)
    events: Events = [RunResumed(worker, run.epoch + 1, lease_until)]
    return [*events, *_interrupt(tasks, f"the run was resumed by {worker!r}"), *_again(tasks)]


def _again(tasks: Sequence[TaskRun]) -> Events:
    again = [task for task in tasks if task.status == "completed" and task.always_run]
    return [TaskRunInvalidated(task.task_id, "it runs in every resumption") for task in again]


def recover(
    run: Run,
    tasks: Sequence[TaskRun],
    worker: str,
    lease_until: datetime,
    *,
    first_seen_epoch: int,
    now: datetime,
) -> Events:
    """Claim a run whose worker is gone. One that has failed by itself meanwhile is left to whoever looks into that."""
    if run.status not in ALIVE:
        raise InvalidTransition(f"run {run.id!r}", run.status, "recovered", steps_from(RUN_STEPS, run.status))
    return resume(run, tasks, worker, lease_until, first_seen_epoch=first_seen_epoch, now=now, force=False)


def renew(run: Run, lease_until: datetime) -> Events:
    """Keep others from claiming a run that is running, from now on until then: sooner than before, if so."""
    if run.status != "running":
        raise InvalidTransition(f"run {run.id!r}", run.status, "renewed", steps_from(RUN_STEPS, run.status))
    return [RunLeaseRenewed(run.epoch, lease_until)]


def held_by(run: Run) -> ClaimHeld:
    """What to raise for whoever wants a run that another worker drives."""
    return ClaimHeld(run.id, run.worker or "", timestamp(run.lease_until) if run.lease_until else "it is done")


def complete(run: Run, tasks: Sequence[TaskRun], output: Value | None) -> Events:
    """End a run well. The same output again is no event. Refused while a task is running, or a gate or timer open."""
    if run.status == "completed":
        if (run.output and run.output.digest) == (output and output.digest):
            return []
        raise Conflict(f"run {run.id!r} is completed already, with another output")
    check_run(run, "completed")
    for status in ("running", "waiting"):
        still = [repr(task.task_id) for task in tasks if is_open(task) and task.status == status]
        if still:
            names = ", ".join(still[:5])
            raise Conflict(f"run {run.id!r} still has {status} tasks: {names}", "Complete, fail or cancel them first.")
    return [RunCompleted(output)]


def fail(run: Run, tasks: Sequence[TaskRun], failure: Failure) -> Events:
    """End a run badly; attempts that are running are closed as interrupted, and gates and timers stay open for a
    resumption. The same error again is no event.
    """
    if run.status == "failed" and run.failure is not None:
        if (run.failure.type, run.failure.message) == (failure.type, failure.message):
            return []
        raise Conflict(f"run {run.id!r} has failed already, with another error")
    check_run(run, "failed")
    return [*_interrupt(tasks, "the run failed"), RunFailed(failure)]


def cancel(run: Run, unfinished: Sequence[TaskRun], reason: str) -> Events:
    """End a run and every task in it that has not ended. Again: no event."""
    if run.status == "cancelled":
        return []
    check_run(run, "cancelled")
    return [*(cancelled(task, reason) for task in unfinished), RunCancelled(reason)]


def cancel_descendant(run: Run, unfinished: Sequence[TaskRun], reason: str) -> Events:
    """End a run because one above it is ended. One that has ended by itself is left as it is."""
    ended = run.status in TERMINAL or run.deleted_at is not None
    return [] if ended else cancel(run, unfinished, reason)


def delete(run: Run, unfinished: Sequence[TaskRun], reason: str, *, force: bool) -> Events:
    """Hide a run. One that has not ended is refused, or with `force` cancelled first. Again: no event."""
    if run.deleted_at is not None:
        return []
    if run.status in TERMINAL:
        return [RunDeleted(reason)]
    if not force:
        raise Conflict(f"run {run.id!r} is {run.status}", "Cancel it first, or delete it with force.")
    return [*cancel(run, unfinished, reason), RunDeleted(reason)]


def _interrupt(tasks: Sequence[TaskRun], reason: str) -> Events:
    return [TaskRunInterrupted(task.task_id, task.attempt, reason) for task in tasks if task.status == "running"]
