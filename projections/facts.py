"""What engines report in words of events, and the command that each report stands for.

So a report obeys the state machines, and what is true already is told again without an effect, whoever told it first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from eventstore.errors import Conflict, InvalidInput, InvalidTransition, NotFound
from eventstore.failure import Failure
from eventstore.log import RecordedEvent
from eventstore.validate import check_name
from projections.decide import check_epoch
from projections.rows import Run, TaskRun
from projections.store import Store

Said = dict[str, Any]


class Fact(NamedTuple):
    """What may be said of one type of fact, besides the task it is about, and how it is told to a store."""

    fields: frozenset[str]
    tell: Callable[[Store, Run, Said], object]
    of_task: bool


def tell(
    store: Store,
    run_id: str,
    event_type: str,
    data: Mapping[str, Any],
    *,
    event_id: UUID | None = None,
    epoch: int | None = None,
) -> RecordedEvent:
    """Do what the fact comes to, and return the event that holds it, which may have been there before.

    Its event gets the id, if one is given. If the run has such an event of that id already, this is returned, whatever
    has come after it, so a report can be repeated at any time. `NotFound` for an unknown run; `InvalidInput` for a type
    that is no fact, or for data that says too little or too much; otherwise whatever the command raises. Nothing was
    written then.
    """
    name = ALSO_CALLED.get(event_type, event_type)
    fact = FACTS.get(name)
    if fact is None:
        kinds = ", ".join(sorted((*FACTS, *ALSO_CALLED)))
        hint = f"Use one of: {kinds}; or a type of your own, with a dot in it, as in 'billing.charged'."
        raise InvalidInput(f"unknown event type {event_type!r}", hint)
    run = store.get_run(run_id)
    if run is None:
        raise NotFound("run", run_id)
    said = _checked(event_type, fact, data)
    task_id = said["task_id"] if fact.of_task else None
    check_epoch(run, epoch)
    if epoch is not None and name not in UNFENCED:
        said["epoch"] = epoch
    try:
        fact.tell(store if event_id is None else store.reporting(run_id, name, event_id), run, said)
    except Conflict:
        for event in store.log.read(run_id, backward=True):
            if event.id == event_id and event.type == name:
                return event
        raise
    return _event_of(store, run_id, name, task_id)


def _checked(event_type: str, fact: Fact, data: Mapping[str, Any]) -> Said:
    said = {"task_id" if fact.of_task and name == "node_id" else name: value for name, value in data.items()}
    known = fact.fields | {"task_id"} if fact.of_task else fact.fields
    if unknown := sorted(said.keys() - known):
        hint = f"It says: {', '.join(sorted(known)) or 'nothing'}. Report the rest as an event type of your own."
        raise InvalidInput(f"{event_type} does not say {', '.join(map(repr, unknown))}", hint)
    if fact.of_task and "task_id" not in said:
        raise InvalidInput(f"{event_type} of no task", "Say which, as task_id or node_id.")
    if fact.of_task:
        check_name(said["task_id"], "task id")
    return said


def _event_of(store: Store, run_id: str, name: str, task_id: str | None) -> RecordedEvent:
    """The newest event that holds the fact: it is the newest of the run's, or of the task's, or not far from it."""
    row: Run | TaskRun | None = store.get_run(run_id) if task_id is None else store.get_task_run(run_id, task_id)
    types = {name, "runResumed"} if name == "runStarted" else {name}
    for event in store.log.read(run_id, until=None if row is None else row.version, backward=True):
        if event.type in types and task_id in (None, getattr(store.codec.decode(event), "task_id", None)):
            return event
    raise NotFound("run", run_id, "It was deleted meanwhile.")


def _run_started(store: Store, run: Run, said: Said) -> None:
    if _run_has_begun(store, run, said):
        return
    try:
        store.start_run(run.id, **said)
    except InvalidTransition:
        if not _run_has_begun(store, run, said):  # which another call may have told meanwhile
            raise


def _run_has_begun(store: Store, run: Run, said: Said) -> bool:
    now = store.get_run(run.id)
    return now is not None and now.status == "running" and said.get("worker", now.worker) == now.worker


def _run_waiting(store: Store, run: Run, said: Said) -> None:
    if run.status != "waiting" or said.keys() & {"reason", "until"}:
        store.wait_run(run.id, **{"reason": "", **said})


def _run_completed(store: Store, run: Run, said: Said) -> None:
    if run.status != "completed" or "output" in said:
        store.complete_run(run.id, **said)


def _run_failed(store: Store, run: Run, said: Said) -> None:
    if run.status != "failed" or "error" in said:
        store.fail_run(run.id, **{**said, "error": _error(said)})


def _run_cancelled(store: Store, run: Run, said: Said) -> None:
    store.cancel_run(run.id, **said)


def _task_scheduled(store: Store, run: Run, said: Said) -> None:
    store.schedule_task(run.id, **said)


def _task_started(store: Store, run: Run, said: Said) -> None:
    _make_known(store, run, said)
    if _task_has_begun(store, run, said):
        return
    try:
        store.start_task(run.id, **said)
    except InvalidTransition:
        if not _task_has_begun(store, run, said):  # which another call may have told meanwhile
            raise


def _task_has_begun(store: Store, run: Run, said: Said) -> bool:
    state = store.task_state(run.id, said["task_id"])
    if state is None or state.attempt is None or not _is(store, run, said, "running"):
        return False
    return bool(said.get("worker", state.attempt.worker) == state.attempt.worker)


def _task_completed(store: Store, run: Run, said: Said) -> None:
    if "output" in said or not _is(store, run, said, "completed"):
        store.complete_task(run.id, **said)


def _task_failed(store: Store, run: Run, said: Said) -> None:
    if "error" in said or not _is(store, run, said, "failed"):
        store.fail_task(run.id, **{**said, "error": _error(said)})


def _task_retried(store: Store, run: Run, said: Said) -> None:
    store.retry_task(run.id, **said)


def _task_skipped(store: Store, run: Run, said: Said) -> None:
    _make_known(store, run, said)
    store.skip_task(run.id, **said)


def _task_cancelled(store: Store, run: Run, said: Said) -> None:
    store.cancel_task(run.id, **said)


def _task_invalidated(store: Store, run: Run, said: Said) -> None:
    store.invalidate_task(run.id, **said)


def _task_reused(store: Store, run: Run, said: Said) -> None:
    store.reuse_task(run.id, **said)


def _task_waiting(store: Store, run: Run, said: Said) -> None:
    _make_known(store, run, said)
    if said.keys() & {"reason", "until"} or not _is(store, run, said, "waiting"):
        store.wait_task(run.id, **{"reason": "", **said})


def _task_approved(store: Store, run: Run, said: Said) -> None:
    store.approve_task(run.id, **said)


def _task_rejected(store: Store, run: Run, said: Said) -> None:
    store.reject_task(run.id, **said)


def _make_known(store: Store, run: Run, said: Said) -> None:
    """Engines that plan as they go first speak of a task when it starts, or when they leave it out."""
    if store.get_task_run(run.id, said["task_id"]) is None:
        store.schedule_task(run.id, said["task_id"], epoch=said.get("epoch"))


def _is(store: Store, run: Run, said: Said, status: str) -> bool:
    task = store.get_task_run(run.id, said["task_id"])
    return task is not None and task.status == status and said.get("attempt", task.attempt) == task.attempt


def _error(said: Said) -> BaseException | Failure | str:
    """The error: an exception, a `Failure`, the fields of one, or a text."""
    error = said.get("error")
    if isinstance(error, BaseException | Failure | str):
        return error
    try:
        return msgspec.convert({"type": "Error", **error} if isinstance(error, Mapping) else error, Failure)
    except msgspec.ValidationError as refusal:
        hint = "Give an exception, a text, or the fields of a failure: type, message, traceback and so on."
        raise InvalidInput(f"no error that can be kept: {refusal}", hint) from None


def _fact(tell: Callable[[Store, Run, Said], object], *fields: str, of_task: bool = True) -> Fact:
    return Fact(frozenset(fields), tell, of_task)


FACTS: Mapping[str, Fact] = {
    "runStarted": _fact(_run_started, "worker", "lease", of_task=False),
    "runWaiting": _fact(_run_waiting, "reason", "until", of_task=False),
    "runCompleted": _fact(_run_completed, "output", of_task=False),
    "runFailed": _fact(_run_failed, "error", of_task=False),
    "runCancelled": _fact(_run_cancelled, "reason", of_task=False),
    "taskRunScheduled": _fact(_task_scheduled, "name", "depends_on", "input", "metadata", "always_run"),
    "taskRunStarted": _fact(_task_started, "attempt", "worker", "consumes"),
    "taskRunCompleted": _fact(_task_completed, "output", "attempt", "usage"),
    "taskRunFailed": _fact(_task_failed, "error", "attempt", "usage", "retryable"),
    "taskRunRetryScheduled": _fact(_task_retried, "reason", "delay"),
    "taskRunSkipped": _fact(_task_skipped, "reason"),
    "taskRunCancelled": _fact(_task_cancelled, "reason"),
    "taskRunInvalidated": _fact(_task_invalidated, "reason"),
    "taskRunReused": _fact(_task_reused),
    "taskRunWaiting": _fact(_task_waiting, "reason", "until", "attempt"),
    "taskRunApproved": _fact(_task_approved, "output", "comment", "attempt"),
    "taskRunRejected": _fact(_task_rejected, "reason", "attempt"),
}
"""The vocabulary's types that can be reported. To create, update, delete and resume a run, and to renew its
lease, are calls of their own, and that an attempt was interrupted is found out by resuming.
"""

UNFENCED = frozenset({"runStarted", "runCancelled", "taskRunApproved", "taskRunRejected"})
"""Facts whose commands ask for no claim: the first makes one, and to end a run or to decide is anybody's right."""

ALSO_CALLED: Mapping[str, str] = {
    "workflow_started": "runStarted",
    "workflow_paused": "runWaiting",
    "workflow_completed": "runCompleted",
    "workflow_failed": "runFailed",
    "workflow_cancelled": "runCancelled",
    "node_scheduled": "taskRunScheduled",
    "node_started": "taskRunStarted",
    "node_completed": "taskRunCompleted",
    "node_failed": "taskRunFailed",
    "node_retried": "taskRunRetryScheduled",
    "node_skipped": "taskRunSkipped",
    "node_cancelled": "taskRunCancelled",
    "node_waiting": "taskRunWaiting",
}
