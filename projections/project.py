"""What an event means for the views: the one function behind tables, files and time travel.

It is pure and never reads: each event carries what its rows need. What would need a look at the past is decided on
the write side, by a command, and its result is in the event. What a fork inherits comes to it as events of the fork,
before its own; see `projections.inheritance`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, get_args

import msgspec

from eventstore.board_events import BOARD_STREAM, BoardEvent
from eventstore.chain import timestamp
from eventstore.events import (
    WORKFLOW_STREAM,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunDeleted,
    RunEvent,
    RunFailed,
    RunForked,
    RunLeaseRenewed,
    RunResumed,
    RunStarted,
    RunUpdated,
    RunWaiting,
    TaskRunApproved,
    TaskRunCancelled,
    TaskRunCompleted,
    TaskRunFailed,
    TaskRunInterrupted,
    TaskRunInvalidated,
    TaskRunRejected,
    TaskRunRetryScheduled,
    TaskRunReused,
    TaskRunScheduled,
    TaskRunSkipped,
    TaskRunStarted,
    TaskRunUpdated,
    TaskRunWaiting,
    WorkflowDeleted,
    WorkflowSaved,
)
from eventstore.log import PURGES, Purged, RecordedEvent
from eventstore.references import references
from projections.project_board import board_patches, board_removal
from projections.rows import (
    Attempt,
    BlobReference,
    Delete,
    Output,
    Patch,
    Put,
    Run,
    RunMetadata,
    Scalar,
    TaskRun,
    Workflow,
    WorkflowVersion,
    json_column,
    metadata_digest,
    shown,
    time_column,
)

_NUL_IN_JSON = rb"\u0000"
_NOT_INHERITED = (
    "started_at",
    "finished_at",
    "waiting_reason",
    "waiting_until",
    "output",
    "failure",
    "parent_run_id",
    "worker",
    "lease_until",
    "deleted_at",
)
_RUN_EVENTS = (
    RunCreated,
    RunForked,
    RunUpdated,
    RunStarted,
    RunWaiting,
    RunResumed,
    RunLeaseRenewed,
    RunCompleted,
    RunFailed,
    RunCancelled,
    RunDeleted,
)
_TASK_EVENTS = frozenset(get_args(RunEvent)) - frozenset(_RUN_EVENTS)


def project(event: msgspec.Struct, recorded: RecordedEvent) -> Iterator[Patch]:
    """The patches an event makes, in order. An event that means nothing to the views makes none.

    A NUL character in a text, which not every database can keep, shows as U+FFFD; the event has it as it was written.
    """
    patches = chain(_patches(event, recorded), _references(event, recorded))
    return map(_without_nul, patches) if _NUL_IN_JSON in recorded.data else patches


def _without_nul(patch: Patch) -> Patch:
    if isinstance(patch, Delete):
        return Delete(patch.table, _shown(patch.key))
    return Put(patch.table, _shown(patch.key), dict(zip(patch.values, _shown(patch.values.values()), strict=True)))


def _shown(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(shown(value) if isinstance(value, str) else value for value in values)


def _patches(event: msgspec.Struct, recorded: RecordedEvent) -> Iterable[Patch]:
    if type(event) in _TASK_EVENTS:  # most are, and looking whether they are something else would take 1 µs
        return _task_patches(event, recorded, timestamp(recorded.time))
    if isinstance(event, _RUN_EVENTS):
        return _run_patches(event, recorded, timestamp(recorded.time))
    if isinstance(event, WorkflowSaved | WorkflowDeleted):
        own = recorded.stream == WORKFLOW_STREAM + event.workflow_id
        return _workflow_patches(event, timestamp(recorded.time)) if own else ()
    if isinstance(event, BoardEvent):
        return board_patches(event, recorded) if recorded.stream == BOARD_STREAM + event.task_id else ()
    if isinstance(event, Purged):
        return removal(event.stream) if recorded.stream == PURGES else ()
    return ()


def removal(stream: str) -> Iterator[Patch]:
    """The patches that take back whatever the stream's events have made."""
    yield Delete(BlobReference.TABLE, (stream,))
    if stream.startswith(WORKFLOW_STREAM):
        workflow_id = stream.removeprefix(WORKFLOW_STREAM)
        yield from (Delete(table, (workflow_id,)) for table in (Workflow.TABLE, WorkflowVersion.TABLE))
    elif stream.startswith(BOARD_STREAM):
        yield from board_removal(stream.removeprefix(BOARD_STREAM))
    for table in (Run.TABLE, RunMetadata.TABLE, TaskRun.TABLE, Attempt.TABLE, Output.TABLE):
        yield Delete(table, (stream,))


def _run_patches(event: msgspec.Struct, recorded: RecordedEvent, happened: str) -> Iterator[Patch]:
    values = {"version": recorded.version, "updated_at": happened, **_run_values(event, recorded, happened)}
    yield Put(Run.TABLE, (recorded.stream,), values)
    if isinstance(event, RunCreated | RunUpdated):
        yield from _metadata_patches(event.metadata, recorded.stream)


def _run_values(event: msgspec.Struct, recorded: RecordedEvent, happened: str) -> dict[str, Scalar]:
    match event:
        case RunCreated():
            return {
                "workflow_name": event.workflow_name,
                "user_message": event.user_message,
                "created_at": happened,
                "input": json_column(event.input),
                "metadata": json_column(event.metadata),
                "workflow_id": event.workflow_id,
                "workflow_version": event.workflow_version,
                "workflow_hash": event.workflow_hash,
                "parent_run_id": event.parent_run_id,
                "position": recorded.position,
                "inherits": int(recorded.version < 1),
            }
        case RunForked():
            return {
                **dict.fromkeys(_NOT_INHERITED),
                "status": "pending",
                "created_at": happened,
                "epoch": 0,
                "position": recorded.position,
                "claimed_version": 0,
                "forked_from": event.origin,
                "forked_version": event.version,
            }
        case RunUpdated():
            return {"metadata": json_column(event.metadata), "write_once": json_column(event.write_once)}
        case RunStarted():
            return {"status": "running", "started_at": happened, **_claim(event, recorded)}
        case RunResumed():
            cleared = ("finished_at", "failure", "waiting_reason", "waiting_until")
            return {"status": "running", **dict.fromkeys(cleared), **_claim(event, recorded)}
        case RunLeaseRenewed():
            return {"lease_until": time_column(event.lease_until)}
        case RunWaiting():
            return {"status": "waiting", "waiting_reason": event.reason, "waiting_until": time_column(event.until)}
        case RunCompleted():
            return {"status": "completed", "finished_at": happened, "output": json_column(event.output)}
        case RunFailed():
            return {"status": "failed", "finished_at": happened, "failure": json_column(event.failure)}
        case RunCancelled():
            return {"status": "cancelled", "finished_at": happened}
    return {"deleted_at": happened}


def _claim(event: RunStarted | RunResumed, recorded: RecordedEvent) -> dict[str, Scalar]:
    return {
        "worker": event.worker,
        "epoch": event.epoch,
        "lease_until": time_column(event.lease_until),
        "claimed_version": recorded.version,
    }


def _metadata_patches(metadata: msgspec.Raw | msgspec.UnsetType, run_id: str) -> Iterator[Patch]:
    yield Delete(RunMetadata.TABLE, (run_id,))
    known = {} if isinstance(metadata, msgspec.UnsetType) else json.loads(bytes(metadata))
    if isinstance(known, dict):
        for key, value in known.items():
            yield Put(RunMetadata.TABLE, (run_id, metadata_digest(key, value)), {})


def _workflow_patches(event: WorkflowSaved | WorkflowDeleted, happened: str) -> Iterator[Patch]:
    if isinstance(event, WorkflowDeleted):
        yield Put(Workflow.TABLE, (event.workflow_id,), {"deleted_at": happened})
        return
    values: dict[str, Scalar] = {
        "name": event.name,
        "hash": event.hash,
        "definition": json_column(event.definition),
        "metadata": json_column(event.metadata),
        "saved_at": happened,
    }
    yield Put(Workflow.TABLE, (event.workflow_id,), {**values, "version": event.version, "deleted_at": None})
    yield Put(WorkflowVersion.TABLE, (event.workflow_id, event.version), values)


def _references(event: msgspec.Struct, recorded: RecordedEvent) -> list[Patch]:
    return [Put(BlobReference.TABLE, (recorded.stream, digest), {}) for digest in references(event, recorded)]


def _task_patches(event: msgspec.Struct, recorded: RecordedEvent, happened: str) -> Iterator[Patch]:
    match event:  # the most frequent first: each class before the right one takes 0.06 µs
        case TaskRunCompleted(task_id, number):
            yield _task(recorded, task_id, status="completed", attempt=number, finished_at=happened, reason=None)
            usage, digest = json_column(event.usage), event.output.digest
            yield _attempt(
                recorded, task_id, number, status="completed", finished_at=happened, usage=usage, digest=digest
            )
            output: dict[str, Scalar] = {
                "attempt": number,
                "output": json_column(event.output),
                "digest": digest,
                "consumed": json_column(event.consumed),
                "completed_at": happened,
                "version": recorded.version,
            }
            yield Put(Output.TABLE, (recorded.stream, task_id), output)
        case TaskRunStarted(task_id, number):
            first = {"started_at": happened} if number == 1 else {}
            yield _task(
                recorded,
                task_id,
                status="running",
                attempt=number,
                finished_at=None,
                reason=None,
                reused_version=None,
                **first,
            )
            yield _attempt(
                recorded,
                task_id,
                number,
                status="running",
                worker=event.worker,
                epoch=event.epoch,
                consumes=json_column(event.consumes),
                started_at=happened,
                inherited=int(recorded.version < 1),
            )
            yield _no_output(recorded, task_id)
        case TaskRunScheduled(task_id, name):
            yield _task(
                recorded,
                task_id,
                name=name,
                status="pending",
                depends_on=json_column(event.depends_on),
                input=json_column(event.input),
                metadata=json_column(event.metadata),
                scheduled_at=happened,
                position=recorded.position,
                always_run=int(event.always_run),
            )
        case TaskRunUpdated(task_id, metadata):
            yield _task(recorded, task_id, metadata=json_column(metadata))
        case TaskRunWaiting(task_id, number, reason, due):
            yield _task(
                recorded, task_id, status="waiting", reason=reason, due=time_column(due), waiting_since=happened
            )
            yield _attempt(recorded, task_id, number, status="waiting", reason=reason or None)
        case TaskRunApproved(task_id, number):
            yield from _decided(recorded, task_id, number, "approved")
        case TaskRunRejected(task_id, number):
            yield from _decided(recorded, task_id, number, "rejected")
        case TaskRunFailed(task_id, number):
            failure, usage = json_column(event.failure), json_column(event.usage)
            yield _task(recorded, task_id, status="failed", attempt=number, finished_at=happened)
            yield _attempt(
                recorded, task_id, number, status="failed", finished_at=happened, failure=failure, usage=usage
            )
            yield _no_output(recorded, task_id)
        case TaskRunRetryScheduled(task_id, reason, due):
            yield _task(
                recorded, task_id, status="waiting", finished_at=None, reason=reason or "retry", due=time_column(due)
            )
            yield _no_output(recorded, task_id)
        case TaskRunSkipped(task_id, reason):
            yield _task(recorded, task_id, status="skipped", finished_at=happened, reason=reason or None)
            yield _no_output(recorded, task_id)
        case TaskRunCancelled(task_id, number, reason):
            yield _task(recorded, task_id, status="cancelled", finished_at=happened, reason=reason or None)
            if number:
                yield _attempt(
                    recorded, task_id, number, status="cancelled", finished_at=happened, reason=reason or None
                )
            yield _no_output(recorded, task_id)
        case TaskRunInterrupted(task_id, number, reason):
            yield _task(recorded, task_id, status="pending", reason=reason or None)
            yield _attempt(recorded, task_id, number, status="interrupted", finished_at=happened, reason=reason or None)
        case TaskRunReused(task_id, reused):
            yield _task(recorded, task_id, reused_version=reused)
        case TaskRunInvalidated(task_id, reason):
            yield _task(
                recorded, task_id, status="pending", finished_at=None, reason=reason or None, reused_version=None
            )
            yield _no_output(recorded, task_id)


def _task(recorded: RecordedEvent, task_id: str, **values: Scalar) -> Patch:
    if "status" in values:
        values.setdefault("due", None)
        values.setdefault("waiting_since", None)
    values["version"] = recorded.version
    return Put(TaskRun.TABLE, (recorded.stream, task_id), values)


def _attempt(recorded: RecordedEvent, task_id: str, number: int, **values: Scalar) -> Patch:
    values["version"] = recorded.version
    return Put(Attempt.TABLE, (recorded.stream, task_id, number), values)


def _no_output(recorded: RecordedEvent, task_id: str) -> Patch:
    return Delete(Output.TABLE, (recorded.stream, task_id))


def _decided(recorded: RecordedEvent, task_id: str, number: int, decision: str) -> Iterator[Patch]:
    who = recorded.meta.get("actor")
    yield _task(recorded, task_id)
    yield _attempt(recorded, task_id, number, decision=decision, decided_by=None if who is None else shown(who))
