"""Commands that have parts of a run done again."""

from __future__ import annotations

from projections import decide_rerun
from projections.commands import Actor
from projections.decide import Events
from projections.decide_rerun import RunState
from projections.rows import Run, TaskRun


class RerunCommands(Actor):
    """What can be done again in a run. Say who wants it with `acting(actor=…)`."""

    def rerun_from(self, run_id: str, task_id: str, *, reason: str = "", epoch: int | None = None) -> list[TaskRun]:
        """Have a task run again, and with it all that depends on it or was made from it, in one commit; return the
        tasks that will run again because of this, in the order they were scheduled.

        Those below it run again even if it puts out the same bytes; to have them run only if it does not, invalidate
        the task alone. Outputs are not to be used again; skipped tasks are decided on again, failed ones retried, and
        cancelled ones stay so, unless it is the named one; gates and timers that are open are cancelled. What is to run
        anyway is left as it is, so repeating this changes nothing. In a failed run it counts from the next resumption
        on.

        `NotFound` if there is no such run or task, `InvalidTransition` if the run is completed or cancelled, which is
        final, or while one of the tasks is running: nothing has changed then.
        """
        again: set[str] = set()

        def look() -> tuple[int, Run | None, RunState | None]:
            version = self._log.version(run_id)
            state = self._queries.run_state(run_id)
            return version, (None if state is None else state.run), state

        def decision(state: RunState) -> Events:
            events = decide_rerun.rerun(state, task_id, reason)
            again.clear()
            again.update(events)
            return [event for events_of_task in events.values() for event in events_of_task]

        self._change_what_is_seen(run_id, look, decision, epoch)
        return self._queries.task_runs_among(run_id, again) if again else []
