"""Runs that were created by others: whoever ends or deletes a run with all below it misses none of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

import pytest

from eventstore.errors import Conflict, Fenced, InvalidTransition, NotFound
from eventstore.events import RunCreated
from eventstore.log import Append, Appended, NewEvent
from projections import Run, Store
from tests.commands.test_concurrency import PATIENCE, at_once
from tests.stores import check_views, open_again, run_of

END: dict[str, Callable[[Store, str], object]] = {
    "completed": lambda store, run_id: store.complete_run(run_id),
    "failed": lambda store, run_id: store.fail_run(run_id, "no"),
    "cancelled": lambda store, run_id: store.cancel_run(run_id, cascade=False),
    "deleted": lambda store, run_id: store.delete_run(run_id, force=True),
}


def family(store: Store) -> None:
    """A run at work with two children, of which one has a child of its own; each has a task."""
    run_of(store, "a", run_id="top")
    for run_id, parent in {"left": "top", "right": "top", "below": "left"}.items():
        store.create_run("part", run_id=run_id, parent_run_id=parent)
        store.start_run(run_id)
        store.schedule_task(run_id, "a")


def statuses(store: Store) -> dict[str, str]:
    return {run.id: run.status for run in store.list_runs(include_deleted=True)}


def test_a_child_is_noted_in_its_parents_stream_in_the_commit_that_creates_it(store: Store) -> None:
    run_of(store, run_id="top")
    child = store.create_run("part", run_id="left", parent_run_id="top")
    (created,) = store.log.read("left")
    noted = next(store.log.read("top", backward=True))
    assert (noted.type, noted.commit) == ("childRunCreated", created.commit)
    assert child.parent_run_id == "top"
    assert store.list_children("top") == [child]


def test_a_child_that_is_there_is_not_created_again_whatever_became_of_its_parent(store: Store) -> None:
    run_of(store, run_id="top")
    create = partial(store.create_run, "part", run_id="left", parent_run_id="top")
    first = create()
    head = store.log.head()
    assert create() == first
    assert store.log.head() == head
    store.cancel_run("top", cascade=False)
    assert create() == first
    store.delete_run("top")
    assert create() == first


@pytest.mark.parametrize("end", ["completed", "failed"])
def test_a_run_that_has_ended_by_itself_can_still_have_children(store: Store, end: str) -> None:
    END[end](store, run_of(store, run_id="top"))
    assert store.create_run("part", parent_run_id="top").status == "pending"


def test_a_parent_that_is_not_there_can_have_no_children(store: Store) -> None:
    with pytest.raises(NotFound, match="no run 'top'"):
        store.create_run("part", run_id="left", parent_run_id="top")
    with pytest.raises(NotFound, match="no run 'left'"):
        store.create_run("part", run_id="left", parent_run_id="left")
    assert store.log.head() == 0


@pytest.mark.parametrize(("end", "error"), [("cancelled", Conflict), ("deleted", NotFound)])
def test_a_parent_that_was_cancelled_or_deleted_gets_no_more_children(
    store: Store, end: str, error: type[Exception]
) -> None:
    END[end](store, run_of(store, run_id="top"))
    head = store.log.head()
    with pytest.raises(error, match="top"):
        store.create_run("part", run_id="left", parent_run_id="top")
    assert store.log.head() == head
    assert store.get_run("left") is None


def test_to_cancel_a_run_ends_all_below_it_in_one_commit(store: Store) -> None:
    family(store)
    head = store.log.head()
    assert store.cancel_run("top", "enough").status == "cancelled"
    assert set(statuses(store).values()) == {"cancelled"}
    events = list(store.log.read_all(after=head))
    assert [event.type for event in events] == ["taskRunCancelled", "runCancelled"] * 4
    assert len({event.commit for event in events}) == 1
    assert {task.status for run_id in statuses(store) for task in store.list_task_runs(run_id)} == {"cancelled"}
    assert store.cancel_run("top") == store.get_run("top")
    assert store.log.head() == head + len(events)
    check_views(store)


def test_a_part_of_a_family_is_cancelled_without_the_rest(store: Store) -> None:
    family(store)
    store.cancel_run("left")
    assert statuses(store) == {"top": "running", "left": "cancelled", "right": "running", "below": "cancelled"}


def test_a_run_is_cancelled_alone_if_that_is_wanted_and_the_rest_later(store: Store) -> None:
    family(store)
    store.cancel_run("top", cascade=False)
    assert statuses(store) == {"top": "cancelled", "left": "running", "right": "running", "below": "running"}
    store.cancel_run("top")
    assert set(statuses(store).values()) == {"cancelled"}


@pytest.mark.parametrize("end", END)
def test_what_has_ended_stays_as_it_is_when_all_is_cancelled_and_what_is_below_it_ends(store: Store, end: str) -> None:
    family(store)
    END[end](store, "left")
    before = store.get_run("left", include_deleted=True)
    store.cancel_run("top")
    assert store.get_run("left", include_deleted=True) == before
    assert statuses(store)["below"] == "cancelled"


def test_a_run_that_has_ended_is_not_cancelled_and_nor_is_what_is_below_it(store: Store) -> None:
    family(store)
    store.complete_run("top")
    head = store.log.head()
    with pytest.raises(InvalidTransition):
        store.cancel_run("top")
    assert store.log.head() == head


def test_to_delete_a_run_leaves_its_children_unless_told_otherwise(store: Store) -> None:
    family(store)
    store.delete_run("top", force=True)
    assert [run.id for run in store.list_runs()] == ["left", "right", "below"]
    parent = store.get_run("top", include_deleted=True)
    assert parent is not None
    assert parent.deleted_at is not None


def test_to_delete_a_run_hides_all_below_it_in_one_commit_if_told_so(store: Store) -> None:
    family(store)
    store.cancel_run("top")
    store.delete_run("right")
    head = store.log.head()
    deleted = store.delete_run("top", "spring cleaning", cascade=True)
    assert store.list_runs() == []
    events = list(store.log.read_all(after=head))
    assert [(event.stream, event.type) for event in events] == [
        ("top", "runDeleted"),
        ("left", "runDeleted"),
        ("below", "runDeleted"),
    ]
    assert len({event.commit for event in events}) == 1
    assert store.delete_run("top", cascade=True) == deleted
    assert store.log.head() == head + len(events)
    check_views(store)


def test_the_children_of_a_run_that_is_deleted_already_can_be_deleted_after_it(store: Store) -> None:
    family(store)
    store.delete_run("top", force=True)
    store.delete_run("top", force=True, cascade=True)
    assert store.list_runs() == []


def test_one_run_that_has_not_ended_keeps_all_from_being_deleted_without_force(store: Store) -> None:
    family(store)
    for run_id in ("top", "left", "right"):
        store.complete_run(run_id)
    head = store.log.head()
    with pytest.raises(Conflict, match="run 'below' is running"):
        store.delete_run("top", cascade=True)
    assert store.log.head() == head
    store.delete_run("top", cascade=True, force=True)
    assert store.list_runs() == []
    assert statuses(store) == {"top": "completed", "left": "completed", "right": "completed", "below": "cancelled"}


def test_time_travel_sees_a_family_as_it_was_before_it_was_deleted(store: Store) -> None:
    family(store)
    version = store.log.version("below")
    before = store.get_run("below")
    store.delete_run("top", force=True, cascade=True)
    assert store.as_of("below", version=version).row(Run, "below") == before


def test_an_update_to_cancelled_ends_all_below_too_and_notes_its_metadata_once(store: Store) -> None:
    family(store)
    with pytest.raises(Fenced):
        store.update_run("top", status="cancelled", metadata={"by": "me"}, epoch=7)
    run = store.update_run("top", status="cancelled", metadata={"by": "me"}, reason="enough", epoch=1)
    assert set(statuses(store).values()) == {"cancelled"}
    assert run.metadata == {"by": "me"}
    assert [run.metadata for run in store.list_children("top")] == [None, None]
    head = store.log.head()
    assert store.update_run("top", status="cancelled", metadata={"by": "me"}) == run
    assert store.log.head() == head


def before_next_append(store: Store, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have something happen elsewhere between the decision of the next command and its append."""
    append = store.log.append

    def after_another(commit: Sequence[Append], **more: Any) -> Appended:
        monkeypatch.setattr(store.log, "append", append)
        act()
        return append(commit, **more)

    monkeypatch.setattr(store.log, "append", after_another)


@pytest.mark.parametrize("parent", ["top", "left", "below"])
@pytest.mark.parametrize("act", ["cancel", "delete"])
def test_a_child_that_comes_at_the_last_moment_is_not_missed(
    lasting_store: Store, lasting: str, monkeypatch: pytest.MonkeyPatch, act: str, parent: str
) -> None:
    family(lasting_store)
    lasting_store.complete_run("left")
    with open_again(lasting) as other:
        late = partial(other.create_run, "part", run_id="late", parent_run_id=parent)
        before_next_append(lasting_store, monkeypatch, late)
        if act == "cancel":
            lasting_store.cancel_run("top")
        else:
            lasting_store.delete_run("top", force=True, cascade=True)
    assert statuses(lasting_store) == {
        "top": "cancelled",
        "left": "completed",
        "right": "cancelled",
        "below": "cancelled",
        "late": "cancelled",
    }


def test_a_child_comes_too_late_if_its_parent_is_cancelled_at_the_last_moment(
    lasting_store: Store, lasting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family(lasting_store)
    with open_again(lasting) as other:
        before_next_append(lasting_store, monkeypatch, partial(other.cancel_run, "top"))
        with pytest.raises(Conflict, match="no more children"):
            lasting_store.create_run("part", run_id="late", parent_run_id="top")
    assert lasting_store.get_run("late") is None


def test_work_that_ends_at_the_last_moment_stays_ended_when_all_is_cancelled(
    lasting_store: Store, lasting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family(lasting_store)
    with open_again(lasting) as other:
        before_next_append(lasting_store, monkeypatch, partial(other.complete_run, "below", "in time"))
        lasting_store.cancel_run("top")
    assert statuses(lasting_store) == {
        "top": "cancelled",
        "left": "cancelled",
        "right": "cancelled",
        "below": "completed",
    }


def test_many_that_create_children_while_all_is_cancelled_leave_none_at_work(store: Store) -> None:
    family(store)

    def create(parent: str) -> None:
        for _ in range(6):
            with suppress(Conflict):
                store.create_run("part", parent_run_id=parent)

    at_once(*(partial(create, parent) for parent in ("top", "left", "right")), lambda: store.cancel_run("top"))
    assert set(statuses(store).values()) == {"cancelled"}
    noted = [event for run_id in ("top", "left", "right") for event in store.log.read(run_id)]
    assert [event.type for event in noted].count("childRunCreated") == len(store.list_runs()) - 1


def test_a_family_hard_at_work_is_cancelled_all_the_same(store: Store) -> None:
    family(store)
    busy = threading.Barrier(4)

    def work(run_id: str) -> None:
        with suppress(Conflict):  # once it is cancelled
            for number in count():
                store.schedule_task(run_id, str(number))
                store.complete_task(run_id, str(number), number, implicit_start=True)
                if number == 3:
                    busy.wait(PATIENCE)

    def cancel() -> None:
        busy.wait(PATIENCE)
        store.cancel_run("top")

    at_once(*(partial(work, run_id) for run_id in ("left", "right", "below")), cancel)
    assert set(statuses(store).values()) == {"cancelled"}
    check_views(store)


@pytest.mark.parametrize("act", ["cancel", "delete"])
def test_a_family_that_never_stands_still_ends_run_by_run(
    store: Store, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """Another process gets in between whenever all of it is to end at once."""
    family(store)
    append = store.log.append

    def append_after_another(commit: Sequence[Append], **more: Any) -> Appended:
        if len(commit) > 1 and statuses(store)["below"] == "running":
            append([Append("below", [NewEvent(type="custom.progress", data=b"{}")])])
        return append(commit, **more)

    monkeypatch.setattr(store.log, "append", append_after_another)
    store.cancel_run("top") if act == "cancel" else store.delete_run("top", force=True, cascade=True)
    assert set(statuses(store).values()) == {"cancelled"}
    assert [run.deleted_at is not None for run in store.list_runs(include_deleted=True)] == [act == "delete"] * 4
    check_views(store)


def test_a_family_that_names_itself_in_a_circle_is_cancelled_once(store: Store) -> None:
    for run_id, parent in {"one": "two", "two": "one"}.items():  # as another program may write it
        created = store.codec.encode(RunCreated("part", parent_run_id=parent))
        store.log.append([Append(run_id, [created])])
    store.cancel_run("one")
    assert statuses(store) == {"one": "cancelled", "two": "cancelled"}
    assert store.log.head() == 4
