"""What the events of a task board mean for the views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from eventstore.board_events import (
    BoardEvent,
    TaskChanges,
    TaskCreated,
    TaskDeleted,
    TaskMoved,
    TaskUnblocked,
    TaskUpdated,
)
from eventstore.chain import timestamp
from eventstore.log import RecordedEvent
from projections.rows import BoardDependency, BoardTask, Delete, Patch, Put, Scalar, json_column, time_column

_SCALARS = ("title", "description", "acceptance_criteria", "priority")


def board_patches(event: BoardEvent, recorded: RecordedEvent) -> Iterator[Patch]:
    """The patches that an event of a board task makes, which stands in that task's own stream."""
    happened = timestamp(recorded.time)
    seen: dict[str, Scalar] = {"version": recorded.version, "updated_at": happened}
    match event:
        case TaskCreated(task_id):
            values: dict[str, Scalar] = {
                "title": event.title,
                "status": event.status,
                "description": event.description,
                "acceptance_criteria": event.acceptance_criteria,
                "tags": json_column(event.tags),
                "priority": event.priority,
                "created_at": happened,
                "position": recorded.position,
            }
            yield Put(BoardTask.TABLE, (task_id,), {**seen, **values})
            yield from _needs(task_id, event.depends_on)
        case TaskUpdated(task_id):
            yield Put(BoardTask.TABLE, (task_id,), {**seen, **_details(event.changed)})
            if event.changed.depends_on is not None:
                yield Delete(BoardDependency.TABLE, (task_id,))
                yield from _needs(task_id, event.changed.depends_on[1])
        case TaskMoved(task_id):
            moved: dict[str, Scalar] = {
                "status": event.new,
                "reason": event.reason or None,
                "assignee": event.assignee,
                "claim": event.claim,
                "lease_until": time_column(event.lease_until),
                "manual": int(event.manual),
            }
            yield Put(BoardTask.TABLE, (task_id,), {**seen, **moved})
        case TaskUnblocked(task_id):
            yield Put(BoardTask.TABLE, (task_id,), {**seen, "status": "ready", "reason": None, "manual": 0})
        case TaskDeleted(task_id):
            yield Put(BoardTask.TABLE, (task_id,), {**seen, "deleted_at": happened})
        case _:
            yield Put(BoardTask.TABLE, (event.task_id,), {"version": recorded.version})


def board_removal(task_id: str) -> Iterator[Patch]:
    """The patches that take back whatever a board task's events have made."""
    for kind in (BoardTask, BoardDependency):
        yield Delete(kind.TABLE, (task_id,))


def _details(changed: TaskChanges) -> dict[str, Scalar]:
    scalars = {name: getattr(changed, name) for name in _SCALARS}
    details: dict[str, Scalar] = {name: change[1] for name, change in scalars.items() if change is not None}
    return details if changed.tags is None else {**details, "tags": json_column(changed.tags[1])}


def _needs(task_id: str, depends_on: Iterable[str]) -> Iterator[Patch]:
    return (Put(BoardDependency.TABLE, (task_id, needed), {}) for needed in depends_on)
