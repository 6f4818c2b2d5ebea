"""The event vocabulary of task boards. A board task is its own stream and is never mixed with a run's task runs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

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


class TaskUpdated(msgspec.Struct, frozen=True, omit_defaults=True):
    """Details have changed: each field with its old and its new value, as JSON."""

    task_id: str
    changed: dict[str, tuple[msgspec.Raw, msgspec.Raw]]


class TaskMoved(msgspec.Struct, frozen=True, omit_defaults=True):
    """The task has gone from one status to another."""

    task_id: str
    old: BoardStatus
    new: BoardStatus
    assignee: str | None = None
    reason: str = ""


class TaskUnblocked(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last thing that blocked the task is gone, and it is ready. `by` is the dependency that was done last."""

    task_id: str
    by: str | None = None


class TaskDeleted(msgspec.Struct, frozen=True, omit_defaults=True):
    """The task is hidden from the board."""

    task_id: str
    reason: str = ""


BoardEvent = TaskCreated | TaskUpdated | TaskMoved | TaskUnblocked | TaskDeleted
