"""Workflows, executions, task runs and attempts: the words of *state store* for a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from eventstore.errors import InvalidInput, NotFound
from eventstore.failure import Failure
from projections.commands import Resumption
from projections.face import Face
from projections.finalize import TaskEnd
from projections.queries import Page
from projections.rows import Attempt, Output, Run, TaskRun, Workflow, WorkflowVersion


class StateStore(Face):
    """What an engine's state is. An execution is a run of the store, and its state is the run's status.

    Each change is one commit, durable when the call returns. `InvalidTransition` if a state machine forbids it, and
    `NotFound` for what does not exist: nothing was written. `epoch` is the claim that a worker was given, which
    refuses it once another has resumed the execution.
    """

    def save_workflow(
        self, workflow_id: str, definition: object, *, name: str = "", metadata: Mapping[str, Any] | None = None
    ) -> Workflow:
        """Save a definition. The same content makes no new version, whatever its name and metadata."""
        return self.store.save_workflow(workflow_id, definition, name=name, metadata=metadata)

    def get_workflow(
        self,
        workflow_id: str,
        version: int | None = None,
        hash: str | None = None,
        *,
        include_deleted: bool = False,
    ) -> WorkflowVersion | None:
        """A definition: its newest version, or that of this number or content hash. None if there is none, or it was
        deleted. `load` its `definition` for the value, a fresh one each time.
        """
        workflow = self.store.get_workflow(workflow_id, include_deleted=include_deleted)
        if workflow is None:
            return None
        if version is None and hash is None:
            version = workflow.version
        return self.store.get_workflow_version(workflow_id, version=version, hash=hash)

    def list_workflow_versions(self, workflow_id: str) -> list[WorkflowVersion]:
        """All versions of a definition, from the first; those of a deleted one too."""
        return self.store.list_workflow_versions(workflow_id)

    def delete_workflow(self, workflow_id: str, reason: str = "") -> Workflow:
        """No longer offer a definition. Its executions stay. Again: no effect."""
        return self.store.delete_workflow(workflow_id, reason)

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
        """Create an execution, pending, under an id of yours or a new one, and return it as it is kept.

        It is pinned to a version of its definition, if there is one: the newest, or the one given. Without any, it
        needs a name, unless `require_workflow`: `NotFound`. The name is the workflow's id by default. The same id with
        the same content again returns the execution there is; with other content it is a `Conflict`.
        """
        name = workflow_id if workflow_name is None else workflow_name
        if name is None:
            raise InvalidInput("an execution of no workflow", "Give a workflow_id or a workflow_name.")
        return self.store.create_run(
            name,
            run_id=execution_id,
            input=input,
            metadata=metadata,
            workflow_id=workflow_id,
            workflow_version=workflow_version,
            workflow_hash=workflow_hash,
            require_workflow=require_workflow,
            parent_run_id=parent_execution_id,
        )

    def get_execution(self, execution_id: str) -> Run | None:
        """The execution; None if it is unknown or was deleted."""
        return self.store.get_run(execution_id)

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
        """Change the state, the metadata or both, in one commit. See `Store.update_run`."""
        return self.store.update_run(
            execution_id,
            status=state,
            metadata=metadata,
            output=output,
            error=error,
            reason=reason,
            worker=worker,
            lease=lease,
            epoch=epoch,
        )

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
        """End task runs and their execution in one commit, or nothing at all. See `Store.finish_run`."""
        return self.store.finish_run(
            execution_id, state, tasks=tasks, output=output, error=error, reason=reason, epoch=epoch
        )

    def resume_execution(
        self, execution_id: str, *, worker: str = "", lease: float | None = None, force: bool = False
    ) -> Resumption:
        """Claim an execution after a crash, a failure or a wait, and return what it can go on from."""
        return self.store.resume(execution_id, worker=worker, lease=lease, force=force)

    def delete_execution(
        self, execution_id: str, reason: str = "", *, force: bool = False, cascade: bool = False
    ) -> Run:
        """Hide an execution with all that belongs to it; `cascade`: with its child executions. Its events stay.

        One that has not ended is refused, or with `force` cancelled first. Again: no effect.
        """
        return self.store.delete_run(execution_id, reason, force=force, cascade=cascade)

    def list_executions(self, workflow_id: str, *, newest_first: bool = False) -> list[Run]:
        """All executions of a definition, of any version, in the order they were created."""
        return self.store.list_runs(workflow_id=workflow_id, newest_first=newest_first)

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
        """A page of the executions that meet every condition, with the number of all that do.

        `created_from` is included, `created_before` is not; both need a time zone. See `Store.page_runs`.
        """
        return self.store.page_runs(
            status=states,
            workflow_id=workflow_id,
            created_from=created_from,
            created_before=created_before,
            metadata=metadata,
            offset=offset,
            limit=limit,
            newest_first=newest_first,
        )

    def count_executions(
        self,
        *,
        workflow_id: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[str, int]:
        """How many executions meet every condition, by state; every state is there."""
        return self.store.count_runs(
            workflow_id=workflow_id, created_from=created_from, created_before=created_before, metadata=metadata
        )

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
        """Create a task run, pending, of an execution. Again, with the same dependencies: it is left as it is."""
        return self.store.schedule_task(
            execution_id, task_id, name=name, depends_on=depends_on, input=input, metadata=metadata, epoch=epoch
        )

    def get_task_run(self, execution_id: str, task_id: str) -> TaskRun | None:
        """The task run, or None."""
        return self.store.get_task_run(execution_id, task_id)

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
        """Change the state of a task run. `output` goes with `completed`, `error` with `failed`, `worker` with
        `running`, `delay` in seconds with `waiting`, which lets a failed task be started again; `pending` has a
        completed one run again.

        The same again has no effect; for `running` that holds if the attempt is given, or two workers could start one
        task. Of several that contradict each other one wins, and task runs of one execution are no such conflict.
        """
        store, key = self.store, (execution_id, task_id)
        match state:
            case "running":
                store.start_task(*key, worker=worker, attempt=attempt, epoch=epoch)
                return self._task_run(*key)
            case "waiting":
                return store.retry_task(*key, reason=reason, delay=delay, epoch=epoch)
            case "completed":
                return store.complete_task(*key, output, attempt=attempt, usage=usage, epoch=epoch)
            case "failed":
                if error is None:
                    raise InvalidInput(f"task {task_id!r} is to fail without an error", "Say what went wrong.")
                return store.fail_task(*key, error, attempt=attempt, usage=usage, epoch=epoch)
            case "skipped":
                return store.skip_task(*key, reason, epoch=epoch)
            case "cancelled":
                return store.cancel_task(*key, reason, epoch=epoch)
            case "pending":
                return store.invalidate_task(*key, reason, epoch=epoch)
        hint = "Use one of: running, waiting, completed, failed, skipped, cancelled, pending."
        raise InvalidInput(f"unknown task run state {state!r}", hint)

    def list_task_runs(self, execution_id: str, states: str | Collection[str] | None = None) -> list[TaskRun]:
        """All task runs of an execution, or those in one of these states, in the order they were created.

        An unknown execution has none. An unknown state is `InvalidInput`, a ValueError.
        """
        return self.store.list_task_runs(execution_id, status=states)

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
        """Begin the next attempt of a task run: the first of a new one, another one of one that failed, for a reason.

        A completed one has no next attempt, unless `rerun` says that its output is not to be used again. Of several
        calls at once one wins. What lets it start again is a commit before the attempt's own: after a crash between the
        two, the same call goes on.
        """
        task = self._task_run(execution_id, task_id)
        if task.status == "failed":
            self.store.retry_task(execution_id, task_id, reason=reason, epoch=epoch)
        elif task.status == "completed" and rerun:
            self.store.invalidate_task(execution_id, task_id, reason, epoch=epoch)
        return self.store.start_task(execution_id, task_id, worker=worker, epoch=epoch)

    def get_output(self, execution_id: str, task_id: str) -> Output | None:
        """The output of a completed task run, with the attempt it came from; None if there is none. `load` its `output`
        for the value.
        """
        return self.store.get_output(execution_id, task_id)

    def list_attempts(self, execution_id: str, task_id: str) -> list[Attempt]:
        """All attempts of a task run, by number."""
        return self.store.list_attempts(execution_id, task_id)

    def _task_run(self, execution_id: str, task_id: str) -> TaskRun:
        task = self.store.get_task_run(execution_id, task_id)
        if task is None:
            raise NotFound(f"task of run {execution_id!r} named", task_id, "Create it first.")
        return task
