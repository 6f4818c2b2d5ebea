"""Runs, their events and their node outputs: the words of *workflow store* for a store.

Every method also has the name that document gives it, such as `createWorkflowRun`.
"""

# ruff: noqa: N815  # those names are not ours to choose

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Unpack
from uuid import UUID

from eventstore.errors import InvalidInput
from eventstore.failure import Failure
from eventstore.log import RecordedEvent
from projections.commands import Resumption
from projections.face import Face
from projections.facts import tell
from projections.queries import Page
from projections.rows import Run
from projections.run_filter import RunFilter, Status


class WorkflowStore(Face):
    """What an engine keeps of its runs. Whatever is written is durable when the call returns; `NotFound` for a run that
    does not exist, `InvalidTransition` for a step its state forbids: nothing was written.
    """

    def create_workflow_run(
        self,
        workflow_name: str,
        *,
        id: str | None = None,
        user_message: str = "",
        input: object = None,
        metadata: Mapping[str, Any] | None = None,
        parent_run_id: str | None = None,
        workflow_id: str | None = None,
        workflow_version: int | None = None,
        workflow_hash: str | None = None,
    ) -> Run:
        """Create a run, pending, under an id of yours or a new one, and return it as it is kept.

        The same id with the same content again returns the run there is; with other content it is a `Conflict`. What
        cannot be kept exactly is `InvalidValue`, and nothing is created.
        """
        return self.store.create_run(
            workflow_name,
            run_id=id,
            user_message=user_message,
            input=input,
            metadata=metadata,
            parent_run_id=parent_run_id,
            workflow_id=workflow_id,
            workflow_version=workflow_version,
            workflow_hash=workflow_hash,
        )

    def get_workflow_run(self, id: str) -> Run | None:
        """The run; None if it is unknown or was deleted."""
        return self.store.get_run(id)

    def update_workflow_run(
        self,
        id: str,
        *,
        status: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        write_once: Mapping[str, Any] | None = None,
        output: object = None,
        error: BaseException | Failure | str | None = None,
        reason: str = "",
        worker: str = "",
        lease: float | None = None,
        epoch: int | None = None,
    ) -> Run:
        """Change the status, the metadata or both, in one commit, and return the run. No change: no event.

        Each key of `metadata` replaces what stood under it, whole, and other keys stay; those in `write_once` can never
        be changed again. See `Store.update_run`.
        """
        return self.store.update_run(
            id,
            status=status,
            metadata=metadata,
            write_once=write_once,
            output=output,
            error=error,
            reason=reason,
            worker=worker,
            lease=lease,
            epoch=epoch,
        )

    def list_workflow_runs(
        self,
        *,
        status: Status = None,
        offset: int = 0,
        limit: int = 50,
        newest_first: bool = False,
        **wanted: Unpack[RunFilter],
    ) -> Page:
        """A page of the runs that meet every condition, with the number of all that do. See `Store.page_runs`."""
        return self.store.page_runs(status=status, offset=offset, limit=limit, newest_first=newest_first, **wanted)

    def count_workflow_runs(self, **wanted: Unpack[RunFilter]) -> dict[str, int]:
        """How many runs meet every condition, by status; every status is there."""
        return self.store.count_runs(**wanted)

    def create_workflow_event(
        self,
        run_id: str,
        event_type: str,
        data: Any = None,
        *,
        event_id: UUID | None = None,
        time: datetime | None = None,
        epoch: int | None = None,
    ) -> RecordedEvent:
        """Append an event to a run, and return it as it stands on the log.

        A type with a dot in it, such as `billing.charged`, is your own: `data` is any JSON value. All others are facts
        about the run and its tasks, in the vocabulary's words (`runCompleted`, `taskRunFailed` …) or as
        `workflow_completed`, `node_failed` and so on, see `projections.facts`: `data` holds their fields, and what they
        say of the status is checked as if it had been changed by command. A fact that holds already, from here or from
        `update_workflow_run`, is not appended again: its event is returned. So is the event of an `event_id` that was
        told before.

        `node_started` of a node nobody has heard of makes it known first, in a commit of its own; a crash between the
        two leaves it pending, and the same event again goes on. `time` is when it happened, by default now; the order
        of events is that of the calls. `Fenced` if `epoch` is given and another worker has resumed the run since.
        `InvalidInput` for any other type. Never silent: what is not persisted raises.
        """
        if "." in event_type:
            return self.store.add_event(run_id, event_type, data, event_id=event_id, time=time, epoch=epoch)
        if data is not None and not isinstance(data, Mapping):
            raise InvalidInput(f"data of {event_type} is {type(data).__name__}", "Give its fields by their names.")
        return tell(self._at(time), run_id, event_type, data or {}, event_id=event_id, epoch=epoch)

    def list_workflow_events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[RecordedEvent]:
        """The events of a run behind a version, in the order they were appended; all of them unless there is a limit.

        None for an unknown run, or a deleted one.
        """
        if limit is not None and limit < 0:
            raise InvalidInput(f"a limit of {limit}", "Give a number from 0, or None for all.")
        if self.store.get_run(run_id) is None:
            return []
        return list(islice(self.store.log.read(run_id, after=after), limit))

    def get_completed_dag_node_outputs(self, run_id: str) -> dict[str, Any]:
        """The exact outputs that a resumed run may go on with, by node, in the order of completion: all of them.

        Empty for a run without any. Raises `NotFound` for an unknown run, and whatever is wrong with the storage: it
        never returns less than there is.
        """
        return self.store.get_completed_node_outputs(run_id)

    def pause_workflow_run(
        self, id: str, reason: str, *, until: datetime | None = None, epoch: int | None = None
    ) -> Run:
        """Note that a run waits for something outside: an approval, a time, a signal. The same again has no effect."""
        return self.store.wait_run(id, reason, until=until, epoch=epoch)

    def resume_workflow_run(
        self, id: str, *, worker: str = "", lease: float | None = None, force: bool = False
    ) -> Resumption:
        """Claim a run after a crash, a failure or a pause, and return what it can go on from. See `Store.resume`."""
        return self.store.resume(id, worker=worker, lease=lease, force=force)

    def cancel_workflow_run(self, id: str, reason: str = "", *, cascade: bool = True) -> Run:
        """End a run, every node of it that has not ended, and its child runs unless told not to. Again: no effect."""
        return self.store.cancel_run(id, reason, cascade=cascade)

    def delete_workflow_run(self, id: str, reason: str = "", *, force: bool = False, cascade: bool = False) -> Run:
        """Hide a run with all that belongs to it; `cascade`: with its child runs. Its events stay.

        One that has not ended is refused, or with `force` cancelled first. Again: no effect.
        """
        return self.store.delete_run(id, reason, force=force, cascade=cascade)

    createWorkflowRun = create_workflow_run
    getWorkflowRun = get_workflow_run
    updateWorkflowRun = update_workflow_run
    listWorkflowRuns = list_workflow_runs
    countWorkflowRuns = count_workflow_runs
    createWorkflowEvent = create_workflow_event
    listWorkflowEvents = list_workflow_events
    getCompletedDagNodeOutputs = get_completed_dag_node_outputs
    pauseWorkflowRun = pause_workflow_run
    resumeWorkflowRun = resume_workflow_run
    cancelWorkflowRun = cancel_workflow_run
    deleteWorkflowRun = delete_workflow_run
