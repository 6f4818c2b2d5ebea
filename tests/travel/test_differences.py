"""What differs between two runs, or between two moments of one, is told column by column."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import NotFound
from eventstore.events import RunCreated
from eventstore.log import Append
from eventstore.payload import Value
from projections import Difference, Point, Store, open_store
from projections.differences import differences
from projections.fold import Fold
from projections.inheritance import OriginMissing
from tests.stores import Clock, completed, examples, run_of
from tests.views.histories import RUN_IDS, RawAppend, Step, commands, raw_history


def told(found: list[Difference]) -> list[tuple[Any, ...]]:
    return [(each.table, each.key, each.column, each.left, each.right) for each in found]


def places(found: list[Difference]) -> list[tuple[Any, ...]]:
    return [(each.table, each.key, each.column) for each in found]


def run_with(store: Store, run_id: str, output: object, **created: Any) -> None:
    store.create_run("flow", run_id=run_id, **created)
    store.start_run(run_id)
    store.schedule_task(run_id, "a")
    completed(store, run_id, "a", output)


def test_runs_that_went_the_same_way_do_not_differ(store: Store) -> None:
    run_with(store, "run", {"b": 1, "a": 2}, metadata={"x": {"y": 1, "z": 2}})
    run_with(store, "other", {"b": 1, "a": 2}, metadata={"x": {"z": 2, "y": 1}})
    assert store.diff("run", "other") == []


def test_ids_never_count_and_places_and_times_do_if_asked_for(store: Store) -> None:
    run_with(store, "run", 1)
    run_with(store, "other", 1)
    exact = store.diff("run", "other", exact=True)
    assert {each.column for each in exact} == {
        *("created_at", "updated_at", "started_at", "scheduled_at", "finished_at", "completed_at"),
        "position",
    }


def test_another_output_of_a_task_is_told(store: Store) -> None:
    run_with(store, "run", 1)
    run_with(store, "other", 1.0)
    attempt, output, digest = store.diff("run", "other")
    assert (attempt.table, attempt.key, attempt.column) == ("attempts", ("a", 1), "digest")
    assert (output.table, output.key, output.column) == ("node_outputs", ("a",), "output")
    assert digest.column == "digest"
    assert isinstance(output.left, Value)
    assert [store.load(output.left), store.load(output.right)] == [1, 1.0]
    assert output.left.digest == digest.left


@pytest.mark.parametrize("values", [(1, 1.0), (1, True), (0, False), (None, 0), ([1, 2], [2, 1]), ("1", 1)])
def test_metadata_are_compared_as_json(store: Store, values: tuple[object, object]) -> None:
    for run_id, value in zip(("run", "other"), values, strict=True):
        store.create_run("flow", run_id=run_id, metadata={"key": value})
    (found,) = store.diff("run", "other")
    left, right = values
    assert found == Difference("workflow_runs", (), "metadata", {"key": left}, {"key": right})


def test_large_outputs_are_compared_by_their_digests(clock: Clock) -> None:
    with open_store("memory:", threshold=10, clock=clock) as small:
        run_with(small, "run", "x" * 100)
        run_with(small, "same", "x" * 100)
        run_with(small, "longer", "x" * 101)
        assert small.diff("run", "same") == []
        assert [each.column for each in small.diff("run", "longer")] == ["digest", "output", "digest"]


def test_what_happened_between_two_versions_is_told(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a", worker="w")
    store.fail_task("run", "a", "no")
    assert told(store.diff(Point("run", version=4), Point("run", version=5))) == [
        ("task_runs", ("a",), "status", "running", "failed"),
        ("task_runs", ("a",), "finished_at", None, store.list_task_runs("run")[0].finished_at),
        ("attempts", ("a", 1), "status", "running", "failed"),
        ("attempts", ("a", 1), "finished_at", None, store.list_attempts("run")[0].finished_at),
        ("attempts", ("a", 1), "failure", None, store.list_attempts("run")[0].failure),
    ]


def test_a_row_that_one_side_lacks_shows_with_its_values(store: Store) -> None:
    run_of(store)
    run_of(store, "a", run_id="other")
    scheduled = store.list_task_runs("other")[0].scheduled_at
    assert told(store.diff("run", "other")) == [
        ("task_runs", ("a",), "status", None, "pending"),
        ("task_runs", ("a",), "attempt", None, 0),
        ("task_runs", ("a",), "scheduled_at", None, scheduled),
        ("task_runs", ("a",), "always_run", None, 0),
    ]
    assert told(store.diff("other", Point("other", version=2))) == [
        ("task_runs", ("a",), "status", "pending", None),
        ("task_runs", ("a",), "attempt", 0, None),
        ("task_runs", ("a",), "scheduled_at", scheduled, None),
        ("task_runs", ("a",), "always_run", 0, None),
    ]


def test_before_it_was_created_a_run_has_no_rows(store: Store) -> None:
    run_of(store, "a")
    before = store.diff(Point("run", position=0), "run")
    assert before == store.diff(Point("run", version=0), "run")
    assert ("workflow_runs", (), "status") in places(before)
    assert all(each.left is None for each in before)


def test_that_a_run_was_deleted_is_a_difference(store: Store) -> None:
    run_of(store)
    store.cancel_run("run")
    version = store.log.version("run")
    store.delete_run("run")
    assert places(store.diff(Point("run", version=version), "run")) == [("workflow_runs", (), "deleted_at")]


def test_an_unknown_run_cannot_be_compared(store: Store) -> None:
    run_of(store)
    for sides in (("run", "nope"), ("nope", "run")):
        with pytest.raises(NotFound, match="nope"):
            store.diff(*sides)


def check_laws(folds: list[Fold]) -> None:
    """Of any two folds: nothing differs from itself; sides turned round differ the other way round; differences are in
    order; exact ones are all the others and more.
    """
    for left in folds:
        assert differences(left, left, exact=True) == []
        for right in folds:
            found, exact = differences(left, right), differences(left, right, exact=True)
            turned = [msgspec.structs.replace(each, left=each.right, right=each.left) for each in found]
            assert differences(right, left) == turned
            assert set(places(found)) <= set(places(exact))
            assert len(set(places(exact))) == len(exact)
            tables = [each.table for each in exact]
            assert tables == sorted(tables, key=("workflow_runs", "task_runs", "attempts", "node_outputs").index)


@examples(0.15)
@given(commands(), st.integers(1, 60))
def test_comparing_is_symmetric_whatever_was_done(history: list[Step], version: int) -> None:
    with open_store("memory:", clock=Clock()) as store:
        for step in history:
            step.take(store)
        check_laws([fold for run in RUN_IDS for fold in (store.as_of(run), store.as_of(run, version=version))])


@examples(0.15)
@given(raw_history())
def test_comparing_is_symmetric_whatever_was_appended(history: list[Any]) -> None:
    with open_store("memory:", clock=Clock()) as store:
        for step in history:
            step.take(store)
        folds = []
        for run in RUN_IDS:
            with contextlib.suppress(OriginMissing):  # as raw events may say of a run
                folds.append(store.as_of(run))
        check_laws(folds)


Change = Callable[[Store], object]


@pytest.mark.parametrize(
    ("created", "column"),
    [
        (RunCreated("other flow"), "workflow_name"),
        (RunCreated("flow", "hello"), "user_message"),
        (RunCreated("flow", workflow_version=2), "workflow_version"),
        (RunCreated("flow", parent_run_id="someone"), "parent_run_id"),
    ],
)
def test_how_runs_were_created_is_compared(store: Store, created: RunCreated, column: str) -> None:
    store.create_run("flow", run_id="run")
    RawAppend("other", (created,)).take(store)
    assert places(store.diff("run", "other")) == [("workflow_runs", (), column)]
    store.log.append([Append("third", [store.codec.encode(created)])])
    assert store.diff("other", "third") == []
