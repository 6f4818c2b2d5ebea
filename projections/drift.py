"""How a workflow's definition has changed under a run of it: a pure function of the run's tasks.

A fingerprint is a text that the engine makes of a task's definition, whatever that is: its code, its prompt, its
parameters. It is kept as metadata of the task, under one key; nothing here looks into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from eventstore.errors import InvalidInput
from eventstore.validate import check_kind, check_name
from projections.rows import TaskRun

KEY = "fingerprint"


class Changed(msgspec.Struct, frozen=True):
    """A task with another fingerprint than it was scheduled with, and its status."""

    task_id: str
    before: str
    now: str
    status: str


class Drift(msgspec.Struct, frozen=True):
    """How the tasks of a workflow differ from those of a run of it: nothing of this is decided on.

    `added` are not scheduled in the run, `removed` are scheduled and no longer defined. Of the `unknown` nobody can say
    whether they have changed: they were scheduled without a fingerprint.
    """

    run_id: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[Changed, ...] = ()
    unknown: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is known to differ."""
        return bool(self.added or self.removed or self.changed)


def drift(run_id: str, tasks: Iterable[TaskRun], fingerprints: Mapping[str, str]) -> Drift:
    """Compare the tasks of a run with what they are by now: added ones in the order given, others as scheduled."""
    check_kind(fingerprints, Mapping, "the fingerprints")
    known = {task.task_id: task for task in tasks}
    there = [(task, fingerprint(task.metadata)) for task in known.values() if task.task_id in fingerprints]
    return Drift(
        run_id,
        added=tuple(task_id for task_id in fingerprints if task_id not in known),
        removed=tuple(task_id for task_id in known if task_id not in fingerprints),
        changed=tuple(
            Changed(task.task_id, before, fingerprints[task.task_id], task.status)
            for task, before in there
            if before is not None and before != fingerprints[task.task_id]
        ),
        unknown=tuple(task.task_id for task, before in there if before is None),
    )


def fingerprint(metadata: Mapping[str, Any] | None) -> str | None:
    """The fingerprint that a task's metadata hold; None if there is none."""
    found = (metadata or {}).get(KEY)
    return found if isinstance(found, str) else None


def marked(metadata: Mapping[str, Any] | None, fingerprint: str | None) -> Mapping[str, Any] | None:
    """The metadata with this fingerprint, if there is one. Raises `InvalidInput` if they have another one."""
    if fingerprint is None:
        return metadata
    check_name(fingerprint, KEY)
    marked = {**(metadata or {}), KEY: fingerprint}
    if metadata and metadata.get(KEY, fingerprint) != fingerprint:
        raise InvalidInput(f"the fingerprint {fingerprint!r} is another one in the metadata", "Give it once.")
    return marked
