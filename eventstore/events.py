"""The event vocabulary: what can happen to workflows, runs and task runs.

Each event is a frozen struct; its type name on the log is the class name with a small first letter. A run's events
make up the stream with the run's id. Fields are only ever added, with defaults; any other change is a new schema
version with an upcaster, see `eventstore.codec`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from eventstore.failure import Failure
from eventstore.payload import Value
from eventstore.validate import MAX_NUMBER

WORKFLOW_STREAM = "$workflow/"
"""A workflow definition's stream is this prefix and its id. Run ids never begin with `$`."""

TELEMETRY_STREAM = "$telemetry/"
"""What is worth noting about a run and decides nothing stands in a stream of this prefix and the run's id."""

Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
"""A count, from 0, that every backend's tables can hold."""

Version = Annotated[int, msgspec.Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]
"""An event's place in a run: in its stream, or from 0 down among those that a fork has of its origin."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone: without one it would mean another moment on another machine."""


class WorkflowSaved(msgspec.Struct, frozen=True, omit_defaults=True):
    """A new version of a workflow definition. The hash is over the definition alone, not over the metadata."""

    workflow_id: str
    name: str
    version: Number
    hash: str
    definition: Value
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class WorkflowDeleted(msgspec.Struct, frozen=True, omit_defaults=True):
    """A workflow definition is no longer offered. Its runs stay."""

    workflow_id: str
    reason: str = ""


class RunCreated(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run exists, and waits to be started."""

    workflow_name: str
    user_message: str = ""
    input: Value | None = None
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    workflow_id: str | None = None
    workflow_version: Number | None = None
    workflow_hash: str | None = None
    parent_run_id: str | None = None


class RunUpdated(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run's metadata is now this, whole. `write_once` names those of its keys that never change again."""

    metadata: msgspec.Raw
    write_once: tuple[str, ...] = ()


class ChildRunCreated(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run that names this one as its parent was created in the same commit, so whoever decides something for all of
    a run's children cannot miss one.
    """

    run_id: str


class RunForked(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first event of a run that goes on from where another one was: it has what `origin` was at this version, whose
    event has this hash, and refers to those events without copying them. What the origin does later is its own.
    """

    origin: str
    version: Number
    hash: str
    reason: str = ""


class RunForkCreated(msgspec.Struct, frozen=True, omit_defaults=True):
    """Another run was forked from this one, at this version, in the same commit, so whoever removes the run at the
    version he has seen cannot miss a fork.
    """

    run_id: str
    version: Number


class RunStarted(msgspec.Struct, frozen=True, omit_defaults=True):
    """A worker has begun to drive the run. `epoch` fences: only the highest one may go on."""

    worker: str
    epoch: Number = 1
    lease_until: Moment | None = None


class RunWaiting(msgspec.Struct, frozen=True, omit_defaults=True):
    """Nothing can go on until something outside happens."""

    reason: str
    until: Moment | None = None


class RunResumed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A worker has claimed the run, after a crash, a failure or a wait, with a higher epoch than all before."""

    worker: str
    epoch: Number
    lease_until: Moment | None = None
    reason: str = ""


class RunLeaseRenewed(msgspec.Struct, frozen=True, omit_defaults=True):
    """The worker that drives the run is still at it, and nobody else may claim the run before `lease_until`."""

    epoch: Number
    lease_until: Moment


class RunCompleted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run has succeeded. Final."""

    output: Value | None = None


class RunFailed(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run has failed. It can still be resumed."""

    failure: Failure


class RunCancelled(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody has ended the run. Final."""

    reason: str = ""


class RunDeleted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run and all that belongs to it is hidden. Its events stay until it is purged."""

    reason: str = ""


class TaskRunScheduled(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task of the run is known, with the tasks whose outputs it needs. `always_run`: in every resumption, again."""

    task_id: str
    name: str = ""
    depends_on: tuple[str, ...] = ()
    input: Value | None = None
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    always_run: bool = False


class TaskRunUpdated(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task that is still to run has another definition by now: its metadata are now these, whole."""

    task_id: str
    metadata: msgspec.Raw


class TaskRunStarted(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt has begun. `consumes` maps each dependency to the digest of the output it was given, "" for none."""

    task_id: str
    attempt: Number
    worker: str = ""
    consumes: dict[str, str] = {}
    epoch: Number = 0


class TaskRunWaiting(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt goes on when something outside has happened; if `due` is given, that is a time."""

    task_id: str
    attempt: Number
    reason: str = ""
    due: Moment | None = None


class TaskRunApproved(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody has let an attempt that was waiting go on; that it has completed follows in the same commit."""

    task_id: str
    attempt: Number
    comment: str = ""


class TaskRunRejected(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody has refused to let an attempt go on; that it has failed follows in the same commit."""

    task_id: str
    attempt: Number
    reason: str = ""


class TaskRunCompleted(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt has succeeded. `consumed` says which dependency outputs this output was made from."""

    task_id: str
    attempt: Number
    output: Value
    consumed: dict[str, str] = {}
    usage: dict[str, float] = {}


class TaskRunFailed(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt has failed."""

    task_id: str
    attempt: Number
    failure: Failure
    usage: dict[str, float] = {}


class TaskRunRetryScheduled(msgspec.Struct, frozen=True, omit_defaults=True):
    """A failed task may be started again, not before `due` if that is given."""

    task_id: str
    reason: str = ""
    due: Moment | None = None


class TaskRunSkipped(msgspec.Struct, frozen=True, omit_defaults=True):
    """The task will not run in this run: a condition, or a dependency, said so. Not the same as reused."""

    task_id: str
    reason: str = ""


class TaskRunCancelled(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody has ended the task; `attempt` is the one that was running, 0 if none was."""

    task_id: str
    attempt: Number = 0
    reason: str = ""


class TaskRunInterrupted(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt was started and its end will never be known: its worker is gone."""

    task_id: str
    attempt: Number
    reason: str = ""


class TaskRunReused(msgspec.Struct, frozen=True, omit_defaults=True):
    """A resumed run goes on with an output it had: that of the completion at this version of the stream."""

    task_id: str
    version: Version


class TaskRunInvalidated(msgspec.Struct, frozen=True, omit_defaults=True):
    """A completed task's output is not to be used again."""

    task_id: str
    reason: str = ""


class ResultRejected(msgspec.Struct, frozen=True, omit_defaults=True):
    """A worker brought the end of an attempt that was not its to end any more. Noted as telemetry, never in the run."""

    task_id: str
    attempt: Number = 0
    epoch: Number = 0
    code: str = ""
    reason: str = ""


RunEvent = (
    RunCreated
    | RunUpdated
    | ChildRunCreated
    | RunForked
    | RunForkCreated
    | RunStarted
    | RunWaiting
    | RunResumed
    | RunLeaseRenewed
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RunDeleted
    | TaskRunScheduled
    | TaskRunUpdated
    | TaskRunStarted
    | TaskRunCompleted
    | TaskRunFailed
    | TaskRunRetryScheduled
    | TaskRunSkipped
    | TaskRunCancelled
    | TaskRunInterrupted
    | TaskRunReused
    | TaskRunInvalidated
    | TaskRunWaiting
    | TaskRunApproved
    | TaskRunRejected
)
"""All that can stand in a run's stream, besides event types of the user's own."""

WorkflowEvent = WorkflowSaved | WorkflowDeleted
"""All that can stand in a workflow definition's stream."""
