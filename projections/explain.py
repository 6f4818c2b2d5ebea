"""Why a task is what the resume plan says of it: a pure function of its run's rows and events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from eventstore.chain import timestamp
from eventstore.errors import NotFound
from eventstore.events import (
    TaskRunApproved,
    TaskRunCancelled,
    TaskRunCompleted,
    TaskRunFailed,
    TaskRunInterrupted,
    TaskRunInvalidated,
    TaskRunRejected,
    TaskRunRetryScheduled,
    TaskRunReused,
    TaskRunScheduled,
    TaskRunSkipped,
    TaskRunStarted,
    TaskRunWaiting,
)
from eventstore.log import RecordedEvent
from projections.fold import Fold
from projections.resume import NO_OUTPUT, Plan, plan
from projections.rows import Attempt, Output, Run, TaskRun

TaskEvent = (
    TaskRunScheduled
    | TaskRunStarted
    | TaskRunCompleted
    | TaskRunFailed
    | TaskRunRetryScheduled
    | TaskRunSkipped
    | TaskRunCancelled
    | TaskRunInterrupted
    | TaskRunReused
    | TaskRunInvalidated
    | TaskRunWaiting
    | TaskRunApproved
    | TaskRunRejected
)
_KEEPS_OUTPUT = (TaskRunReused, TaskRunInterrupted)


class Citation(msgspec.Struct, frozen=True):
    """An event that something follows from, and what it says. `actor` is who acted, if that was noted."""

    version: int
    type: str
    task_id: str
    time: datetime
    says: str
    actor: str


class Explanation(msgspec.Struct, frozen=True):
    """Why a task is in a state. That is `reusable`, `stale`, `in doubt`, `waiting`, `due`, `failed`, `blocked` or
    `ready`, as in the resume plan, or its status where the plan has no word for it.

    `needs` are the tasks without which it cannot start, if it is to run at all. `events` are in the order of the
    stream: those of the task since its latest attempt was started, and what it is due to among those of other tasks.
    """

    run_id: str
    run_status: str
    task_id: str
    state: str
    reason: str
    needs: tuple[str, ...]
    events: tuple[Citation, ...]


Told = tuple[RecordedEvent, TaskEvent]


def explain(
    run: Run, task_id: str, fold: Fold, history: Iterable[tuple[RecordedEvent, msgspec.Struct]], now: datetime
) -> Explanation:
    """Explain a task of a run, from all of the run's events and the views they make. Raises `NotFound` if the run has
    no such task.
    """
    tasks = sorted(fold.rows(TaskRun), key=lambda task: (task.position, task.task_id))
    task = next((task for task in tasks if task.task_id == task_id), None)
    if task is None:
        raise NotFound(f"task of run {run.id!r} named", task_id, "It was never scheduled.")
    outputs = {output.task_id: output for output in sorted(fold.rows(Output), key=lambda output: output.version)}
    attempts = fold.rows(Attempt)
    resuming = plan(run, tasks, list(outputs.values()), attempts, now)
    latest = next((a for a in attempts if (a.task_id, a.attempt) == (task_id, task.attempt)), None)
    state, reason = _state(task, latest, outputs.get(task_id), resuming)
    needs = resuming.blocked.get(task_id, ())
    story = _Story(history)
    cited = [*story.since_start(task_id), *story.latest(needs)]
    if state == "stale":
        cited += story.at(_causes(task_id, outputs, {stale.task_id for stale in resuming.stale}, story))
    elif state in ("reusable", "ready"):
        cited += story.latest(task.depends_on or ())
    by_version = {recorded.version: (recorded, event) for recorded, event in cited}
    events = tuple(_citation(*by_version[version]) for version in sorted(by_version))
    return Explanation(run.id, run.status, task_id, state, reason, needs, events)


def _state(task: TaskRun, latest: Attempt | None, output: Output | None, resuming: Plan) -> tuple[str, str]:
    task_id = task.task_id
    stale = {stale.task_id: stale.reason for stale in resuming.stale}
    in_doubt = {doubtful.task_id: doubtful.attempt for doubtful in resuming.in_doubt}
    if task.status == "failed":
        return "failed", f"attempt {task.attempt} {_ended(latest) or 'failed'}; it runs again once it is retried"
    if task_id in stale:
        return "stale", stale[task_id]
    if output is not None:
        made_from = "made from outputs that are still there" if output.consumed else "made from no other output"
        again = "; the next resumption runs it again" if task_id in resuming.again else ""
        return "reusable", f"{_ended(latest) or 'completed'} at version {output.version}, {made_from}{again}"
    if task_id in in_doubt:
        ended = "has not ended yet" if task.status == "running" else "never ended"
        return "in doubt", f"attempt {in_doubt[task_id]} was started and {ended}"
    if task.waiting_since is not None:
        state = "due" if any(timer.task_id == task_id for timer in resuming.due) else "waiting"
        return (
            state,
            f"attempt {task.attempt} waits since {timestamp(task.waiting_since)}: {_until(task.reason, task.due)}",
        )
    if any(waiting.task_id == task_id for waiting in resuming.waiting):
        return "waiting", _until(task.reason, task.due)
    if task_id in resuming.blocked:
        return "blocked", f"needs {', '.join(resuming.blocked[task_id])}"
    if task_id in resuming.ready:
        return "ready", "all that it needs is there" if task.depends_on else "it needs nothing"
    return task.status, task.reason or ""


def _ended(attempt: Attempt | None) -> str:
    """What somebody has decided about the attempt, and who; nothing if it ended by itself."""
    if attempt is None or attempt.decision is None:
        return ""
    return f"was {attempt.decision}" + (f" by {attempt.decided_by}" if attempt.decided_by else "")


def _causes(task_id: str, outputs: Mapping[str, Output], stale: set[str], story: _Story) -> Iterator[int]:
    """The versions of the events that made a task's output stale, and those it was made from, as far as they lead."""
    seen, coming = {task_id}, [task_id]
    for current in coming:
        for needed, digest in (outputs[current].consumed or {}).items():
            there = outputs.get(needed)
            if there is None:
                if digest != NO_OUTPUT:
                    yield from story.superseding(needed)
            elif there.digest != digest:
                yield there.version
            elif needed in stale and needed not in seen:
                yield there.version
                seen.add(needed)
                coming.append(needed)


class _Story:
    """The events about the tasks of a run, by task."""

    def __init__(self, history: Iterable[tuple[RecordedEvent, msgspec.Struct]]) -> None:
        self._by_version: dict[int, Told] = {}
        self._by_task: dict[str, list[Told]] = {}
        for recorded, event in history:
            if isinstance(event, TaskEvent):
                self._by_version[recorded.version] = (recorded, event)
                self._by_task.setdefault(event.task_id, []).append((recorded, event))

    def since_start(self, task_id: str) -> list[Told]:
        """The events of a task from its latest start on, or all if it was never started; of notes that its output is
        reused only the latest.
        """
        told = self._by_task.get(task_id, [])
        starts = [place for place, (_, event) in enumerate(told) if isinstance(event, TaskRunStarted)]
        told = told[starts[-1] if starts else 0 :]
        reuses = [each for each in told if isinstance(each[1], TaskRunReused)]
        return [each for each in told if not isinstance(each[1], TaskRunReused)] + reuses[-1:]

    def latest(self, task_ids: Iterable[str]) -> list[Told]:
        """For each of these tasks the event that brought it to where it is, if there is one."""
        told = (self._by_task.get(task_id, ()) for task_id in task_ids)
        kept = ([each for each in events if not isinstance(each[1], TaskRunReused)] for events in told)
        return [events[-1] for events in kept if events]

    def superseding(self, task_id: str) -> Iterator[int]:
        """The version of the event that took the task's latest completion back."""
        told = self._by_task.get(task_id, [])
        completions = [place for place, (_, event) in enumerate(told) if isinstance(event, TaskRunCompleted)]
        after = told[completions[-1] + 1 :] if completions else told[-1:]
        yield from [recorded.version for recorded, event in after if not isinstance(event, _KEEPS_OUTPUT)][:1]

    def at(self, versions: Iterable[int]) -> list[Told]:
        """The events at these versions, as far as they are about tasks."""
        return [self._by_version[version] for version in versions if version in self._by_version]


def _citation(recorded: RecordedEvent, event: TaskEvent) -> Citation:
    actor = recorded.meta.get("actor", "")
    return Citation(recorded.version, recorded.type, event.task_id, recorded.time, _saying(event), actor)


def _saying(event: TaskEvent) -> str:
    match event:
        case TaskRunScheduled():
            return f"needs {', '.join(event.depends_on)}" if event.depends_on else "needs nothing"
        case TaskRunStarted():
            return f"attempt {event.attempt}" + (f" by {event.worker}" if event.worker else "")
        case TaskRunCompleted():
            return f"attempt {event.attempt}"
        case TaskRunFailed():
            return f"attempt {event.attempt}: {event.failure.type}: {event.failure.message}"
        case TaskRunApproved():
            return event.comment
        case TaskRunRetryScheduled() | TaskRunWaiting():
            return _until(event.reason, event.due)
        case TaskRunReused():
            return f"the output of version {event.version}"
    return event.reason


def _until(reason: str | None, due: datetime | None) -> str:
    return ", ".join(part for part in (reason, f"until {timestamp(due)}" if due else "") if part)
