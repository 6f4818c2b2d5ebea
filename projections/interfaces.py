"""What each of the three faces gives, as protocols: for engines to be typed against, and for other stores to implement.

The classes say in full what each call does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, Unpack
from uuid import UUID

from eventstore.failure import Failure
from eventstore.log import RecordedEvent
from eventstore.payload import Value
from projections.commands import Resumption
from projections.finalize import TaskEnd
from projections.findings import Finding
from projections.queries import Page
from projections.rows import Attempt, Output, Run, TaskRun, Workflow, WorkflowVersion
from projections.run_filter import RunFilter, Status


class IWorkflowStore(Protocol):
    """Runs, their events and their node outputs; see `WorkflowStore`."""

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
        """Create a run, pending, under an id of yours or a new one, and return it as it is kept."""

    def get_workflow_run(self, id: str) -> Run | None:
        """The run; None if it is unknown or was deleted."""

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
        """Change the status, the metadata or both, in one commit, and return the run."""

    def list_workflow_runs(
        self,
        *,
        status: Status = None,
        offset: int = 0,
        limit: int = 50,
        newest_first: bool = False,
        **wanted: Unpack[RunFilter],
    ) -> Page:
        """A page of the runs that meet every condition, with the number of all that do."""

    def count_workflow_runs(self, **wanted: Unpack[RunFilter]) -> dict[str, int]:
        """How many runs meet every condition, by status; every status is there."""

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
        """Append an event to a run, and return it as it stands on the log."""

    def list_workflow_events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[RecordedEvent]:
        """The events of a run behind a version, in the order they were appended."""

    def get_completed_dag_node_outputs(self, run_id: str) -> dict[str, Any]:
        """The exact outputs that a resumed run may go on with, by node, in the order of completion: all of them."""

    def pause_workflow_run(
        self, id: str, reason: str, *, until: datetime | None = None, epoch: int | None = None
    ) -> Run:
        """Note that a run waits for something outside: an approval, a time, a signal."""

    def resume_workflow_run(
        self, id: str, *, worker: str = "", lease: float | None = None, force: bool = False
    ) -> Resumption:
        """Claim a run after a crash, a failure or a pause, and return what it can go on from."""

    def cancel_workflow_run(self, id: str, reason: str = "", *, cascade: bool = True) -> Run:
        """End a run, every node of it that has not ended, and its child runs unless told not to."""

    def delete_workflow_run(self, id: str, reason: str = "", *, force: bool = False, cascade: bool = False) -> Run:
        """Hide a run with all that belongs to it; `cascade`: with its child runs."""

    def close(self) -> None:
        """Release what `open` opened."""

    def load(self, value: Value) -> Any:
        """The exact value of an input, an output or a definition."""


class IStateStore(Protocol):
    """Workflows, executions, task runs and attempts; see `StateStore`."""

    def save_workflow(
        self, workflow_id: str, definition: object, *, name: str = "", metadata: Mapping[str, Any] | None = None
    ) -> Workflow:
        """Save a definition."""

    def get_workflow(
        self, workflow_id: str, version: int | None = None, hash: str | None = None, *, include_deleted: bool = False
    ) -> WorkflowVersion | None:
        """A definition: its newest version, or that of this number or content hash."""

    def list_workflow_versions(self, workflow_id: str) -> list[WorkflowVersion]:
        """All versions of a definition, from the first; those of a deleted one too."""

    def delete_workflow(self, workflow_id: str, reason: str = "") -> Workflow:
        """No longer offer a definition."""

    def create_execution(
        self,
        workflow_id: str | None = None,
        *,
        execution_id: str | None = None,
        workflow_name: str | None = None,
        workflow_version: int | None = None,
        workflow_hash: str | None = None,
        require_workflow: bool = False,
        input: object = None,
        metadata: Mapping[str, Any] | None = None,
        parent_execution_id: str | None = None,
    ) -> Run:
        """Create an execution, pending, under an id of yours or a new one, and return it as it is kept."""

    def get_execution(self, execution_id: str) -> Run | None:
        """The execution; None if it is unknown or was deleted."""

    def update_execution(
        self,
        execution_id: str,
        state: str | None = None,
        *,
        output: object = None,
        error: BaseException | Failure | str | None = None,
        metadata: Mapping[str, Any] | None = None,
        reason: str = "",
        worker: str = "",
        lease: float | None = None,
        epoch: int | None = None,
    ) -> Run:
        """Change the state, the metadata or both, in one commit."""

    def finish(
        self,
        execution_id: str,
        state: str,
        tasks: Mapping[str, TaskEnd],
        *,
        output: object = None,
        error: BaseException | Failure | str | None = None,
        reason: str = "",
        epoch: int | None = None,
    ) -> Run:
        """End task runs and their execution in one commit, or nothing at all."""

    def resume_execution(
        self, execution_id: str, *, worker: str = "", lease: float | None = None, force: bool = False
    ) -> Resumption:
        """Claim an execution after a crash, a failure or a wait, and return what it can go on from."""

    def delete_execution(
        self, execution_id: str, reason: str = "", *, force: bool = False, cascade: bool = False
    ) -> Run:
        """Hide an execution with all that belongs to it; `cascade`: with its child executions."""

    def list_executions(self, workflow_id: str, *, newest_first: bool = False) -> list[Run]:
        """All executions of a definition, of any version, in the order they were created."""

    def query_executions(
        self,
        *,
        states: str | Collection[str] | None = None,
        workflow_id: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        offset: int = 0,
        limit: int = 50,
        newest_first: bool = False,
    ) -> Page:
        """A page of the executions that meet every condition, with the number of all that do."""

    def count_executions(
        self,
        *,
        workflow_id: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[str, int]:
        """How many executions meet every condition, by state; every state is there."""

    def create_task_run(
        self,
        execution_id: str,
        task_id: str,
        *,
        name: str = "",
        depends_on: Sequence[str] = (),
        input: object = None,
        metadata: Mapping[str, Any] | None = None,
        epoch: int | None = None,
    ) -> TaskRun:
        """Create a task run, pending, of an execution."""

    def get_task_run(self, execution_id: str, task_id: str) -> TaskRun | None:
        """The task run, or None."""

    def update_task_run(
        self,
        execution_id: str,
        task_id: str,
        state: str,
        *,
        output: object = None,
        error: BaseException | Failure | str | None = None,
        attempt: int | None = None,
        reason: str = "",
        delay: float = 0,
        usage: Mapping[str, float] | None = None,
        worker: str = "",
        epoch: int | None = None,
    ) -> TaskRun:
        """Change the state of a task run."""

    def list_task_runs(self, execution_id: str, states: str | Collection[str] | None = None) -> list[TaskRun]:
        """All task runs of an execution, or those in one of these states, in the order they were created."""

    def record_attempt(
        self,
        execution_id: str,
        task_id: str,
        *,
        reason: str = "",
        worker: str = "",
        rerun: bool = False,
        epoch: int | None = None,
    ) -> Attempt:
        """Begin the next attempt of a task run."""

    def get_output(self, execution_id: str, task_id: str) -> Output | None:
        """The output of a completed task run, with the attempt it came from; None if there is none."""

    def list_attempts(self, execution_id: str, task_id: str) -> list[Attempt]:
        """All attempts of a task run, by number."""

    def close(self) -> None:
        """Release what `open` opened."""

    def load(self, value: Value) -> Any:
        """The exact value of an input, an output or a definition."""


class ITaskStore(Protocol):
    """The states of tasks; see `TaskStore`."""

    def create_workflow(
        self,
        workflow_id: str,
        name: str = "",
        *,
        metadata: Mapping[str, Any] | None = None,
        worker: str = "",
        lease: float | None = None,
    ) -> Run:
        """Create a workflow and begin it, so that its tasks can start."""

    def get_workflow(self, workflow_id: str) -> Run | None:
        """The workflow; None if it is unknown or was deleted."""

    def resume_workflow(
        self, workflow_id: str, *, worker: str = "", lease: float | None = None, force: bool = False
    ) -> Resumption:
        """Claim a workflow after a crash or a failure."""

    def finish_workflow(
        self, workflow_id: str, output: object = None, *, error: BaseException | Failure | str | None = None
    ) -> Run:
        """End a workflow: well, or badly if there is an error."""

    def delete_workflow(self, workflow_id: str, reason: str = "", *, force: bool = False, cascade: bool = False) -> Run:
        """Hide a workflow, and with it all of its tasks, attempts and results; its events stay."""

    def persist_start(
        self,
        workflow_id: str,
        task_id: str,
        *,
        worker: str = "",
        attempt: int | None = None,
        name: str = "",
        depends_on: Sequence[str] = (),
        input: object = None,
        create_missing: bool = False,
        time: datetime | None = None,
        epoch: int | None = None,
    ) -> Attempt:
        """Note that a task is running, and return the attempt that this begins."""

    def persist_completion(
        self,
        workflow_id: str,
        task_id: str,
        output: object = None,
        *,
        attempt: int | None = None,
        implicit_start: bool = False,
        usage: Mapping[str, float] | None = None,
        time: datetime | None = None,
        epoch: int | None = None,
    ) -> TaskRun:
        """Note that a task is completed, with its output, however large."""

    def persist_failure(
        self,
        workflow_id: str,
        task_id: str,
        error: BaseException | Failure | str,
        *,
        attempt: int | None = None,
        retryable: bool | None = None,
        usage: Mapping[str, float] | None = None,
        time: datetime | None = None,
        epoch: int | None = None,
    ) -> TaskRun:
        """Note that a task has failed, with all that is known of the error."""

    def retry(
        self, workflow_id: str, task_id: str, *, reason: str = "", delay: float = 0, epoch: int | None = None
    ) -> TaskRun:
        """Let a failed task be started again, `delay` seconds from now at the earliest."""

    def get_task(self, workflow_id: str, task_id: str) -> TaskRun | None:
        """The task's state, or None."""

    def list_tasks(self, workflow_id: str, statuses: str | Collection[str] | None = None) -> list[TaskRun]:
        """All tasks of a workflow, or those in one of these states, in the order they became known."""

    def list_attempts(self, workflow_id: str, task_id: str) -> list[Attempt]:
        """All tries of a task, by number."""

    def get_result(self, workflow_id: str, task_id: str) -> Any:
        """The exact output of a completed task; None if there is no such task."""

    def get_error(self, workflow_id: str, task_id: str) -> Failure | None:
        """The whole error of the latest attempt that failed, even if a later one succeeded."""

    def list_errors(self, workflow_id: str, task_id: str) -> dict[int, Failure]:
        """The whole errors of all attempts that failed, by their numbers."""

    def detect_orphans(self) -> tuple[Finding, ...]:
        """What belongs to nothing."""

    def close(self) -> None:
        """Release what `open` opened."""

    def load(self, value: Value) -> Any:
        """The exact value of an input, an output or a definition."""
