"""What an event means for the views: the one function behind tables, files and time travel.

It is pure and never reads: each event carries what its rows need. What would need a look at the past is decided on
the write side, by a command, and its result is in the event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from eventstore.chain import timestamp
from eventstore.events import (
    WORKFLOW_STREAM,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunDeleted,
    RunFailed,
    RunResumed,
    RunStarted,
    RunWaiting,
    TaskRunCancelled,
    TaskRunCompleted,
    TaskRunFailed,
    TaskRunInterrupted,
    TaskRunInvalidated,
    TaskRunRetryScheduled,
    TaskRunReused,
    TaskRunScheduled,
    TaskRunSkipped,
    TaskRunStarted,
    WorkflowDeleted,
    WorkflowSaved,
)
from eventstore.log import PURGES, Purged, RecordedEvent
from projections.rows import Attempt, Delete, Output, Patch, Put, Run, Scalar, TaskRun, Workflow

_NUL_IN_JSON = rb"\u0000"
_RUN_EVENTS = (RunCreated, RunStarted, RunWaiting, RunResumed, RunCompleted, RunFailed, RunCancelled, RunDeleted)


def project(event: msgspec.Struct, recorded: RecordedEvent) -> Iterator[Patch]:
    """The patches an event makes, in order. An event that means nothing to the views makes none.

    A NUL character in a text, which not every database can keep, shows as U+FFFD; the event has it as it was written.
    """
    patches = _patches(event, recorded)
    return map(_without_nul, patches) if _NUL_IN_JSON in recorded.data else patches


def _without_nul(patch: Patch) -> Patch:
    if isinstance(patch, Delete):
        return Delete(patch.table, _shown(patch.key))
    return Put(patch.table, _shown(patch.key), dict(zip(patch.values, _shown(patch.values.values()), strict=True)))


def _shown(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in values)


def _patches(event: msgspec.Struct, recorded: RecordedEvent) -> Iterator[Patch]:
    if isinstance(event, _RUN_EVENTS):
        happened = timestamp(recorded.time)
        values = {"version": recorded.version, "updated_at": happened, **_run_values(event, recorded, happened)}
        yield Put(Run.TABLE, (recorded.stream,), values)
    elif isinstance(event, WorkflowSaved | WorkflowDeleted):
        if recorded.stream == WORKFLOW_STREAM + event.workflow_id:
            yield Put(Workflow.TABLE, (event.workflow_id,), _workflow_values(event, timestamp(recorded.time)))
    elif isinstance(event, Purged):
        if recorded.stream == PURGES:
            yield from removal(event.stream)
    else:
        yield from _task_patches(event, recorded, timestamp(recorded.time))


def removal(stream: str) -> Iterator[Patch]:
    """The patches that take back whatever the stream's events have made."""
    for table in (Run.TABLE, TaskRun.TABLE, Attempt.TABLE, Output.TABLE):
        yield Delete(table, (stream,))
    if stream.startswith(WORKFLOW_STREAM):
        yield Delete(Workflow.TABLE, (stream.removeprefix(WORKFLOW_STREAM),))


def _run_values(event: msgspec.Struct, recorded: RecordedEvent, happened: str) -> dict[str, Scalar]:
    match event:
        case RunCreated():
            return {
                "workflow_name": event.workflow_name,
                "user_message": event.user_message,
                "created_at": happened,
                "input": _json(event.input),
                "metadata": _json(event.metadata),
                "workflow_id": event.workflow_id,
                "workflow_version": event.workflow_version,
                "workflow_hash": event.workflow_hash,
                "parent_run_id": event.parent_run_id,
                "position": recorded.position,
            }
        case RunStarted():
            return {"status": "running", "started_at": happened, **_claim(event)}
        case RunResumed():
            cleared = ("finished_at", "failure", "waiting_reason", "waiting_until")
            return {"status": "running", **dict.fromkeys(cleared), **_claim(event)}
        case RunWaiting():
            return {"status": "waiting", "waiting_reason": event.reason, "waiting_until": _time(event.until)}
        case RunCompleted():
            return {"status": "completed", "finished_at": happened, "output": _json(event.output)}
        case RunFailed():
            return {"status": "failed", "finished_at": happened, "failure": _json(event.failure)}
        case RunCancelled():
            return {"status": "cancelled", "finished_at": happened}
    return {"deleted_at": happened}


def _claim(event: RunStarted | RunResumed) -> dict[str, Scalar]:
    return {"worker": event.worker, "epoch": event.epoch, "lease_until": _time(event.lease_until)}


def _workflow_values(event: WorkflowSaved | WorkflowDeleted, happened: str) -> dict[str, Scalar]:
    if isinstance(event, WorkflowDeleted):
        return {"deleted_at": happened}
    return {
        "name": event.name,
        "version": event.version,
        "hash": event.hash,
        "definition": _json(event.definition),
        "metadata": _json(event.metadata),
        "saved_at": happened,
        "deleted_at": None,
    }


def _task_patches(event: msgspec.Struct, recorded: RecordedEvent, happened: str) -> Iterator[Patch]:
    run_id = recorded.stream

    def task(task_id: str, **values: Scalar) -> Patch:
        return Put(TaskRun.TABLE, (run_id, task_id), {**values, "version": recorded.version})

    def attempt(task_id: str, number: int, **values: Scalar) -> Patch:
        return Put(Attempt.TABLE, (run_id, task_id, number), {**values, "version": recorded.version})

    def no_output(task_id: str) -> Patch:
        return Delete(Output.TABLE, (run_id, task_id))

    match event:
        case TaskRunScheduled(task_id, name):
            yield task(
                task_id,
                name=name,
                status="pending",
                depends_on=_json(event.depends_on),
                input=_json(event.input),
                metadata=_json(event.metadata),
                scheduled_at=happened,
                position=recorded.position,
            )
        case TaskRunStarted(task_id, number):
            first = {"started_at": happened} if number == 1 else {}
            yield task(
                task_id,
                status="running",
                attempt=number,
                finished_at=None,
                reason=None,
                due=None,
                reused_version=None,
                **first,
            )
            yield attempt(
                task_id,
                number,
                status="running",
                worker=event.worker,
                epoch=event.epoch,
                consumes=_json(event.consumes),
                started_at=happened,
            )
            yield no_output(task_id)
        case TaskRunCompleted(task_id, number):
            yield task(task_id, status="completed", attempt=number, finished_at=happened, reason=None)
            yield attempt(task_id, number, status="completed", finished_at=happened, usage=_json(event.usage))
            yield Put(
                Output.TABLE,
                (run_id, task_id),
                {
                    "attempt": number,
                    "output": _json(event.output),
                    "digest": event.output.digest,
                    "consumed": _json(event.consumed),
                    "completed_at": happened,
                    "version": recorded.version,
                },
            )
        case TaskRunFailed(task_id, number):
            failure, usage = _json(event.failure), _json(event.usage)
            yield task(task_id, status="failed", attempt=number, finished_at=happened)
            yield attempt(task_id, number, status="failed", finished_at=happened, failure=failure, usage=usage)
            yield no_output(task_id)
        case TaskRunRetryScheduled(task_id, reason, due):
            yield task(task_id, status="waiting", finished_at=None, reason=reason or "retry", due=_time(due))
            yield no_output(task_id)
        case TaskRunSkipped(task_id, reason):
            yield task(task_id, status="skipped", finished_at=happened, reason=reason or None)
            yield no_output(task_id)
        case TaskRunCancelled(task_id, number, reason):
            yield task(task_id, status="cancelled", finished_at=happened, reason=reason or None)
            if number:
                yield attempt(task_id, number, status="cancelled", finished_at=happened, reason=reason or None)
            yield no_output(task_id)
        case TaskRunInterrupted(task_id, number, reason):
            yield task(task_id, status="pending", reason=reason or None)
            yield attempt(task_id, number, status="interrupted", finished_at=happened, reason=reason or None)
        case TaskRunReused(task_id, version):
            yield task(task_id, reused_version=version)
        case TaskRunInvalidated(task_id, reason):
            yield task(task_id, status="pending", finished_at=None, reason=reason or None, reused_version=None)
            yield no_output(task_id)


def _json(value: object) -> str | None:
    """JSON text for a column; None for nothing at all."""
    if value is None or isinstance(value, msgspec.UnsetType) or value in ({}, ()):
        return None
    return msgspec.json.encode(value).decode()


def _time(value: datetime | None) -> str | None:
    return None if value is None else timestamp(value)
