"""The event vocabulary of task boards. A board task is its own stream and is never mixed with a run's task runs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from eventstore.events import Moment, Number
from eventstore.validate import MAX_NUMBER

BOARD_STREAM = "$board/"
"""A board task's stream is this prefix and its id."""

BoardStatus = Literal["ready", "working", "blocked", "review", "done"]
Priority = Annotated[int, msgspec.Meta(ge=-MAX_NUMBER, le=MAX_NUMBER)]


class TaskCreated(msgspec.Struct, frozen=True, omit_defaults=True):
    """A board task exists: ready, or blocked while a dependency is not done."""

    task_id: str
    title: str
    status: BoardStatus = "ready"
    description: str = ""
    acceptance_criteria: str = ""
    depends_on: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    priority: Priority = 0


Names = tuple[str, ...]


class TaskChanges(msgspec.Struct, frozen=True, omit_defaults=True):
    """What has changed of a board task's details: of each field the old and the new value."""

    title: tuple[str, str] | None = None
    description: tuple[str, str] | None = None
    acceptance_criteria: tuple[str, str] | None = None
    depends_on: tuple[Names, Names] | None = None
    tags: tuple[Names, Names] | None = None
    priority: tuple[Priority, Priority] | None = None


class TaskUpdated(msgspec.Struct, frozen=True, omit_defaults=True):
    """Details have changed, and nothing of the status."""

    task_id: str
    changed: TaskChanges


class TaskMoved(msgspec.Struct, frozen=True, omit_defaults=True):
    """The task has gone from one status to another.

    `claim` fences: it grows whenever somebody is given the task. `manual` says that a blocked task was blocked by hand,
    and not by its dependencies.
    """

    task_id: str
    old: BoardStatus
    new: BoardStatus
    assignee: str | None = None
    reason: str = ""
    claim: Number = 0
    lease_until: Moment | None = None
    manual: bool = False


class TaskUnblocked(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last thing that blocked the task is gone, and it is ready. `by` is the dependency that was done last."""

    task_id: str
    by: str | None = None


class TaskDependedOn(msgspec.Struct, frozen=True, omit_defaults=True):
    """Another task has begun to depend on this one, in the same commit, so whoever ends or deletes this task cannot
    miss it.
    """

    task_id: str
    by: str


class TaskDeleted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The task is hidden from the board."""

    task_id: str
    reason: str = ""


BoardEvent = TaskCreated | TaskUpdated | TaskMoved | TaskUnblocked | TaskDependedOn | TaskDeleted
