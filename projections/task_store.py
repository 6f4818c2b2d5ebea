"""Task states for engines that keep nothing else: the words of *task state persistence* for a store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from eventstore.errors import InvalidTransition
from eventstore.failure import Failure
from projections.commands import Resumption
from projections.face import Face
from projections.findings import Finding
from projections.rows import Attempt, Run, TaskRun


class TaskStore(Face):
    """What has become of the tasks of a workflow. Here a workflow is one execution: a run of the store.

    Whatever is persisted is durable when the call returns, or the call raises and nothing is. `time` is when it
    happened, if the engine noted that itself; by default it is now.
    """

    def create_workflow(
        self,
        workflow_id: str,
        name: str = "",
        *,
        metadata: Mapping[str, Any] | None = None,
        worker: str = "",
        lease: float | None = None,
    ) -> Run:
        """Create a workflow and begin it, so that its tasks can start. `name` is its id by default.

        Again with the same content: the workflow as it is by now. With other content: `Conflict`.
        """
        created = self.store.create_run(name or workflow_id, run_id=workflow_id, metadata=metadata)
        if created.status != "pending":
            return created
        try:
            return self.store.start_run(workflow_id, worker=worker, lease=lease)
        except InvalidTransition:  # another call has begun it meanwhile
            return self.store.get_run(workflow_id) or created

    def get_workflow(self, workflow_id: str) -> Run | None:
        """The workflow; None if it is unknown or was deleted."""
        return self.store.get_run(workflow_id)

    def resume_workflow(
        self, workflow_id: str, *, worker: str = "", lease: float | None = None, force: bool = False
    ) -> Resumption:
        """Claim a workflow after a crash or a failure. Tasks that were running are pending again, and may be started.
        `ClaimHeld` if another worker has it. See `Store.resume`.
        """
        return self.store.resume(workflow_id, worker=worker, lease=lease, force=force)

    def finish_workflow(
        self, workflow_id: str, output: object = None, *, error: BaseException | Failure | str | None = None
    ) -> Run:
        """End a workflow: well, or badly if there is an error. The same again has no effect."""
        if error is None:
            return self.store.complete_run(workflow_id, output)
        return self.store.fail_run(workflow_id, error)

    def delete_workflow(self, workflow_id: str, reason: str = "", *, force: bool = False, cascade: bool = False) -> Run:
        """Hide a workflow, and with it all of its tasks, attempts and results; its events stay. `cascade`: so are the
        workflows it started.

        One that has not ended is refused, or with `force` cancelled first. Again: no effect. Its id is not free before
        it is purged.
        """
        return self.store.delete_run(workflow_id, reason, force=force, cascade=cascade)

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
        """Note that a task is running, and return the attempt that this begins.

        A task nobody has heard of is made known first, in a commit of its own; a crash between the two leaves it
        pending, and the same call goes on. `NotFound` for an unknown workflow, unless `create_missing` creates it. The
        same attempt by the same worker again has no effect; a task that has ended is refused until it is retried.
        """
        store = self._at(time)
        if create_missing and store.get_run(workflow_id) is None:
            self.create_workflow(workflow_id)
        if store.get_task_run(workflow_id, task_id) is None:
            store.schedule_task(workflow_id, task_id, name=name, depends_on=depends_on, input=input, epoch=epoch)
        return store.start_task(workflow_id, task_id, worker=worker, attempt=attempt, epoch=epoch)

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
        """Note that a task is completed, with its output, however large.

        The same output again has no effect; another one is a `Conflict`. A task that never started is refused, unless
        `implicit_start` says that it was done elsewhere. Give the `attempt` so that a late worker is refused.
        """
        return self._at(time).complete_task(
            workflow_id, task_id, output, attempt=attempt, usage=usage, epoch=epoch, implicit_start=implicit_start
        )

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
        """Note that a task has failed, with all that is known of the error: an exception with its traceback and causes,
        a `Failure` for a crash that left none, or a text. The same error again has no effect.
        """
        return self._at(time).fail_task(
            workflow_id, task_id, error, attempt=attempt, retryable=retryable, usage=usage, epoch=epoch
        )

    def retry(
        self, workflow_id: str, task_id: str, *, reason: str = "", delay: float = 0, epoch: int | None = None
    ) -> TaskRun:
        """Let a failed task be started again, `delay` seconds from now at the earliest."""
        return self.store.retry_task(workflow_id, task_id, reason=reason, delay=delay, epoch=epoch)

    def get_task(self, workflow_id: str, task_id: str) -> TaskRun | None:
        """The task's state, or None."""
        return self.store.get_task_run(workflow_id, task_id)

    def list_tasks(self, workflow_id: str, statuses: str | Collection[str] | None = None) -> list[TaskRun]:
        """All tasks of a workflow, or those in one of these states, in the order they became known. No hidden limit.

        An unknown workflow has none. An unknown status is `InvalidInput`, a ValueError; no status gives no task.
        """
        return self.store.list_task_runs(workflow_id, status=statuses)

    def list_attempts(self, workflow_id: str, task_id: str) -> list[Attempt]:
        """All tries of a task, by number."""
        return self.store.list_attempts(workflow_id, task_id)

    def get_result(self, workflow_id: str, task_id: str) -> Any:
        """The exact output of a completed task; None if there is no such task. `NotFound` if the task has none, since
        None may be an output; `BlobMissing` or `BlobCorrupt` if its bytes are gone.
        """
        if self.store.get_task_run(workflow_id, task_id) is None:
            return None
        return self.store.get_result(workflow_id, task_id)

    def get_error(self, workflow_id: str, task_id: str) -> Failure | None:
        """The whole error of the latest attempt that failed, even if a later one succeeded; None if none has failed."""
        return self.store.get_failure(workflow_id, task_id)

    def list_errors(self, workflow_id: str, task_id: str) -> dict[int, Failure]:
        """The whole errors of all attempts that failed, by their numbers."""
        attempts = self.store.list_attempts(workflow_id, task_id)
        return {each.attempt: self.store.whole_failure(each.failure) for each in attempts if each.failure is not None}

    def detect_orphans(self) -> tuple[Finding, ...]:
        """What belongs to nothing: tasks without a workflow, attempts without a task; each with what to do about it.
        Changes nothing.
        """
        return self.store.orphans()
