"""The task board: its states and what leads from one to another, tasks and what they need, and who has them."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from eventstore.board_errors import CycleError, HasDependents, TaskActive
from eventstore.board_events import TaskChanges, TaskUnblocked, TaskUpdated
from eventstore.errors import Conflict, EventStoreError, InvalidInput, InvalidTransition, NotFound
from projections import BoardTask, Store
from projections.transitions import BOARD_STEPS, steps_from
from tests.board.boards import STATUSES, finish, ids, in_status, refusal, statuses, told
from tests.commands.test_concurrency import at_once
from tests.crash.children import Children
from tests.stores import NOON, Clock, check_views, open_again, tables_of

from .damage import tear

ALLOWED = [
    ("ready", "working"),
    ("ready", "blocked"),
    ("working", "review"),
    ("working", "ready"),
    ("review", "done"),
    ("review", "working"),
    ("review", "ready"),
    ("blocked", "ready"),
]
FORBIDDEN = [pair for pair in product(STATUSES, STATUSES) if pair not in ALLOWED]


def moved(store: Store, old: str, new: str) -> BoardTask:
    """A task that was in the one status, and has been moved to the other."""
    in_status(store.board, old)
    task = store.board.move("task", new, agent="ada", reason="because")
    assert (task, task.status) == (store.board.get("task"), new)
    check_views(store)
    return task


def test_the_table_of_steps_has_these_and_no_others() -> None:
    assert {(old, new) for old in STATUSES for new in BOARD_STEPS[old]} == set(ALLOWED)
    assert len(FORBIDDEN) + len(ALLOWED) == 25


@pytest.mark.parametrize("new", ["working", "blocked"])
def test_s3_01_valid_transitions_from_ready(store: Store, new: str) -> None:
    task = moved(store, "ready", new)
    assert (task.assignee, task.reason, task.manual) == (("ada", None, 0) if new == "working" else (None, "because", 1))


@pytest.mark.parametrize("new", ["review", "ready"])
def test_s3_02_valid_transitions_from_working(store: Store, new: str) -> None:
    assert moved(store, "working", new).assignee == ("ada" if new == "review" else None)


@pytest.mark.parametrize("new", ["done", "working", "ready"])
def test_s3_03_valid_transitions_from_review(store: Store, new: str) -> None:
    assert moved(store, "review", new).assignee == (None if new == "ready" else "ada")


def test_s3_03_a_blocked_task_goes_to_ready_and_nowhere_else(store: Store) -> None:
    assert moved(store, "blocked", "ready").manual == 0


@pytest.mark.parametrize(("old", "new"), FORBIDDEN)
def test_s3_04_an_invalid_transition_is_rejected_and_changes_nothing(store: Store, old: str, new: str) -> None:
    in_status(store.board, old)
    error = refusal(store, InvalidTransition, lambda: store.board.move("task", new, agent="ada", reason="because"))
    assert (error.current, error.wanted, error.allowed) == (old, new, steps_from(BOARD_STEPS, old))


def test_s3_04_of_two_that_approve_at_once_one_wins(store: Store) -> None:
    in_status(store.board, "review")
    results = at_once(*[partial(store.board.approve, "task")] * 2)
    assert [type(result) for result in results if not isinstance(result, BoardTask)] == [InvalidTransition]
    assert store.log.version("$board/task") == 4


def test_s3_05_create_task(store: Store) -> None:
    task = store.board.create("Paint the door", description="Both sides", acceptance_criteria="No drips")
    other = store.board.create("Paint the door")
    assert (task.title, task.status, task.description, task.acceptance_criteria) == (
        "Paint the door",
        "ready",
        "Both sides",
        "No drips",
    )
    assert task.id != other.id
    assert store.board.list() == [task, other]
    assert told(store) == [("taskCreated", task.id), ("taskCreated", other.id)]


@pytest.mark.parametrize("title", ["", " \n"])
def test_s3_05_a_task_without_a_title_is_refused(store: Store, title: str) -> None:
    refusal(store, InvalidInput, lambda: store.board.create(title))


def test_s3_05_the_same_task_again_is_the_same_and_another_under_its_id_a_conflict(store: Store) -> None:
    store.board.create("Sand", task_id="sand")
    paint = partial(store.board.create, task_id="paint", depends_on=["sand", "sand"], tags=["a", "b", "a"], priority=3)
    first = paint("Paint")
    assert paint("Paint") == first
    assert first.tags == ("a", "b")
    refusal(store, Conflict, lambda: paint("Varnish"))


def test_s3_06_update_task(store: Store) -> None:
    store.board.create("Paint", task_id="paint", tags=["door"])
    task = store.board.update("paint", title="Paint it red", tags=["door"], priority=2)
    assert (task.title, task.tags, task.priority, task.status) == ("Paint it red", ("door",), 2, "ready")
    event = store.codec.decode(next(store.log.read("$board/paint", after=1)))
    changed = TaskChanges(title=("Paint", "Paint it red"), priority=(0, 2))
    assert event == TaskUpdated("paint", changed)


def test_s3_06_an_update_that_changes_nothing_is_no_event(store: Store) -> None:
    before = store.board.create("Paint", task_id="paint", tags=["door"], priority=2)
    assert store.board.update("paint") == before
    assert store.board.update("paint", title="Paint", tags=["door"], priority=2, depends_on=[]) == before
    assert store.log.head() == 1


def test_s3_06_details_of_a_done_task_can_change_and_its_dependencies_cannot(store: Store) -> None:
    store.board.create("Sand", task_id="sand")
    in_status(store.board, "done")
    assert store.board.update("task", description="It went well").status == "done"
    refusal(store, Conflict, lambda: store.board.update("task", depends_on=["sand"]))


@pytest.mark.parametrize("status", ["ready", "blocked"])
def test_s3_07_delete_task(store: Store, status: str) -> None:
    before = in_status(store.board, status)
    deleted = store.board.delete("task", "not needed")
    assert (store.board.list(), store.board.get("task"), store.board.next_ready()) == ([], None, None)
    assert deleted.deleted_at is not None
    assert store.board.list(include_deleted=True) == [store.board.get("task", include_deleted=True)] == [deleted]
    assert told(store)[-1] == ("taskDeleted", "task")
    assert store.board.delete("task") == deleted
    assert store.log.version("$board/task") == before.version + 1
    refusal(store, NotFound, lambda: store.board.update("task", title="Again"))


def test_s3_07_a_task_that_others_need_is_deleted_only_with_what_binds_them(store: Store) -> None:
    for task_id in ("sand", "buy"):
        store.board.create("First", task_id=task_id)
    store.board.create("Paint", task_id="paint", depends_on=["sand"])
    store.board.create("Varnish", task_id="varnish", depends_on=["sand", "buy"])
    error = refusal(store, HasDependents, lambda: store.board.delete("sand"))
    assert error.dependents == ("paint", "varnish")
    before = store.log.head()
    store.board.delete("sand", cascade="detach")
    assert statuses(store.board) == {"buy": "ready", "paint": "ready", "varnish": "blocked"}
    assert told(store, before) == [
        ("taskDeleted", "sand"),
        ("taskUpdated", "paint"),
        ("taskUnblocked", "paint"),
        ("taskUpdated", "varnish"),
    ]
    assert len({event.commit for event in store.log.read_all(after=before)}) == 1
    finish(store.board, "buy")
    assert statuses(store.board)["varnish"] == "ready"
    check_views(store)


@pytest.mark.parametrize("status", ["working", "review"])
def test_s3_08_prevent_delete_of_active_task(store: Store, status: str) -> None:
    in_status(store.board, status)
    assert refusal(store, TaskActive, lambda: store.board.delete("task")).status == status
    refusal(store, TaskActive, lambda: store.board.purge("task"))


def test_s3_08_a_done_task_goes_by_purge_alone(store: Store) -> None:
    in_status(store.board, "done")
    assert "Purge" in refusal(store, Conflict, lambda: store.board.delete("task")).hint
    assert store.board.purge("task").events == 4
    assert store.board.get("task", include_deleted=True) is None
    assert store.log.version("$board/task") == 0
    check_views(store)


def test_s3_09_dependency_declaration(store: Store) -> None:
    in_status(store.board, "done", "sand")
    store.board.create("Buy", task_id="buy")
    assert store.board.create("Varnish", task_id="varnish", depends_on=["sand"]).status == "ready"
    assert store.board.create("Paint", task_id="paint", depends_on=["buy", "sand", "buy"]).status == "blocked"
    assert ids(store.board.dependencies("paint")) == ["sand", "buy"]
    assert ids(store.board.dependents("sand")) == ["varnish", "paint"]


def test_s3_09_dependencies_that_cannot_be_are_refused(store: Store) -> None:
    in_status(store.board, "ready", "gone")
    store.board.delete("gone")
    for unknown in ("gone", "nobody"):
        error = refusal(store, NotFound, partial(store.board.create, "Paint", depends_on=[unknown]))
        assert error.id == unknown
    paint = partial(store.board.create, "Paint", task_id="paint", depends_on=["paint"])
    assert refusal(store, CycleError, paint).path == ("paint", "paint")


def test_s3_09_a_cycle_is_refused_with_its_path(store: Store) -> None:
    store.board.create("A", task_id="a")
    store.board.create("B", task_id="b", depends_on=["a"])
    store.board.create("C", task_id="c", depends_on=["b"])
    error = refusal(store, CycleError, lambda: store.board.update("a", depends_on=["c"]))
    assert error.path == ("a", "c", "b", "a")
    assert "a -> c -> b -> a" in str(error)


def test_s3_09_a_dependency_blocks_a_ready_task_and_is_refused_by_a_task_under_way(store: Store) -> None:
    store.board.create("Sand", task_id="sand")
    store.board.create("Paint", task_id="paint")
    blocked = store.board.update("paint", depends_on=["sand"])
    assert (blocked.status, blocked.reason, blocked.manual) == ("blocked", "needs 'sand'", 0)
    assert len({event.commit for event in store.log.read_all(after=2)}) == 1
    assert store.board.update("paint", depends_on=[]).status == "ready"
    for status in ("working", "review"):
        in_status(store.board, status, status)
        refusal(store, Conflict, partial(store.board.update, status, depends_on=["sand"]))


def test_s3_10_dependency_resolution(store: Store) -> None:
    for task_id in ("sand", "buy"):
        store.board.create("First", task_id=task_id)
    store.board.create("Paint", task_id="paint", depends_on=["sand", "buy"])
    finish(store.board, "sand")
    assert statuses(store.board)["paint"] == "blocked"
    store.board.assign("buy", "ada")
    store.board.submit("buy")
    before = store.log.head()
    store.board.approve("buy")
    assert statuses(store.board)["paint"] == "ready"
    assert told(store, before) == [("taskMoved", "buy"), ("taskUnblocked", "paint")]
    approved, unblocked = store.log.read_all(after=before)
    assert approved.commit == unblocked.commit
    assert store.codec.decode(unblocked) == TaskUnblocked("paint", by="buy")


def test_s3_10_a_diamond_is_unblocked_once(store: Store) -> None:
    store.board.create("Top", task_id="top")
    for side in ("left", "right"):
        store.board.create("Side", task_id=side, depends_on=["top"])
    store.board.create("Bottom", task_id="bottom", depends_on=["top", "left", "right"])
    finish(store.board, "top", "left", "right")
    unblocked = [task_id for kind, task_id in told(store) if kind == "taskUnblocked"]
    assert unblocked == ["left", "right", "bottom"]
    store.rebuild()
    assert statuses(store.board)["bottom"] == "ready"
    check_views(store)


def test_s3_11_filter_by_status(store: Store) -> None:
    for status in STATUSES:
        in_status(store.board, status, status)
    board = store.board
    assert ids(board.list(status="ready")) == ["ready"]
    assert ids(board.list(status=["done", "ready"])) == ["ready", "done"]
    assert board.list(status=[]) == []
    with pytest.raises(ValueError, match="unknown status 'open'"):
        board.list(status="open")


def test_s3_11_filter_by_assignee_tags_and_priority(store: Store) -> None:
    board = store.board
    board.create("A", task_id="a", tags=["ui", "bug"], priority=1)
    board.create("B", task_id="b", tags=["bug"])
    board.create("C", task_id="c", tags=["ui"], priority=1)
    board.create("D", task_id="d")
    board.assign("a", "ada")
    board.assign("b", "bob")
    assert ids(board.list(assignee="ada")) == ["a"]
    assert ids(board.list(tags=["bug"])) == ["a", "b"]
    assert ids(board.list(tags=["bug", "ui"])) == ["a"]
    assert ids(board.list(priority=1)) == ["a", "c"]
    assert ids(board.list(status="ready", tags=["ui"], priority=1)) == ["c"]
    assert ids(board.list(limit=2)) == ["a", "b"]
    assert ids(board.list(after=board.list()[1].position)) == ["c", "d"]
    assert board.list(limit=0) == []


def test_s3_12_get_next_ready_task(store: Store, clock: Clock) -> None:
    board = store.board
    assert (board.next_ready(), board.claim_next("ada")) == (None, None)
    board.create("A", task_id="a")
    clock.time = NOON - timedelta(days=1)  # the order is that of creation, whatever the clock says
    board.create("B", task_id="b", depends_on=["a"], priority=9)
    board.create("C", task_id="c", priority=5, tags=["ui"])
    assert ids(task for task in [board.next_ready(), board.next_ready(by_priority=True)] if task) == ["a", "c"]
    first = board.claim_next("ada", lease=60)
    assert first is not None
    assert (first.id, first.status, first.assignee, first.claim) == ("a", "working", "ada", 1)
    assert board.claim_next("bob", tags=["db"]) is None
    second = board.claim_next("bob", tags=["ui"])
    assert second is not None
    assert (second.id, board.claim_next("cyd")) == ("c", None)


def test_s3_12_no_two_agents_get_the_same_task(store: Store) -> None:
    for number in range(6):
        store.board.create("A task", task_id=str(number))
    claimed = at_once(*(partial(store.board.claim_next, f"agent {number}") for number in range(8)))
    assert sorted(task.id for task in claimed if isinstance(task, BoardTask)) == list("012345")
    assert claimed.count(None) == 2
    assert store.log.head() == 12


def test_s3_12_a_claim_that_has_run_out_is_reported_and_released_and_its_holder_fenced(
    store: Store, clock: Clock
) -> None:
    board = store.board
    board.create("A", task_id="a")
    zombie = board.assign("a", "ada", lease=60)
    assert board.stale_claims() == []
    clock.time += timedelta(seconds=61)
    assert board.stale_claims() == [zombie]
    assert board.release("a", "ada is gone").lease_until is None
    assert board.stale_claims() == []
    board.assign("a", "bob")
    refusal(store, Conflict, lambda: board.submit("a", agent="ada"))
    refusal(store, Conflict, lambda: board.submit("a", claim=zombie.claim))
    refusal(store, Conflict, lambda: board.release("a", agent="ada"))
    assert board.submit("a", agent="bob", claim=2).status == "review"


def a_board(store: Store) -> None:
    """A board with tasks in all statuses, claims and dependencies."""
    for status in STATUSES:
        in_status(store.board, status, status)
    store.board.create("Claimed", task_id="claimed", tags=["x"], priority=4)
    store.board.assign("claimed", "bob", lease=60)
    store.board.create("Waiting", task_id="waiting", depends_on=["claimed", "done"])
    store.board.create("Deleted", task_id="deleted")
    store.board.delete("deleted")


def test_s3_13_tasks_survive_restart(lasting: str) -> None:
    with open_again(lasting) as store:
        a_board(store)
        before, tasks = tables_of(store), store.board.list(include_deleted=True)
    with open_again(lasting) as again:
        assert tables_of(again) == before
        assert again.board.list(include_deleted=True) == tasks
        finish_claimed = again.board.submit("claimed", agent="bob", claim=1)
        assert finish_claimed.status == "review"
        again.board.approve("claimed")
        assert statuses(again.board)["waiting"] == "ready"


def work_until_killed(test: Connection, address: str) -> None:
    with open_again(address) as store:
        store.board.create("Sand", task_id="sand")
        store.board.create("Paint", task_id="paint", depends_on=["sand"])
        test.send(store.board.claim_next("ada", lease=60))
        test.recv()


def test_s3_13_what_was_acknowledged_survives_a_kill(lasting: str, children: Children) -> None:
    child = children.start(work_until_killed, lasting)
    claimed = child.receive()
    child.kill()
    child.end()
    with open_again(lasting) as store:
        assert store.board.get("sand") == claimed
        assert statuses(store.board) == {"sand": "working", "paint": "blocked"}
        check_views(store)


def test_s3_13_a_damaged_store_does_not_open_as_an_empty_board(lasting: str, folder: Path) -> None:
    with open_again(lasting) as store:
        for number in range(50):
            store.board.create("A task", task_id=str(number))
    tear(lasting, folder)
    with pytest.raises(EventStoreError), open_again(lasting) as torn:
        assert len(torn.board.list()) == 50
