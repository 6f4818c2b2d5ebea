"""When the attempts of a run could start, started and ended: a pure function of its events.

Times are those that the events tell, as the clocks of their writers had them. Durations are in seconds, and never
negative, though a clock may have been set back meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from graphlib import CycleError, TopologicalSorter

import msgspec

from eventstore.events import (
    RunResumed,
    RunStarted,
    TaskRunCancelled,
    TaskRunCompleted,
    TaskRunFailed,
    TaskRunInterrupted,
    TaskRunInvalidated,
    TaskRunRetryScheduled,
    TaskRunScheduled,
    TaskRunSkipped,
    TaskRunStarted,
    TaskRunWaiting,
)
from eventstore.log import RecordedEvent
from projections.rows import Run

NOTHING = timedelta()


class Span(msgspec.Struct, frozen=True):
    """An attempt in time. It was ready when the last of this had happened: its task was scheduled, was due to be
    retried, or had to run again; its dependencies had ended; a worker had begun to drive the run.

    `retry`: the attempt before it did not complete. `execution` is None while it has not ended. From `waiting_since` on
    it was waiting for something outside, which is no execution. `inherited`: it was started in the run's origin.
    """

    task_id: str
    attempt: int
    status: str
    worker: str
    retry: bool
    scheduled_at: datetime | None
    ready_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    queue_wait: float
    execution: float | None
    inherited: bool = False
    waiting_since: datetime | None = None

    @property
    def executed(self) -> timedelta:
        """How long it has executed, if that is over."""
        return _elapsed(self.started_at, self.waiting_since or self.ended_at)


class Timeline(msgspec.Struct, frozen=True):
    """A run in time: its attempts in the order they were started in, and what they come to.

    `makespan` is from the run's start, or its first attempt's, to its end; to its latest event if it has not ended. The
    critical path is the chain of tasks, each of which needs the one before it, that executed longest in all.

    Inherited attempts are among them, and count in the critical path, but not in what the run itself took.
    """

    run_id: str
    status: str
    started_at: datetime | None
    ended_at: datetime | None
    latest_at: datetime
    makespan: float
    queue_wait: float
    execution: float
    retries: int
    critical_path: tuple[str, ...]
    critical_execution: float
    attempts: tuple[Span, ...]


def timeline(run: Run, history: Sequence[tuple[RecordedEvent, msgspec.Struct]]) -> Timeline:
    """The timeline of a run from all of its events, recorded and decoded; there must be one at least."""
    course = _Course()
    for recorded, event in history:
        course.take(event, recorded.time, inherited=recorded.version < 1)
    spans = tuple(course.spans.values())
    executed: dict[str, timedelta] = {}
    for span in spans:
        executed[span.task_id] = executed.get(span.task_id, NOTHING) + span.executed
    path, longest = critical_path(course.needs, executed)
    own = [span for span in spans if not span.inherited]
    latest_at = max(recorded.time for recorded, _ in history)
    began_at = run.started_at or min((span.started_at for span in own), default=None)
    return Timeline(
        run_id=run.id,
        status=run.status,
        started_at=run.started_at,
        ended_at=run.finished_at,
        latest_at=latest_at,
        makespan=_elapsed(began_at, run.finished_at or latest_at).total_seconds(),
        queue_wait=sum((_elapsed(s.ready_at, s.started_at) for s in own), NOTHING).total_seconds(),
        execution=sum((span.executed for span in own), NOTHING).total_seconds(),
        retries=sum(span.retry for span in own),
        critical_path=path,
        critical_execution=longest.total_seconds(),
        attempts=spans,
    )


def critical_path(
    needs: Mapping[str, Iterable[str]], executed: Mapping[str, timedelta]
) -> tuple[tuple[str, ...], timedelta]:
    """The chain of tasks that executed longest in all, from its beginning to its end, and how long that was.

    Tasks that need themselves, by whatever way, and those that need such tasks could never start: no path leads there.
    """
    order = TopologicalSorter({task: [n for n in needed if n in needs] for task, needed in needs.items()})
    with contextlib.suppress(CycleError):
        order.prepare()  # a circle only ends the sorting early
    longest: dict[str, timedelta] = {}
    before: dict[str, str] = {}
    end, most = "", NOTHING
    while ready := order.get_ready():
        for task in ready:
            longest[task] = executed.get(task, NOTHING)
            slowest = max((n for n in needs[task] if n in longest), key=lambda n: longest[n], default=task)
            if slowest != task and longest[slowest]:
                before[task] = slowest
                longest[task] += longest[slowest]
            if longest[task] > most:
                end, most = task, longest[task]
        order.done(*ready)
    path = [end] if most else []
    while path and path[-1] in before:
        path.append(before[path[-1]])
    return tuple(reversed(path)), most


class _Course:
    """What a run's events have told so far."""

    def __init__(self) -> None:
        self.spans: dict[tuple[str, int], Span] = {}
        self.needs: dict[str, tuple[str, ...]] = {}
        self._scheduled: dict[str, datetime] = {}
        self._due: dict[str, datetime] = {}
        self._settled: dict[str, datetime] = {}
        self._newest: dict[str, int] = {}
        self._driven: datetime | None = None

    def take(self, event: msgspec.Struct, time: datetime, *, inherited: bool) -> None:
        """Take the next event, which happened at this time."""
        match event:
            case RunStarted() | RunResumed():
                self._driven = time
            case TaskRunScheduled(task_id):
                self.needs[task_id] = event.depends_on
                self._scheduled[task_id] = self._due[task_id] = time
            case TaskRunStarted(task_id, number, worker):
                self._start(task_id, number, worker, time, inherited=inherited)
            case TaskRunWaiting(task_id, number):
                self._wait(task_id, number, time)
            case TaskRunCompleted(task_id, number):
                self._settled[task_id] = time
                self._end(task_id, number, "completed", time)
            case TaskRunFailed(task_id, number):
                self._end(task_id, number, "failed", time)
            case TaskRunCancelled(task_id, number):
                self._end(task_id, number, "cancelled", time)
            case TaskRunInterrupted(task_id, number):
                self._due[task_id] = time
                self._end(task_id, number, "interrupted", time)
            case TaskRunRetryScheduled(task_id):
                self._due[task_id] = time if event.due is None else max(time, event.due)
            case TaskRunSkipped(task_id):
                self._settled[task_id] = time
            case TaskRunInvalidated(task_id):
                self._due[task_id] = time

    def _start(self, task_id: str, number: int, worker: str, time: datetime, *, inherited: bool) -> None:
        before = self.spans.get((task_id, self._newest.get(task_id, 0)))
        ready_at = self._ready_at(task_id)
        self._newest[task_id] = number
        self.spans[task_id, number] = Span(
            task_id=task_id,
            attempt=number,
            status="running",
            worker=worker,
            retry=before is not None and before.status != "completed",
            scheduled_at=self._scheduled.get(task_id),
            ready_at=ready_at,
            started_at=time,
            ended_at=None,
            queue_wait=_elapsed(ready_at, time).total_seconds(),
            execution=None,
            inherited=inherited,
        )

    def _wait(self, task_id: str, number: int, time: datetime) -> None:
        span = self.spans.get((task_id, number))
        if span is not None:
            self.spans[task_id, number] = msgspec.structs.replace(span, status="waiting", waiting_since=time)

    def _end(self, task_id: str, number: int, status: str, time: datetime) -> None:
        span = self.spans.get((task_id, number))
        if span is not None:
            ended = msgspec.structs.replace(span, status=status, ended_at=time)
            self.spans[task_id, number] = msgspec.structs.replace(ended, execution=ended.executed.total_seconds())

    def _ready_at(self, task_id: str) -> datetime | None:
        needed = (self._settled.get(other) for other in self.needs.get(task_id, ()))
        times = (self._driven, self._due.get(task_id), *needed)
        return max((time for time in times if time is not None), default=None)


def _elapsed(since: datetime | None, until: datetime | None) -> timedelta:
    return NOTHING if since is None or until is None else max(until - since, NOTHING)
