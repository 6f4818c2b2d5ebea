"""What forking a run comes to: pure functions from what the run was then to the events that follow."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from eventstore.errors import Conflict, InvalidInput
from eventstore.events import RunForked, TaskRunInterrupted
from projections.decide import Events
from projections.rows import Run, TaskRun


class Cut(msgspec.Struct, frozen=True):
    """A run as far as a version of its stream, whose event has this hash; and the tasks that were running then."""

    origin: str
    version: int
    hash: str
    running: Sequence[TaskRun]


def fork(cut: Cut, reason: str) -> Events:
    """Begin a run that goes on from there. What was running is in doubt in it: nobody will tell it the end."""
    why = f"the run was forked from {cut.origin!r}"
    interrupted = [TaskRunInterrupted(task.task_id, task.attempt, why) for task in cut.running]
    return [RunForked(cut.origin, cut.version, cut.hash, reason), *interrupted]


def check_version(run: Run, version: int | None, newest: int) -> None:
    """Raise `InvalidInput` unless the run's stream has an event of this version, if one is given."""
    known = type(version) is int
    if version is None or (known and 0 < version <= newest):
        return
    hint = f"It has the versions 1 to {newest}."
    if known and version < 1 and run.forked_from is not None and run.forked_version is not None:
        hint = f"That is inherited: fork {run.forked_from!r} at version {run.forked_version + version}."
    raise InvalidInput(f"run {run.id!r} has no version {version!r} of its own", hint)


def check_same_fork(known: Run, origin: str, version: int | None) -> None:
    """Raise `Conflict` unless the run that is there was forked from this one, at this version if one was asked for."""
    if known.deleted_at is not None:
        raise Conflict(f"run {known.id!r} was deleted", "Use another id, or purge the run first.")
    if known.forked_from != origin or version not in (None, known.forked_version):
        raise Conflict(f"run {known.id!r} exists already, and is not this fork", "Use another id.")
