"""A run with all below it, in one look."""

from __future__ import annotations

from eventstore.events import RunCreated
from projections import Store
from tests.views.histories import RawAppend


def shape(store: Store, run_id: str, *, include_deleted: bool = False) -> list[tuple[int, str]]:
    return [(branch.depth, branch.run.id) for branch in store.tree(run_id, include_deleted=include_deleted)]


def family(store: Store, **parents: str | None) -> None:
    for run_id, parent in parents.items():
        store.create_run("flow", run_id=run_id, parent_run_id=parent)


def test_every_run_comes_before_those_below_it(store: Store) -> None:
    family(store, top=None, b="top", a="top", b1="b", a1="a", b2="b", stranger=None)
    assert shape(store, "top") == [(0, "top"), (1, "b"), (2, "b1"), (2, "b2"), (1, "a"), (2, "a1")]
    assert shape(store, "b") == [(0, "b"), (1, "b1"), (1, "b2")]
    assert shape(store, "stranger") == [(0, "stranger")]
    assert shape(store, "nobody") == []


def test_it_shows_how_far_each_run_has_come(store: Store) -> None:
    family(store, top=None, below="top")
    store.start_run("below")
    assert [branch.run for branch in store.tree("top")] == [store.get_run("top"), store.get_run("below")]
    assert [branch.run.status for branch in store.tree("top")] == ["pending", "running"]


def test_those_below_a_deleted_run_are_still_shown(store: Store) -> None:
    family(store, top=None, middle="top", low="middle")
    store.delete_run("middle", force=True)
    assert shape(store, "top") == [(0, "top"), (2, "low")]
    assert shape(store, "top", include_deleted=True) == [(0, "top"), (1, "middle"), (2, "low")]


def test_chains_may_be_long(store: Store) -> None:
    RawAppend("r0", (RunCreated("flow"),)).take(store)
    for number in range(1, 300):
        RawAppend(f"r{number}", (RunCreated("flow", parent_run_id=f"r{number - 1}"),)).take(store)
    assert shape(store, "r0")[-1] == (299, "r299")


def test_runs_that_programs_have_put_below_their_own_children_are_shown_once(store: Store) -> None:
    RawAppend("a", (RunCreated("flow", parent_run_id="b"),)).take(store)
    RawAppend("b", (RunCreated("flow", parent_run_id="a"),)).take(store)
    RawAppend("self", (RunCreated("flow", parent_run_id="self"),)).take(store)
    assert shape(store, "a") == [(0, "a"), (1, "b")]
    assert shape(store, "self") == [(0, "self")]
