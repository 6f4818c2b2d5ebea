"""Commands on task runs that wait for something outside: gates, which somebody decides, and timers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from eventstore.events import TaskRunWaiting
from eventstore.failure import Failure
from eventstore.validate import check_zone
from projections import decide_wait
from projections.decide import Events, TaskState
from projections.rows import TaskRun
from projections.task_commands import TaskCommands


class WaitCommands(TaskCommands):
    """What can be done with gates and timers. A wait outlives workers: resumptions leave it as it is."""

    def wait_task(
        self,
        run_id: str,
        task_id: str,
        reason: str,
        *,
        until: datetime | None = None,
        attempt: int | None = None,
        consumes: Mapping[str, str] | None = None,
        epoch: int | None = None,
    ) -> TaskRun:
        """Have a task wait for something outside, and return it: a timer if `until` is given, otherwise a gate.

        The attempt that is running waits. If none is, the next one begins in the same commit, as made from what
        `consumes` says, or from what the task's dependencies have put out. `complete_task` and `fail_task` end it, a
        timer is completed at its time or later, and anybody can `approve_task` or `reject_task` it.

        The same wait again is no event, and another one of a task that waits a `Conflict`.
        """
        if until is not None:
            check_zone(until)
        self._codec.encode(TaskRunWaiting(task_id, 1, reason, until))  # what no event can hold is refused first

        def decision(state: TaskState) -> Events:
            given = self._consumable(state) if consumes is None else consumes
            return decide_wait.wait(state, reason, until, attempt, given, epoch, now=self._now())

        return self._change_task(run_id, task_id, decision, epoch)

    def approve_task(
        self, run_id: str, task_id: str, output: object = None, *, comment: str = "", attempt: int | None = None
    ) -> TaskRun:
        """Let a task that waits go on: it is completed with this output, a timer also before its time. Say who decides
        with `acting(actor=…)`.

        Decided once, in any run that can still go on, whoever drives it: the same decision again is no event; another
        one, or the same with another output, is a `Conflict` that says what was decided, when and by whom. Give the
        `attempt` that was looked at, so that nobody decides on another one.
        """
        value = self._values.keep(output)
        return self._change_task(
            run_id, task_id, lambda state: decide_wait.approve(state, value, comment, attempt), None
        )

    def reject_task(self, run_id: str, task_id: str, reason: str = "", *, attempt: int | None = None) -> TaskRun:
        """Refuse to let a task that waits go on: it has failed, and is not to be retried by itself. Decided once; see
        `approve_task`.
        """
        failure = self._failure(Failure(type="Rejected", message=reason), retryable=False)
        return self._change_task(
            run_id, task_id, lambda state: decide_wait.reject(state, failure, reason, attempt), None
        )
