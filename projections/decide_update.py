"""What an update of a run comes to: a pure function from its row, its unfinished tasks and its metadata to events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from eventstore.errors import Conflict, InvalidInput, InvalidTransition
from eventstore.events import RunUpdated
from eventstore.failure import Failure
from eventstore.payload import Value
from eventstore.values import encode_value
from projections import decide_run
from projections.decide import Events
from projections.rows import Run, TaskRun, json_digest
from projections.transitions import RUN_STEPS, steps_from

_FITS = {
    "output": ("completed",),
    "error": ("failed",),
    "reason": ("waiting", "cancelled"),
    "worker": ("running",),
    "lease": ("running",),
}


class Metadata(msgspec.Struct, frozen=True):
    """What a run's metadata are, and which of their keys never change again."""

    values: Mapping[str, Any]
    fixed: tuple[str, ...] = ()


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """The status a run is to have, None for the one it has, and what there is to say of it. `holding` if its mover has
    proved its claim.
    """

    status: str | None = None
    output: Value | None = None
    failure: Failure | None = None
    reason: str = ""
    worker: str = ""
    lease_until: datetime | None = None
    holding: bool = False


def check_arguments(status: str | None, given: Mapping[str, object]) -> None:
    """Raise `InvalidInput` for an unknown status, or for what would be lost because it says nothing of this one."""
    if status is not None and (not isinstance(status, str) or status not in RUN_STEPS):
        raise InvalidInput(f"unknown status {status!r}", f"Use one of: {', '.join(RUN_STEPS)}.")
    for name, value in given.items():
        if value not in (None, "") and status not in _FITS[name]:
            raise InvalidInput(f"{name} is given, and the status is not", f"Use it with {' or '.join(_FITS[name])}.")


def move(run: Run, tasks: Sequence[TaskRun], to: Move, now: datetime) -> Events:
    """Bring a run to a status, which concerns these of its tasks. It has that status, and nothing is said that
    contradicts it: no event.
    """
    if to.status is None or (to.status == run.status and not _contradicts(run, to)):
        return []
    match to.status:
        case "running":
            return _drive(run, tasks, to, now)
        case "waiting":
            return decide_run.wait(run, to.reason, None)
        case "completed":
            return decide_run.complete(run, tasks, to.output)
        case "failed":
            if to.failure is None:
                raise InvalidInput(f"run {run.id!r} is to fail without an error", "Say what went wrong.")
            return decide_run.fail(run, tasks, to.failure)
        case "cancelled":
            return decide_run.cancel(run, tasks, to.reason)
    raise InvalidTransition(f"run {run.id!r}", run.status, to.status, steps_from(RUN_STEPS, run.status))


def _contradicts(run: Run, to: Move) -> bool:
    return (
        to.output is not None
        or to.failure is not None
        or (to.status == "waiting" and to.reason not in ("", run.waiting_reason))
        or (to.status == "running" and to.worker not in ("", run.worker))
    )


def _drive(run: Run, tasks: Sequence[TaskRun], to: Move, now: datetime) -> Events:
    if run.status == "pending":
        return decide_run.start(run, tasks, to.worker, to.lease_until)
    if run.status == "running":
        raise decide_run.held_by(run)
    return decide_run.resume(
        run, tasks, to.worker, to.lease_until, first_seen_epoch=run.epoch, now=now, force=to.holding
    )


def note(run_id: str, known: Metadata, metadata: Mapping[str, Any], write_once: Mapping[str, Any]) -> Events:
    """Set these metadata of a run, and some of them for good. What is there already is no event."""
    for key, value in (*metadata.items(), *write_once.items()):
        fixed = known.values if key in known.fixed else write_once
        if key in fixed and not _same(fixed, {key: value}, key):
            reason = f"metadata {key!r} of run {run_id!r} is set for good, to something else"
            raise Conflict(reason, "Use another key.")
    merged = {**known.values, **metadata, **write_once}
    added = tuple(key for key in write_once if key not in known.fixed)
    if not added and all(key in known.values and _same(known.values, merged, key) for key in merged):
        return []
    return [RunUpdated(msgspec.Raw(encode_value(merged)), (*known.fixed, *added))]


def _same(one: Mapping[str, Any], other: Mapping[str, Any], key: str) -> bool:
    """Whether both say the same JSON of this key; to Python, true, 1 and 1.0 would be equal."""
    return json_digest(one[key]) == json_digest(other[key])
