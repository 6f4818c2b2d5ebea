"""Whoever changes the board at the same time as others, no wake-up is lost, no circle made, no task given out twice.

In most of these tests another program does something at the worst moment: after a command has looked at the board and
decided, and just before it appends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import pytest

from eventstore.board_errors import CycleError, HasDependents
from eventstore.errors import Conflict, InvalidTransition, NotFound
from eventstore.log import Append, Appended, Log, Purged
from projections import Board, BoardTask, Store
from tests.commands.test_concurrency import at_once
from tests.crash.children import Children
from tests.stores import check_views, open_again

from .boards import finish, statuses, told

WORKERS = 4


@pytest.fixture
def others(store: Store) -> Board:
    """The same board, in the hands of another program."""
    return Board(store.views, store.log, store.codec, store.values, store, store.board._now)


@pytest.fixture
def meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something happen just before the next commit is appended."""
    log: Log = store.log
    append = log.append

    def happens(something: Callable[[], object]) -> None:
        def appended(commit: Sequence[Append], **more: Any) -> Appended:
            monkeypatch.setattr(log, "append", append)
            something()
            return append(commit, **more)

        monkeypatch.setattr(log, "append", appended)

    return happens


Meanwhile = Callable[[Callable[[], object]], None]


@pytest.fixture
def board(store: Store) -> Board:
    """Two tasks in review, and one that needs both."""
    for side in ("left", "right"):
        store.board.create("Side", task_id=side)
        store.board.assign(side, "ada")
        store.board.submit(side)
    store.board.create("Bottom", task_id="bottom", depends_on=["left", "right"])
    return store.board


def unblocked(store: Store) -> list[str]:
    return [task_id for kind, task_id in told(store) if kind == "taskUnblocked"]


def test_of_two_approvals_the_later_one_unblocks(
    store: Store, board: Board, others: Board, meanwhile: Meanwhile
) -> None:
    meanwhile(partial(others.approve, "right"))
    board.approve("left")
    assert unblocked(store) == ["bottom"]
    check_views(store)


def test_a_task_that_stops_needing_another_while_the_last_is_approved_is_unblocked(
    store: Store, board: Board, others: Board, meanwhile: Meanwhile
) -> None:
    meanwhile(partial(others.update, "bottom", depends_on=["left"]))
    board.approve("left")
    assert unblocked(store) == ["bottom"]


def test_a_task_whose_last_dependency_is_approved_while_it_lets_go_of_another_is_unblocked(
    store: Store, board: Board, others: Board, meanwhile: Meanwhile
) -> None:
    meanwhile(partial(others.approve, "left"))
    assert board.update("bottom", depends_on=["left"]).status == "ready"
    assert unblocked(store) == ["bottom"]


def test_a_task_that_is_created_while_its_dependency_is_approved_is_ready(
    board: Board, others: Board, meanwhile: Meanwhile
) -> None:
    meanwhile(partial(others.approve, "left"))
    assert board.create("New", depends_on=["left"]).status == "ready"


def test_a_task_that_is_created_just_before_its_dependency_is_approved_is_unblocked(
    store: Store, board: Board, others: Board, meanwhile: Meanwhile
) -> None:
    meanwhile(partial(others.create, "New", task_id="new", depends_on=["left"]))
    board.approve("left")
    assert unblocked(store) == ["new"]


def test_a_task_that_begins_to_need_another_just_before_that_is_approved_is_unblocked(
    store: Store, board: Board, others: Board, meanwhile: Meanwhile
) -> None:
    board.create("New", task_id="new")
    meanwhile(partial(others.update, "new", depends_on=["left"]))
    board.approve("left")
    assert unblocked(store) == ["new"]


def test_a_dependency_that_is_released_from_a_deleted_task_and_an_approved_one_at_once_is_unblocked(
    store: Store, board: Board, others: Board, meanwhile: Meanwhile
) -> None:
    board.revert("left", "start over")
    meanwhile(partial(others.approve, "right"))
    board.delete("left", cascade="detach")
    assert unblocked(store) == ["bottom"]


def test_a_task_that_was_deleted_meanwhile_cannot_be_needed(board: Board, others: Board, meanwhile: Meanwhile) -> None:
    board.create("Gone", task_id="gone")
    meanwhile(partial(others.delete, "gone"))
    with pytest.raises(NotFound, match="gone"):
        board.create("New", depends_on=["gone"])


def test_a_task_that_is_needed_meanwhile_is_not_deleted(board: Board, others: Board, meanwhile: Meanwhile) -> None:
    board.create("Needed", task_id="needed")
    meanwhile(partial(others.create, "New", task_id="new", depends_on=["needed"]))
    with pytest.raises(HasDependents) as caught:
        board.delete("needed")
    assert caught.value.dependents == ("new",)


def test_a_task_that_changes_while_it_is_purged_is_purged_all_the_same(
    store: Store, board: Board, others: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.approve("left")
    board.delete("bottom")
    purge = store.log.purge

    def overtaken(stream: str, **more: Any) -> Purged:
        monkeypatch.undo()
        others.update("left", title="New")
        return purge(stream, **more)

    monkeypatch.setattr(store.log, "purge", overtaken)
    assert board.purge("left").last_version == 6


@pytest.mark.parametrize("between", [[], ["x"], ["x", "y", "z"]])
def test_two_halves_of_a_circle_cannot_be_made_at_once(
    board: Board, others: Board, meanwhile: Meanwhile, between: list[str]
) -> None:
    below = "b"
    board.create("B", task_id="b")
    for task_id in between:
        board.create("Between", task_id=task_id, depends_on=[below])
        below = task_id
    board.create("A", task_id="a")
    meanwhile(partial(others.update, "b", depends_on=["a"]))
    with pytest.raises(CycleError) as caught:
        board.update("a", depends_on=[below])
    assert caught.value.path == ("a", *reversed(between), "b", "a")


def test_a_circle_is_not_made_of_two_new_dependencies_far_from_each_other(
    board: Board, others: Board, meanwhile: Meanwhile
) -> None:
    for task_id, needs in (("a", []), ("c", []), ("b", ["c"]), ("d", ["a"])):
        board.create("Task", task_id=task_id, depends_on=needs)
    meanwhile(partial(others.update, "c", depends_on=["d"]))
    with pytest.raises(CycleError) as caught:
        board.update("a", depends_on=["b"])
    assert caught.value.path == ("a", "b", "c", "d", "a")


def test_a_ready_task_that_is_blocked_meanwhile_is_not_assigned(
    board: Board, others: Board, meanwhile: Meanwhile
) -> None:
    board.create("New", task_id="new")
    meanwhile(partial(others.update, "new", depends_on=["left"]))
    with pytest.raises(InvalidTransition) as caught:
        board.assign("new", "ada")
    assert caught.value.current == "blocked"


def test_who_claims_when_somebody_else_was_faster_gets_the_next_task(
    board: Board, others: Board, meanwhile: Meanwhile
) -> None:
    for task_id in ("first", "second"):
        board.create("New", task_id=task_id)
    meanwhile(partial(others.claim_next, "bob"))
    claimed = board.claim_next("ada")
    assert claimed is not None
    assert (claimed.id, claimed.assignee) == ("second", "ada")


def test_a_claim_is_told_as_it_was_made_though_the_task_was_given_to_somebody_else_at_once(
    store: Store, others: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.board.create("New", task_id="new")
    append = store.log.append

    def overtaken(commit: Sequence[Append], **more: Any) -> Appended:
        monkeypatch.undo()
        appended = append(commit, **more)
        others.release("new")
        others.assign("new", "bob")
        return appended

    monkeypatch.setattr(store.log, "append", overtaken)
    claimed = store.board.claim_next("ada")
    assert claimed is not None
    assert (claimed.assignee, claimed.claim, claimed.version) == ("ada", 1, 2)
    with pytest.raises(Conflict):
        store.board.submit("new", agent=claimed.assignee, claim=claimed.claim)


def test_of_many_approvals_at_once_the_last_unblocks_all_that_waited(store: Store) -> None:
    sides = [f"side {number}" for number in range(WORKERS)]
    for side in sides:
        store.board.create("Side", task_id=side)
    for number in range(WORKERS):
        store.board.create("Bottom", task_id=f"bottom {number}", depends_on=sides)
    at_once(*(partial(finish, store.board, side) for side in sides))
    assert set(statuses(store.board).values()) == {"done", "ready"}
    assert sorted(unblocked(store)) == [f"bottom {number}" for number in range(WORKERS)]
    check_views(store)


def test_tasks_that_are_created_while_what_they_need_is_done_end_up_ready(store: Store) -> None:
    sides = [f"side {number}" for number in range(WORKERS)]
    for side in sides:
        store.board.create("Side", task_id=side)
    approving = [partial(finish, store.board, side) for side in sides]
    creating = [partial(store.board.create, "Bottom", task_id=str(n), depends_on=sides) for n in range(WORKERS)]
    at_once(*approving, *creating)
    assert {task.status for task in store.board.list() if task.title == "Bottom"} == {"ready"}


def test_of_threads_that_would_close_a_circle_all_but_one_succeed(store: Store) -> None:
    names = list("abcd")
    for name in names:
        store.board.create("Task", task_id=name)
    links = zip(names, [*names[1:], names[0]], strict=True)
    results = at_once(*(partial(store.board.update, task, depends_on=[need]) for task, need in links))
    assert [type(result) for result in results].count(CycleError) == 1
    assert len(told(store)) == len(names) + 3 * (len(names) - 1)


def claim_all(test: Connection, address: str, agent: str) -> None:
    with open_again(address) as store:
        test.send("ready")
        test.recv()
        claimed = []
        while (task := store.board.claim_next(agent)) is not None:
            claimed.append(task.id)
        test.send(claimed)


def test_processes_that_claim_share_the_tasks_between_them(lasting: str, children: Children) -> None:
    with open_again(lasting) as store:
        for number in range(20):
            store.board.create("Task", task_id=str(number))
        workers = [children.start(claim_all, lasting, agent) for agent in ("ada", "bob")]
        assert [worker.receive() for worker in workers] == ["ready", "ready"]
        for worker in workers:
            worker.send("go")
        shares = [worker.receive() for worker in workers]
        assert sorted(map(int, [task_id for share in shares for task_id in share])) == list(range(20))
        tasks: list[BoardTask] = store.board.list()
        assert {(task.status, task.claim) for task in tasks} == {("working", 1)}
        check_views(store)
