"""Ending a run and any number of its tasks in one commit: all of it holds, or nothing does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from eventstore.errors import InvalidInput
from eventstore.failure import Failure
from projections import decide, decide_run
from projections.commands import Actor
from projections.decide import Events, TaskState
from projections.rows import Run, TaskRun
from projections.transitions import UNFINISHED

EndTask = Callable[[TaskState], Events]
EndRun = Callable[[Run, Sequence[TaskRun]], Events]
"""What the end of a run comes to, given those of its tasks that have not ended."""


class TaskEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How one task ends: completed with its output, failed with its error, skipped or cancelled for a reason."""

    status: str
    output: object = None
    error: BaseException | Failure | str | None = None
    reason: str = ""
    attempt: int | None = None
    usage: Mapping[str, float] | None = None


class _Seen(msgspec.Struct, frozen=True):
    """A run, those of its tasks that are to end, and all that have not ended."""

    run: Run
    states: Mapping[str, TaskState]
    unfinished: Sequence[TaskRun]


class FinalizeCommands(Actor):
    """Ends of runs with those of their tasks."""

    def finish_run(
        self,
        run_id: str,
        status: str,
        *,
        tasks: Mapping[str, TaskEnd],
        output: object = None,
        error: BaseException | Failure | str | None = None,
        reason: str = "",
        epoch: int | None = None,
    ) -> Run:
        """End tasks of a run, in the order given, and then the run, in one commit.

        Each end is held against what is there as the command for it alone would: one that is refused refuses them all,
        and nothing is written. What has come to the same end already is left as it is, so the same call again has no
        effect. Tasks that are not named fare as when the run ends alone: `completed` is refused while one is running,
        or a gate or timer open; `failed` closes running ones as interrupted; `cancelled` cancels all that have not
        ended. Child runs go on.
        """
        end_run = self._end_of_run(status, output, error, reason)
        ends = {task_id: self._end_of_task(task_id, end) for task_id, end in tasks.items()}

        def look() -> tuple[int, Run | None, _Seen | None]:
            version, run = self._queries.run_at(run_id)
            return version, run, None if run is None else self._seen(run, list(ends))

        self._change_what_is_seen(run_id, look, lambda seen: finish(seen, ends, end_run), epoch)
        return self._existing(run_id)

    def _seen(self, run: Run, task_ids: list[str]) -> _Seen:
        tasks = {task.task_id: task for task in self._queries.task_runs_among(run.id, task_ids)}
        outputs = {output.task_id: output for output in self._queries.outputs_among(run.id, task_ids)}
        latest = {attempt.task_id: attempt for attempt in self._queries.latest_attempts_among(run.id, task_ids)}
        states = {
            task_id: TaskState(run, task_id, tasks.get(task_id), latest.get(task_id), outputs.get(task_id))
            for task_id in task_ids
        }
        return _Seen(run, states, self._queries.list_task_runs(run.id, status=UNFINISHED))

    def _end_of_run(
        self, status: str, output: object, error: BaseException | Failure | str | None, reason: str
    ) -> EndRun:
        match status:
            case "completed":
                value = None if output is None else self._values.keep(output)
                return lambda run, unfinished: decide_run.complete(run, unfinished, value)
            case "failed":
                failure = self._failure(_given(error, "the run"), None)
                return lambda run, unfinished: decide_run.fail(run, unfinished, failure)
            case "cancelled":
                return lambda run, unfinished: decide_run.cancel(run, unfinished, reason)
        raise InvalidInput(f"a run cannot end as {status!r}", "Use one of: completed, failed, cancelled.")

    def _end_of_task(self, task_id: str, end: TaskEnd) -> EndTask:
        if not isinstance(end, TaskEnd):
            raise InvalidInput(f"the end of task {task_id!r} is {type(end).__name__}", "Give a TaskEnd.")
        usage = end.usage or {}
        match end.status:
            case "completed":
                value = self._values.keep(end.output)
                return lambda state: decide.complete(state, value, end.attempt, usage, now=self._now())
            case "failed":
                failure = self._failure(_given(end.error, f"task {task_id!r}"), None)
                return lambda state: decide.fail(state, failure, end.attempt, usage)
            case "skipped":
                return lambda state: decide.skip(state, end.reason)
            case "cancelled":
                return lambda state: decide.cancel(state, end.reason)
        hint = "Use one of: completed, failed, skipped, cancelled."
        raise InvalidInput(f"task {task_id!r} cannot end as {end.status!r}", hint)


def finish(seen: _Seen, ends: Mapping[str, EndTask], end_run: EndRun) -> Events:
    """The ends of these tasks, and then that of the run, which finds them ended."""
    events = [event for task_id, end in ends.items() for event in end(seen.states[task_id])]
    return events + end_run(seen.run, [task for task in seen.unfinished if task.task_id not in ends])


def _given(error: BaseException | Failure | str | None, what: str) -> BaseException | Failure | str:
    if error is None:
        raise InvalidInput(f"{what} is to fail without an error", "Say what went wrong: an exception or a text.")
    return error
