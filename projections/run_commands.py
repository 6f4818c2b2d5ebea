"""Commands on runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from eventstore.errors import InvalidInput, NotFound, WrongExpectedVersion
from eventstore.events import RunCreated
from eventstore.failure import Failure
from eventstore.log import new_id
from projections import decide_run
from projections.commands import Actor, Resumption
from projections.decide import Events
from projections.rows import Run, TaskRun

_UNFINISHED = ("pending", "running", "waiting")


class RunCommands(Actor):
    """What can be done with a run. `NotFound` if there is none; `InvalidTransition` if its state forbids it."""

    def create_run(
        self,
        workflow_name: str,
        *,
        run_id: str | None = None,
        user_message: str = "",
        input: object = None,
        metadata: Mapping[str, Any] | None = None,
        workflow_id: str | None = None,
        workflow_version: int | None = None,
        workflow_hash: str | None = None,
        parent_run_id: str | None = None,
    ) -> Run:
        """Create a run, pending, and return it as it is kept.

        The same id with the same content again returns the run there is; with other content it is a `Conflict`.
        """
        run_id = str(new_id()) if run_id is None else run_id
        if run_id.startswith("$"):
            raise InvalidInput(f"run id {run_id!r} begins with '$'", "Such ids are reserved for other streams.")
        wanted = RunCreated(
            workflow_name,
            user_message,
            None if input is None else self._values.keep(input),
            self._raw(metadata),
            workflow_id,
            workflow_version,
            workflow_hash,
            parent_run_id,
        )
        while True:
            known = self._queries.get_run(run_id, include_deleted=True)
            try:
                self._append(run_id, decide_run.create(known, run_id, wanted), 0)
            except WrongExpectedVersion:
                if self._queries.get_run(run_id, include_deleted=True) is None:
                    raise  # a stream of something that is not a run
                continue
            return self._existing(run_id)

    def start_run(self, run_id: str, *, worker: str = "", lease: float | None = None) -> Run:
        """Begin a run. Its `epoch` is the claim: give it with every further command, so that this worker is refused
        once another has resumed the run. `lease` is in seconds; until it has run out nobody else can resume the run
        without force. Without one, anybody can at any time.
        """
        return self._change_run(run_id, lambda run: decide_run.start(run, worker, self._until(lease)))

    def wait_run(self, run_id: str, reason: str, *, until: datetime | None = None, epoch: int | None = None) -> Run:
        """Note that the run waits for something outside: an approval, a time, a signal."""
        return self._change_run(run_id, lambda run: decide_run.wait(run, reason, until), epoch)

    def complete_run(self, run_id: str, output: object = None, *, epoch: int | None = None) -> Run:
        """End a run well. Refused while a task of it is running."""
        value = None if output is None else self._values.keep(output)
        return self._change_run(
            run_id, lambda run: decide_run.complete(run, self._tasks(run_id, "running"), value), epoch
        )

    def fail_run(self, run_id: str, error: BaseException | Failure | str, *, epoch: int | None = None) -> Run:
        """End a run badly; its running attempts are closed as interrupted. It can still be resumed."""
        failure = self._failure(error, None)
        return self._change_run(
            run_id, lambda run: decide_run.fail(run, self._tasks(run_id, "running"), failure), epoch
        )

    def cancel_run(self, run_id: str, reason: str = "") -> Run:
        """End a run and every task of it that has not ended. Whoever holds the run is refused from now on."""
        return self._change_run(run_id, lambda run: decide_run.cancel(run, self._tasks(run_id, *_UNFINISHED), reason))

    def delete_run(self, run_id: str, reason: str = "", *, force: bool = False) -> Run:
        """Hide a run and all that belongs to it; its events stay. One that has not ended needs force, which cancels it
        first.
        """
        return self._change_run(
            run_id,
            lambda run: decide_run.delete(run, self._tasks(run_id, *_UNFINISHED), reason, force=force),
            even_deleted=True,
        )

    def resume(self, run_id: str, *, worker: str = "", lease: float | None = None, force: bool = False) -> Resumption:
        """Claim a run after a crash, a failure or a wait, and return what it can go on from.

        Attempts that never ended are closed as interrupted, and their tasks are in doubt in the plan. Of several
        rescuers one wins and the others get `ClaimHeld`, as long as the winner's lease lasts. The claim comes first and
        the plan is read after it, so the old worker can add nothing to what the plan has seen.
        """
        seen = self._queries.get_run(run_id)
        if seen is None:
            raise NotFound("run", run_id)
        claimed = self._change_run(
            run_id,
            lambda run: decide_run.resume(
                run,
                self._tasks(run_id, "running"),
                worker,
                self._until(lease),
                first_seen_epoch=seen.epoch,
                now=self._now(),
                force=force,
            ),
        )
        return Resumption(claimed, seen.epoch + 1, self._queries.resume_plan(run_id))

    def _change_run(
        self, run_id: str, decide: Callable[[Run], Events], epoch: int | None = None, *, even_deleted: bool = False
    ) -> Run:
        self._change(run_id, decide, epoch, even_deleted=even_deleted)
        return self._existing(run_id)

    def _tasks(self, run_id: str, *status: str) -> list[TaskRun]:
        return self._queries.list_task_runs(run_id, status=status)

    def _until(self, lease: float | None) -> datetime | None:
        return None if lease is None else self._from_now(lease, "lease")
