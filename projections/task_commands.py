"""Commands on task runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from eventstore.errors import Conflict, InvalidInput, NotFound
from eventstore.events import ResultRejected, TaskRunScheduled
from eventstore.failure import Failure
from eventstore.validate import check_kind, check_name, check_several
from projections import decide
from projections.decide import Events, TaskState
from projections.drift import marked
from projections.resume import consumable
from projections.rows import Attempt, Run, TaskRun
from projections.telemetry import Telemetry

_DELETED = "It was deleted meanwhile."


class Task(msgspec.Struct, frozen=True):
    """A task to be scheduled. `fingerprint` is a text that changes whenever the task's definition does: see `drift`. It
    is kept as part of the metadata. With `always_run`, every resumption of the run runs the task again.
    """

    id: str
    name: str = ""
    depends_on: Sequence[str] = ()
    input: object = None
    metadata: Mapping[str, Any] | None = None
    fingerprint: str | None = None
    always_run: bool = False


class TaskCommands(Telemetry):
    """What can be done with a task run. `NotFound` if the run or the task is unknown; `InvalidTransition` if its state
    forbids it; `Fenced` if `epoch` is given and another worker has resumed the run since.
    """

    def schedule_tasks(self, run_id: str, tasks: Sequence[Task], *, epoch: int | None = None) -> list[TaskRun]:
        """Make tasks of a run known, in one commit, and return their task runs. Dependencies may come later.

        A task that is scheduled already, with the same dependencies, is left as it is; but if it is neither running nor
        completed, and its fingerprint is another one now, it takes that, with the metadata given beside it.
        """
        check_kind(tasks, Sequence, "what is to be scheduled")
        for task in tasks:
            if not isinstance(task, Task):
                raise InvalidInput(f"{task!r} is no task", "Give a Task, or use schedule_task for its id.")
            check_name(task.id, "task id")
            check_several(task.depends_on, "task id")
            if task.id in task.depends_on:
                raise InvalidInput(f"task {task.id!r} depends on itself", "Leave that dependency out.")
        events = [
            TaskRunScheduled(
                task.id,
                task.name,
                tuple(dict.fromkeys(task.depends_on)),
                None if task.input is None else self._values.keep(task.input),
                self._raw(marked(task.metadata, task.fingerprint)),
                bool(task.always_run),
            )
            for task in tasks
        ]
        ids = [task.id for task in tasks]

        def decision(run: Run) -> Events:
            known = {task.task_id: task for task in self._queries.task_runs_among(run_id, ids)}
            return decide.schedule(run, known, events)

        self._change(run_id, decision, epoch)
        by_id = {task.task_id: task for task in self._queries.task_runs_among(run_id, ids)}
        if not by_id.keys() >= set(ids):
            raise NotFound("run", run_id, _DELETED)
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
        fingerprint: str | None = None,
        always_run: bool = False,
        epoch: int | None = None,
    ) -> TaskRun:
        """Make one task known; see `schedule_tasks`."""
        task = Task(task_id, name, depends_on, input, metadata, fingerprint, always_run)
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
            given = self._consumable(state) if consumes is None else consumes
            events = decide.start(state, worker, attempt, given, epoch, now=self._now())
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
        implicit_start: bool = False,
        epoch: int | None = None,
    ) -> TaskRun:
        """End the open attempt with its output, which is durable with all its bytes when this returns. Before the time
        that it waits for, that is a `Conflict`.

        Give the `attempt` you were told at the start, so that a result that comes too late is refused. That it came is
        noted as telemetry. With `implicit_start`, a task that waits to be started is started in the same commit, as
        made from what its dependencies have put out: for outputs that come from a cache or from elsewhere.
        """
        value = self._values.keep(output)

        def decision(state: TaskState) -> Events:
            if implicit_start:
                consumes = self._consumable(state)
                return decide.complete_unstarted(state, value, attempt, usage or {}, consumes, epoch, now=self._now())
            return decide.complete(state, value, attempt, usage or {}, now=self._now())

        return self._end_attempt(run_id, task_id, decision, attempt, epoch)

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
        """End the open attempt with an error: an exception, with its traceback and causes, a `Failure` or a text.

        One that comes too late is refused, and noted as telemetry.
        """
        failure = self._failure(error, retryable)
        return self._end_attempt(
            run_id, task_id, lambda state: decide.fail(state, failure, attempt, usage or {}), attempt, epoch
        )

    def retry_task(
        self, run_id: str, task_id: str, *, reason: str = "", delay: float = 0, epoch: int | None = None
    ) -> TaskRun:
        """Let a failed task be started again, not before `delay` seconds from now: until then to start it is a
        `Conflict`. What was said of this before does not count any more.
        """
        due = self._from_now(delay, "delay") if delay else None
        return self._change_task(run_id, task_id, lambda state: decide.retry(state, reason, due), epoch)

    def skip_task(self, run_id: str, task_id: str, reason: str = "", *, epoch: int | None = None) -> TaskRun:
        """Leave a task out of this run."""
        return self._change_task(run_id, task_id, lambda state: decide.skip(state, reason), epoch)

    def cancel_task(self, run_id: str, task_id: str, reason: str = "", *, epoch: int | None = None) -> TaskRun:
        """End a task without a result."""
        return self._change_task(run_id, task_id, lambda state: decide.cancel(state, reason), epoch)

    def invalidate_task(self, run_id: str, task_id: str, reason: str = "", *, epoch: int | None = None) -> TaskRun:
        """Have a task run again. What was made from its output is stale until it puts out the same bytes. A gate or
        timer that is open is cancelled.
        """
        return self._change_task(run_id, task_id, lambda state: decide.invalidate(state, reason), epoch)

    def reuse_task(self, run_id: str, task_id: str, *, epoch: int | None = None) -> TaskRun:
        """Note that a resumed run goes on with the output this task has. It stays completed; nothing is copied."""
        return self._change_task(run_id, task_id, decide.reuse, epoch)

    def _consumable(self, state: TaskState) -> dict[str, str]:
        """The digests of the outputs that the task would be given now."""
        needed = state.known.depends_on
        if not needed:
            return {}
        outputs = {output.task_id: output for output in self._queries.outputs_among(state.run.id, needed)}
        return consumable(needed, outputs)

    def _end_attempt(
        self,
        run_id: str,
        task_id: str,
        decision: Callable[[TaskState], Events],
        attempt: int | None,
        epoch: int | None,
    ) -> TaskRun:
        """Change the task, or note that its worker came too late."""
        seen: TaskState | None = None

        def decision_on_what_is_seen(state: TaskState) -> Events:
            nonlocal seen
            seen = state
            return decision(state)

        try:
            return self._change_task(run_id, task_id, decision_on_what_is_seen, epoch)
        except Conflict as error:
            if decide.is_late(error, seen, attempt):
                rejected = ResultRejected(task_id, attempt or 0, epoch or 0, error.code, str(error))
                self._note_rejection(run_id, rejected)
            raise

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
        def look() -> tuple[int, Run | None, TaskState | None]:
            version, state = self._queries.task_state_at(run_id, task_id)
            return version, (None if state is None else state.run), state

        self._change_what_is_seen(run_id, look, decision, epoch)
