"""Commands on task runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from eventstore.errors import InvalidInput, NotFound
from eventstore.events import TaskRunScheduled
from eventstore.failure import Failure
from eventstore.validate import check_name
from projections import decide
from projections.commands import Actor
from projections.decide import Events, TaskState
from projections.resume import consumable
from projections.rows import Attempt, Run, TaskRun

_DELETED = "It was deleted meanwhile."


class Task(msgspec.Struct, frozen=True):
    """A task to be scheduled."""

    id: str
    name: str = ""
    depends_on: Sequence[str] = ()
    input: object = None
    metadata: Mapping[str, Any] | None = None


class TaskCommands(Actor):
    """What can be done with a task run. `NotFound` if the run or the task is unknown; `InvalidTransition` if its state
    forbids it; `Fenced` if `epoch` is given and another worker has resumed the run since.
    """

    def schedule_tasks(self, run_id: str, tasks: Sequence[Task], *, epoch: int | None = None) -> list[TaskRun]:
        """Make tasks of a run known, in one commit, and return their task runs. Dependencies may come later.

        A task that is scheduled already, with the same dependencies, is left as it is.
        """
        for task in tasks:
            if isinstance(task.depends_on, str):
                raise InvalidInput(f"the dependencies of task {task.id!r} are a text", "Give a list of task ids.")
            for task_id in (task.id, *task.depends_on):
                check_name(task_id, "task id")
            if task.id in task.depends_on:
                raise InvalidInput(f"task {task.id!r} depends on itself")
        events = [
            TaskRunScheduled(
                task.id,
                task.name,
                tuple(dict.fromkeys(task.depends_on)),
                None if task.input is None else self._values.keep(task.input),
                self._raw(task.metadata),
            )
            for task in tasks
        ]
        ids = [task.id for task in tasks]

        def decision(run: Run) -> Events:
            known = {task.task_id: task for task in self._queries.task_runs_among(run_id, ids)}
            return decide.schedule(run, known, events)

        self._change(run_id, decision, epoch)
        by_id = {task.task_id: task for task in self._queries.task_runs_among(run_id, ids)}
        return [by_id[task_id] for task_id in ids]

    def schedule_task(
        self,
        run_id: str,
        task_id: str,
        *,
        name: str = "",
        depends_on: Sequence[str] = (),
        input: object = None,
        metadata: Mapping[str, Any] | None = None,
        epoch: int | None = None,
    ) -> TaskRun:
        """Make one task known; see `schedule_tasks`."""
        task = Task(task_id, name, depends_on, input, metadata)
        return self.schedule_tasks(run_id, [task], epoch=epoch)[0]

    def start_task(
        self,
        run_id: str,
        task_id: str,
        *,
        worker: str = "",
        attempt: int | None = None,
        consumes: Mapping[str, str] | None = None,
        epoch: int | None = None,
    ) -> Attempt:
        """Begin the next attempt and return it. Of several workers that start one task, one wins.

        `consumes` maps each dependency to the digest of the output that is used; by default those are the outputs that
        the task's dependencies have now. Give `attempt` to make a retry of this very call safe.
        """
        number = 0

        def decision(state: TaskState) -> Events:
            nonlocal number
            given = consumes
            if given is None:
                needed = state.known.depends_on or ()
                outputs = {output.task_id: output for output in self._queries.outputs_among(run_id, needed)}
                given = consumable(needed, outputs)
            events = decide.start(state, worker, attempt, given, epoch)
            number = state.known.attempt + len(events)
            return events

        self._decide_on_task(run_id, task_id, decision, epoch)
        started = self._queries.get_attempt(run_id, task_id, number)
        if started is None:
            raise NotFound("run", run_id, _DELETED)
        return started

    def complete_task(
        self,
        run_id: str,
        task_id: str,
        output: object = None,
        *,
        attempt: int | None = None,
        usage: Mapping[str, float] | None = None,
        epoch: int | None = None,
    ) -> TaskRun:
        """End the running attempt with its output, which is durable with all its bytes when this returns.

        Give the `attempt` you were told at the start, so that a result that comes too late is refused.
        """
        value = self._values.keep(output)
        return self._change_task(
            run_id, task_id, lambda state: decide.complete(state, value, attempt, usage or {}), epoch
        )

    def fail_task(
        self,
        run_id: str,
        task_id: str,
        error: BaseException | Failure | str,
        *,
        attempt: int | None = None,
        retryable: bool | None = None,
        usage: Mapping[str, float] | None = None,
        epoch: int | None = None,
    ) -> TaskRun:
        """End the running attempt with an error: an exception, with its traceback and causes, a `Failure` or a text."""
        failure = self._failure(error, retryable)
        return self._change_task(
            run_id, task_id, lambda state: decide.fail(state, failure, attempt, usage or {}), epoch
        )

    def retry_task(
        self, run_id: str, task_id: str, *, reason: str = "", delay: float = 0, epoch: int | None = None
    ) -> TaskRun:
        """Let a failed task be started again, not before `delay` seconds from now."""
        due = self._from_now(delay, "delay") if delay else None
        return self._change_task(run_id, task_id, lambda state: decide.retry(state, reason, due), epoch)

    def skip_task(self, run_id: str, task_id: str, reason: str = "", *, epoch: int | None = None) -> TaskRun:
        """Leave a task out of this run."""
        return self._change_task(run_id, task_id, lambda state: decide.skip(state, reason), epoch)

    def cancel_task(self, run_id: str, task_id: str, reason: str = "", *, epoch: int | None = None) -> TaskRun:
        """End a task without a result."""
        return self._change_task(run_id, task_id, lambda state: decide.cancel(state, reason), epoch)

    def invalidate_task(self, run_id: str, task_id: str, reason: str = "", *, epoch: int | None = None) -> TaskRun:
        """Have a task run again. What was made from its output is stale until it puts out the same bytes."""
        return self._change_task(run_id, task_id, lambda state: decide.invalidate(state, reason), epoch)

    def reuse_task(self, run_id: str, task_id: str, *, epoch: int | None = None) -> TaskRun:
        """Note that a resumed run goes on with the output this task has. It stays completed; nothing is copied."""
        return self._change_task(run_id, task_id, decide.reuse, epoch)

    def _change_task(
        self, run_id: str, task_id: str, decision: Callable[[TaskState], Events], epoch: int | None
    ) -> TaskRun:
        self._decide_on_task(run_id, task_id, decision, epoch)
        changed = self._queries.get_task_run(run_id, task_id)
        if changed is None:
            raise NotFound("run", run_id, _DELETED)
        return changed

    def _decide_on_task(
        self, run_id: str, task_id: str, decision: Callable[[TaskState], Events], epoch: int | None
    ) -> None:
        def look() -> tuple[Run | None, TaskState | None]:
            state = self._queries.task_state(run_id, task_id)
            return (None if state is None else state.run), state

        self._change_what_is_seen(run_id, look, decision, epoch)
