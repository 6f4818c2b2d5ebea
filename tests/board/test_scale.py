"""A board of thousands of tasks."""

from __future__ import annotations

import pytest

from eventstore.board_errors import CycleError
from eventstore.board_events import BOARD_STREAM, TaskCreated, TaskDependedOn
from eventstore.log import Append
from projections import Store

from .boards import finish

MANY = 10_000


@pytest.mark.parametrize("backend", ["memory"])
def test_ten_thousand_tasks_that_wait_for_one_are_unblocked_in_one_commit(store: Store) -> None:
    store.board.create("Top", task_id="top")
    names = [f"task {number}" for number in range(MANY)]
    waiting = [TaskCreated(name, "Waiting", status="blocked", depends_on=("top",)) for name in names]
    noted = [store.codec.encode(TaskDependedOn("top", by=name)) for name in names]
    tasks = [Append(BOARD_STREAM + task.task_id, [store.codec.encode(task)]) for task in waiting]
    store.log.append([Append(BOARD_STREAM + "top", noted), *tasks])
    finish(store.board, "top")
    assert [task.id for task in store.board.list(status="ready")] == names
    *_, last = store.log.read_all(backward=True, limit=MANY + 1)
    assert store.log.head() - last.position == MANY
    assert (last.type, last.commit) == ("taskMoved", last.position)


@pytest.mark.parametrize("backend", ["memory"])
def test_a_chain_of_a_thousand_tasks_is_walked_to_find_a_circle(store: Store) -> None:
    for number in range(1_000):
        store.board.create("Link", task_id=str(number), depends_on=[str(number - 1)] if number else [])
    store.board.create("Free", task_id="free")
    assert store.board.update("free", depends_on=["999"]).status == "blocked"
    with pytest.raises(CycleError, match="0 -> free -> 999 -> 998"):
        store.board.update("0", depends_on=["free"])
