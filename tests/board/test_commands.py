"""What commands on a board take and refuse, and what they leave on the log."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from eventstore.board_errors import HasDependents
from eventstore.errors import (
    Conflict,
    EventStoreError,
    InvalidInput,
    InvalidTransition,
    InvalidValue,
    NotFound,
    TooLarge,
    WrongExpectedVersion,
)
from eventstore.log import Append, NewEvent
from projections import Board, Store
from tests.stores import check_views

from .boards import STATUSES, finish, ids, in_status, refusal, statuses, told

STEPS: dict[str, tuple[str, Callable[[Board], object]]] = {
    "assign": ("ready", lambda board: board.assign("task", "bob")),
    "block": ("ready", lambda board: board.block("task", "no brush")),
    "submit": ("working", lambda board: board.submit("task")),
    "release": ("working", lambda board: board.release("task")),
    "approve": ("review", lambda board: board.approve("task")),
    "request_changes": ("review", lambda board: board.request_changes("task", "too thin")),
    "revert": ("review", lambda board: board.revert("task", "wrong door")),
    "unblock": ("blocked", lambda board: board.unblock("task")),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", STATUSES)
def test_each_step_is_taken_from_one_status_only(store: Store, step: str, status: str) -> None:
    before = in_status(store.board, status)
    source, take = STEPS[step]
    if status == source:
        take(store.board)
        assert store.log.version("$board/task") == before.version + 1
    else:
        assert refusal(store, InvalidTransition, partial(take, store.board)).current == status


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (InvalidInput, lambda board: board.create("Paint", task_id="")),
        (InvalidInput, lambda board: board.create("Paint", task_id="a\0b")),
        (TooLarge, lambda board: board.create("Paint", task_id="a" * 1024)),
        (InvalidInput, lambda board: board.create("Paint", depends_on="task")),
        (InvalidInput, lambda board: board.create("Paint", tags="door")),
        (InvalidInput, lambda board: board.create("Paint", tags=[""])),
        (InvalidValue, lambda board: board.create("Paint", priority=2**63)),
        (InvalidInput, lambda board: board.update("task", title=" ")),
        (InvalidInput, lambda board: board.assign("task", "")),
        (InvalidInput, lambda board: board.assign("task", "ada", lease=0)),
        (InvalidInput, lambda board: board.claim_next("ada", lease=float("nan"))),
        (InvalidInput, lambda board: board.claim_next("")),
        (InvalidInput, lambda board: board.claim_next("ada", tags="door")),
        (InvalidInput, lambda board: board.block("task", " ")),
        (InvalidInput, lambda board: board.delete("task", cascade="everything")),
        (InvalidInput, lambda board: board.move("task", "open")),
        (InvalidInput, lambda board: board.move("task", "working")),
        (InvalidInput, lambda board: board.list(limit=-1)),
        (InvalidInput, lambda board: board.list(after=-1)),
        (NotFound, lambda board: board.assign("nobody", "ada")),
        (NotFound, lambda board: board.delete("nobody")),
        (NotFound, lambda board: board.purge("nobody")),
        (NotFound, lambda board: board.move("nobody", "done")),
    ],
)
def test_what_means_nothing_is_refused(
    store: Store, kind: type[EventStoreError], command: Callable[[Board], object]
) -> None:
    in_status(store.board, "ready")
    refusal(store, kind, partial(command, store.board))


@pytest.mark.parametrize("task_id", ["a/b:c", "..", "É", "$purges", "x" * 900])
def test_a_task_may_have_any_id(store: Store, task_id: str) -> None:
    store.board.create("Paint", task_id=task_id)
    store.board.create("Varnish", task_id="after", depends_on=[task_id])
    finish(store.board, task_id)
    assert statuses(store.board) == {task_id: "done", "after": "ready"}
    assert store.list_runs() == []
    check_views(store)


def test_what_is_missing_is_none_or_empty(store: Store) -> None:
    assert store.board.get("nobody") is None
    assert store.board.dependencies("nobody") == store.board.dependents("nobody") == store.board.list() == []


def test_who_acted_is_noted_with_every_event_of_a_commit(store: Store) -> None:
    store.board.create("Sand", task_id="sand")
    store.board.create("Paint", task_id="paint", depends_on=["sand"])
    finish(store.acting(actor="ada").board.acting(correlation="42"), "sand")
    notes = [event.meta for event in store.log.read_all(after=3)]
    assert notes == [{"actor": "ada", "correlation": "42"}] * 4


def test_who_purged_a_task_is_noted_with_the_record_of_it(store: Store) -> None:
    in_status(store.board, "done")
    store.acting(actor="ada").board.purge("task")
    (record,) = store.log.read("$purges")
    assert record.meta == {"actor": "ada"}


def test_changes_go_back_to_the_same_agent_under_a_new_claim(store: Store) -> None:
    in_status(store.board, "review")
    again = store.board.request_changes("task", "too thin", lease=60)
    assert (again.assignee, again.claim, again.reason) == ("ada", 2, "too thin")
    assert again.lease_until is not None
    refusal(store, Conflict, lambda: store.board.submit("task", claim=1))
    assert store.board.submit("task", claim=2).lease_until is None


def test_a_block_by_hand_waits_for_the_dependencies_and_is_then_lifted_by_hand(store: Store) -> None:
    store.board.create("Sand", task_id="sand")
    in_status(store.board, "blocked")
    assert store.board.update("task", depends_on=["sand"]).manual == 1
    assert "'sand'" in str(refusal(store, Conflict, lambda: store.board.unblock("task")))
    finish(store.board, "sand")
    assert statuses(store.board)["task"] == "blocked"
    assert store.board.update("task", depends_on=[]).status == "blocked"
    assert store.board.unblock("task").reason is None


def test_a_block_by_dependencies_is_not_lifted_by_hand(store: Store) -> None:
    for number in range(7):
        store.board.create("First", task_id=str(number))
    store.board.create("Paint", task_id="paint", depends_on=list("6543210"))
    error = refusal(store, Conflict, lambda: store.board.unblock("paint"))
    assert str(error).endswith("'0', '1', '2', '3', '4' and 2 more")


def test_a_deleted_task_that_needs_another_holds_nothing_up(store: Store) -> None:
    store.board.create("Sand", task_id="sand")
    store.board.create("Paint", task_id="paint", depends_on=["sand"])
    store.board.delete("paint")
    assert store.board.dependents("sand") == []
    assert store.board.delete("sand").deleted_at is not None
    refusal(store, Conflict, lambda: store.board.create("Paint", task_id="paint"))


def test_a_purged_task_can_be_made_anew_unless_somebody_still_needs_it(store: Store) -> None:
    in_status(store.board, "done")
    store.board.create("Paint", task_id="paint", depends_on=["task"])
    assert refusal(store, HasDependents, lambda: store.board.purge("task")).dependents == ("paint",)
    store.board.delete("paint")
    store.board.purge("paint")
    store.board.purge("task")
    assert ids(store.board.list(include_deleted=True)) == []
    assert store.board.create("Another", task_id="task").version == 1
    check_views(store)


def test_dependencies_are_replaced_and_what_is_unknown_among_them_refused(store: Store) -> None:
    for task_id in ("a", "b"):
        store.board.create("First", task_id=task_id)
    store.board.create("Paint", task_id="paint", depends_on=["a"])
    refusal(store, NotFound, lambda: store.board.update("paint", depends_on=["a", "nobody"]))
    before = store.log.head()
    assert store.board.update("paint", depends_on=["b", "a"], title="Varnish").status == "blocked"
    assert told(store, before) == [("taskUpdated", "paint"), ("taskDependedOn", "b")]
    assert ids(store.board.dependencies("paint")) == ["a", "b"]


def test_a_stream_with_other_things_in_it_is_refused_and_not_tried_for_ever(store: Store) -> None:
    in_status(store.board, "ready")
    store.log.append([Append("$board/task", [NewEvent(type="custom.noted", data=b"{}")])])
    for command in (lambda: store.board.claim_next("ada"), lambda: store.board.update("task", title="New")):
        refusal(store, WrongExpectedVersion, command)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_stream_with_other_things_in_it_is_not_purged(store: Store, deleted: bool) -> None:
    in_status(store.board, "ready" if deleted else "done")
    if deleted:
        store.board.delete("task")
    store.log.append([Append("$board/task", [NewEvent(type="custom.noted", data=b"{}")])])
    refusal(store, WrongExpectedVersion, lambda: store.board.purge("task"))
