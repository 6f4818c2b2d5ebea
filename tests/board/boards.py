"""What the tests of boards share: tasks in every status, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

from eventstore.errors import EventStoreError
from projections import Board, BoardTask, Store

ErrorT = TypeVar("ErrorT", bound=EventStoreError)

STATUSES = ("ready", "working", "blocked", "review", "done")


def in_status(board: Board, status: str, task_id: str = "task") -> BoardTask:
    """A new task in this status, blocked by hand if it is."""
    task = board.create("A task", task_id=task_id)
    if status == "blocked":
        return board.block(task_id, "a reason")
    if status in ("working", "review", "done"):
        task = board.assign(task_id, "ada")
    if status in ("review", "done"):
        task = board.submit(task_id)
    return board.approve(task_id) if status == "done" else task


def finish(board: Board, *task_ids: str) -> None:
    """Bring ready tasks to their end."""
    for task_id in task_ids:
        board.assign(task_id, "ada")
        board.submit(task_id)
        board.approve(task_id)


def ids(tasks: Iterable[BoardTask]) -> list[str]:
    return [task.id for task in tasks]


def statuses(board: Board) -> dict[str, str]:
    """The status of every task on the board."""
    return {task.id: task.status for task in board.list()}


def told(store: Store, after: int = 0) -> list[tuple[str, str]]:
    """What has happened on the board since: types of events, and of which task."""
    return [(event.type, event.stream.removeprefix("$board/")) for event in store.log.read_all(after=after)]


def refusal(store: Store, kind: type[ErrorT], command: Callable[[], object]) -> ErrorT:
    """The error that the command raises, having changed nothing."""
    before = store.log.head(), store.board.list(include_deleted=True)
    with pytest.raises(kind) as caught:
        command()
    assert (store.log.head(), store.board.list(include_deleted=True)) == before
    return caught.value
