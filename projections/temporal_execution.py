"""What happens in an execution of Temporal, as events of a run: every event as it is, as `temporal.<type>`, and before
it what it means here.

* Activities are task runs. Temporal tells of an activity's last attempt only, and of the failure before it. Attempts
  have no holes, so the earlier ones stand right before the one that implies them, at its time, without a worker; what
  they failed with is told where it is known.
* The run waits while no workflow task and no activity is under way: for the timers, children and operations that are
  open, or else for a signal or an update. What ends the wait resumes it.
* An execution that times out fails, and one that is terminated is cancelled. One that is continued as new has
  completed: its output names the execution that goes on. Activities that were open then are cancelled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import zip_longest

import msgspec

from eventstore.codec import UnknownEvent
from eventstore.errors import InvalidInput
from eventstore.events import (
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunResumed,
    RunStarted,
    RunWaiting,
    TaskRunCancelled,
    TaskRunCompleted,
    TaskRunFailed,
    TaskRunRetryScheduled,
    TaskRunScheduled,
    TaskRunStarted,
)
from eventstore.failure import Failure
from eventstore.payload import Value
from eventstore.validate import check_name
from eventstore.values import encode_value
from projections.temporal import ENDS, WHOLE, History, HistoryEvent
from projections.temporal_values import failure_of, values_of

MOST_IMPLIED = 10_000
"""How many attempts that a history only implies are told, at most."""

_WORKER = "temporal"
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?s")
_UNTOLD = Failure(type="Untold", message="the history does not say what this attempt failed with")
_UNNAMED = Failure(type="Failure")

_OUTCOMES = ("Completed", "Failed", "Canceled", "TimedOut", "Terminated")
_END_OF_WAIT = {
    "timerFired": "started_event_id",
    "timerCanceled": "started_event_id",
    "startChildWorkflowExecutionFailed": "initiated_event_id",
    **{f"childWorkflowExecution{outcome}": "initiated_event_id" for outcome in _OUTCOMES},
    **{f"nexusOperation{outcome}": "scheduled_event_id" for outcome in _OUTCOMES},
}
"""What a workflow may wait for ends with such an event, which says here with which event it began."""

_WAKES = frozenset(
    {
        *_END_OF_WAIT,
        "workflowExecutionSignaled",
        "workflowExecutionCancelRequested",
        "workflowTaskScheduled",
        "activityTaskScheduled",
    }
)
_DECISIONS = frozenset({"workflowTaskCompleted", "workflowExecutionUpdateAccepted", "workflowExecutionUpdateCompleted"})
"""Events that make up the end of a workflow task, beside those that say which one decided them."""

_Keep = Callable[[object], Value]
_Events = Iterator[msgspec.Struct]


def happenings(history: History, keep: _Keep) -> Iterator[tuple[datetime, msgspec.Struct]]:
    """Every event of the run, with its time, in the history's order. Values of the user's are handed to `keep`.

    Raises `InvalidInput` where the history contradicts itself.
    """
    execution = _Execution(keep)
    for event, following in zip_longest(history.events, history.events[1:]):
        yield from ((event.time, meaning) for meaning in execution.meaning_of(event))
        yield event.time, UnknownEvent(f"temporal.{event.type}", 1, event.json)
        yield from ((event.time, wait) for wait in execution.wait_after(event, following))


class _Activity:
    """An activity that has not ended. `attempt` is the last one that has started."""

    def __init__(self, task_id: str) -> None:
        self.task_id, self.attempt, self.running = task_id, 0, False


class _Execution:
    """An execution as far as its history has been told; activities and waits by the number of the event they began
    with.
    """

    def __init__(self, keep: _Keep) -> None:
        self._keep = keep
        self._epoch, self._implied = 1, 0
        self._deciding, self._waiting = True, False
        self._activities: dict[int, _Activity] = {}
        self._task_ids: set[str] = set()
        self._waits: dict[int, tuple[str, datetime | None]] = {}
        self._cancel_reason = "cancelled"

    def meaning_of(self, event: HistoryEvent) -> _Events:
        """What an event means for the run and its task runs: often nothing."""
        if event.type in ENDS:
            for activity in self._activities.values():
                yield _cancelled(activity, "the workflow ended before it")
            yield self._end(event)
            return
        if self._waiting and event.type in _WAKES:
            self._waiting, self._epoch = False, self._epoch + 1
            yield RunResumed(_WORKER, self._epoch, reason=_waking(event))
        if event.type in _END_OF_WAIT:
            self._waits.pop(getattr(event.attributes, _END_OF_WAIT[event.type]), None)
        match event.type:
            case "workflowExecutionStarted":
                yield from self._start(event)
            case "workflowExecutionCancelRequested":
                self._cancel_reason = _told("cancelled", event)
            case "workflowTaskScheduled":
                self._deciding = True
            case "workflowTaskCompleted":
                self._deciding = False
            case "timerStarted":
                self._waits[event.id] = f"timer {event.attributes.timer_id}", _due(event)
            case "startChildWorkflowExecutionInitiated":
                self._waits[event.id] = f"child {event.attributes.workflow_id}", None
            case "nexusOperationScheduled":
                self._waits[event.id] = f"operation {event.attributes.operation}", None
            case "activityTaskScheduled":
                yield self._scheduled(event)
            case "activityTaskStarted":
                yield from self._attempt(event)
            case "activityTaskCompleted" | "activityTaskFailed" | "activityTaskTimedOut" | "activityTaskCanceled":
                yield from self._ended(event)

    def wait_after(self, event: HistoryEvent, following: HistoryEvent | None) -> _Events:
        """The wait that begins when a workflow task has ended with this event, and left nothing under way.

        What the server has held back meanwhile follows at once, with an earlier time: then there was no wait.
        """
        if not _is_decision(event) or event.type in ENDS or self._deciding or self._activities or self._waiting:
            return
        if following is not None and (_is_decision(following) or following.time <= event.time):
            return
        self._waiting = True
        reasons = [reason for reason, _ in self._waits.values()] or ["signal or update"]
        if len(reasons) > 5:
            reasons[4:] = [f"{len(reasons) - 4} more"]
        yield RunWaiting(", ".join(reasons), min((due for _, due in self._waits.values() if due), default=None))

    def _start(self, event: HistoryEvent) -> _Events:
        told = event.attributes
        parent = told.parent_workflow_execution
        facts = {
            "source": "temporal",
            "workflow_id": told.workflow_id,
            "task_queue": told.task_queue.name,
            "first_run_id": told.first_execution_run_id,
            "continued_run_id": told.continued_execution_run_id,
            "parent_workflow_id": parent and parent.workflow_id,
        }
        given = values_of(told.input)
        yield RunCreated(
            told.workflow_type.name,
            input=self._keep(given) if given else None,
            metadata=msgspec.Raw(encode_value({name: fact for name, fact in facts.items() if fact})),
            parent_run_id=(parent and parent.run_id) or None,
        )
        yield RunStarted(_WORKER, self._epoch)

    def _end(self, event: HistoryEvent) -> msgspec.Struct:
        told = event.attributes
        match event.type.removeprefix("workflowExecution"):
            case "Completed":
                return RunCompleted(None if told.result is None else self._output(told.result))
            case "ContinuedAsNew":
                return RunCompleted(self._keep({"continued_as_new": told.new_execution_run_id}))
            case "Failed":
                return RunFailed(failure_of(told.failure) or _UNNAMED)
            case "TimedOut":
                return RunFailed(Failure(type="TimeoutFailure", message="the workflow timed out", kind="timeout"))
            case "Terminated":
                return RunCancelled(_told("terminated", event))
        return RunCancelled(self._cancel_reason)

    def _scheduled(self, event: HistoryEvent) -> TaskRunScheduled:
        told = event.attributes
        task_id = told.activity_id
        while task_id in self._task_ids:  # an activity's id may be used again once it has ended
            task_id = f"{task_id}#{event.id}"
        check_name(task_id, "activity id")
        self._task_ids.add(task_id)
        self._activities[event.id] = _Activity(task_id)
        facts = {"event_id": event.id, "task_queue": told.task_queue.name, "summary": event.summary}
        given = values_of(told.input)
        return TaskRunScheduled(
            task_id,
            told.activity_type.name,
            input=self._keep(given) if given else None,
            metadata=msgspec.Raw(encode_value({name: fact for name, fact in facts.items() if fact})),
        )

    def _attempt(self, event: HistoryEvent) -> _Events:
        activity, number = self._activity(event), event.attributes.attempt or 1
        if activity.running:
            raise InvalidInput(f"event {event.id} starts an activity that is running", WHOLE)
        self._implied += number - 1
        if self._implied > MOST_IMPLIED:
            raise InvalidInput(f"event {event.id} implies {number - 1:,} attempts, too many to be told", WHOLE)
        last = failure_of(event.attributes.last_failure) or _UNTOLD
        for earlier in range(1, number):
            yield TaskRunStarted(activity.task_id, earlier, epoch=self._epoch)
            yield TaskRunFailed(activity.task_id, earlier, last if earlier == number - 1 else _UNTOLD)
            yield TaskRunRetryScheduled(activity.task_id, f"attempt {number} tells of it")
        yield self._started(activity, number, event.attributes.identity)

    def _started(self, activity: _Activity, number: int, worker: str) -> TaskRunStarted:
        activity.attempt, activity.running = number, True
        return TaskRunStarted(activity.task_id, number, worker, epoch=self._epoch)

    def _ended(self, event: HistoryEvent) -> _Events:
        """The end of an attempt. Without one, as when no worker took it in time, a first one is implied."""
        activity = self._activity(event)
        del self._activities[event.attributes.scheduled_event_id]
        if event.type == "activityTaskCanceled":
            yield _cancelled(activity, "cancelled")
            return
        if not activity.running:
            yield self._started(activity, 1, "")
        if event.type == "activityTaskCompleted":
            yield TaskRunCompleted(activity.task_id, activity.attempt, self._output(event.attributes.result))
            return
        failure = failure_of(event.attributes.failure) or _UNNAMED
        if event.type == "activityTaskTimedOut":
            failure = msgspec.structs.replace(failure, kind="timeout")
        yield TaskRunFailed(activity.task_id, activity.attempt, failure)

    def _activity(self, event: HistoryEvent) -> _Activity:
        scheduled = event.attributes.scheduled_event_id
        if scheduled not in self._activities:
            told = f"event {event.id} is about an activity of event {scheduled}, which has none that is open"
            raise InvalidInput(told, WHOLE)
        return self._activities[scheduled]

    def _output(self, result: object) -> Value:
        """What was put out: a value alone, or several in a list."""
        values = values_of(result)
        return self._keep(values[0] if len(values) == 1 else values or None)


def _is_decision(event: HistoryEvent) -> bool:
    return event.type in _DECISIONS or event.attributes.workflow_task_completed_event_id > 0


def _cancelled(activity: _Activity, reason: str) -> TaskRunCancelled:
    return TaskRunCancelled(activity.task_id, activity.attempt if activity.running else 0, reason)


def _waking(event: HistoryEvent) -> str:
    match event.type:
        case "timerFired":
            return f"timer {event.attributes.timer_id} fired"
        case "workflowExecutionSignaled":
            return f"signal {event.attributes.signal_name}"
    return event.type


def _told(what: str, event: HistoryEvent) -> str:
    """What somebody did to the workflow, with why and who, as far as they said so."""
    told = event.attributes
    why = told.reason or (told.cause if isinstance(told.cause, str) else "")
    return f"{what}{why and f': {why}'}{told.identity and f', by {told.identity}'}"


def _due(event: HistoryEvent) -> datetime | None:
    """When a timer is to fire; None if that is too far away to be said."""
    text = event.attributes.start_to_fire_timeout
    if not _SECONDS.fullmatch(text):
        raise InvalidInput(f"event {event.id} starts a timer of {text!r:.80}", "Durations look like 0.5s.")
    try:
        return event.time + timedelta(seconds=float(text.removesuffix("s")))
    except OverflowError:
        return None
