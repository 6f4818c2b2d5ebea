"""Runs and the versions of the workflow definitions that they are of."""

from __future__ import annotations

from typing import Any

import pytest

from eventstore.errors import Conflict, InvalidInput, InvalidValue, NotFound
from projections import Run, Store

Given = dict[str, Any]


def save(store: Store, steps: int) -> str:
    return store.save_workflow("etl", {"steps": steps}).hash


def pins(run: Run) -> tuple[int | None, str | None]:
    return run.workflow_version, run.workflow_hash


def test_a_run_is_pinned_to_the_newest_version_of_its_workflow(store: Store) -> None:
    save(store, 1)
    second = save(store, 2)
    run = store.create_run("etl", workflow_id="etl")
    assert pins(run) == (2, second)
    save(store, 3)
    again = store.get_run(run.id)
    assert again == run


def test_a_run_is_pinned_to_the_version_or_hash_that_it_asks_for(store: Store) -> None:
    first, second = save(store, 1), save(store, 2)
    asked: list[Given] = [
        {"workflow_version": 1},
        {"workflow_hash": first},
        {"workflow_version": 1, "workflow_hash": first},
    ]
    assert [pins(store.create_run("etl", workflow_id="etl", **given)) for given in asked] == [(1, first)] * 3
    with pytest.raises(Conflict, match="does not have the hash"):
        store.create_run("etl", workflow_id="etl", workflow_version=1, workflow_hash=second)


@pytest.mark.parametrize("given", [{"workflow_version": 7}, {"workflow_hash": "no such"}, {"workflow_version": 0}])
@pytest.mark.parametrize("required", [False, True])
def test_a_version_that_is_not_there_is_not_found(store: Store, given: Given, required: bool) -> None:
    save(store, 1)
    head = store.log.head()
    with pytest.raises(NotFound, match="etl") as caught:
        store.create_run("etl", workflow_id="etl", require_workflow=required, **given)
    assert "1" in caught.value.hint
    assert store.log.head() == head


@pytest.mark.parametrize("given", [{}, {"workflow_version": 7}, {"workflow_hash": "h"}])
def test_an_engine_without_stored_workflows_pins_whatever_it_says(store: Store, given: Given) -> None:
    run = store.create_run("etl", workflow_id="etl", **given)
    assert pins(run) == (given.get("workflow_version"), given.get("workflow_hash"))
    with pytest.raises(NotFound, match="no workflow 'etl'"):
        store.create_run("etl", workflow_id="etl", require_workflow=True, **given)
    with pytest.raises(InvalidInput, match="none is named"):
        store.create_run("etl", require_workflow=True)
    assert store.log.head() == 1


def test_a_deleted_workflow_is_as_good_as_none(store: Store) -> None:
    first = save(store, 1)
    before = store.create_run("etl", run_id="before", workflow_id="etl")
    store.delete_workflow("etl")
    assert pins(store.create_run("etl", workflow_id="etl")) == (None, None)
    with pytest.raises(NotFound, match="no workflow 'etl'") as caught:
        store.create_run("etl", workflow_id="etl", require_workflow=True)
    assert "deleted" in caught.value.hint
    assert store.create_run("etl", run_id="before", workflow_id="etl", require_workflow=True) == before
    assert pins(before) == (1, first)


def test_the_same_run_again_is_the_same_though_its_workflow_has_a_newer_version(store: Store) -> None:
    first = save(store, 1)
    run = store.create_run("etl", run_id="run", workflow_id="etl")
    second = save(store, 2)
    head = store.log.head()
    same: list[Given] = [{}, {"workflow_version": 1}, {"workflow_hash": first}]
    for given in same:
        assert store.create_run("etl", run_id="run", workflow_id="etl", **given) == run
    other: list[Given] = [{"workflow_version": 2}, {"workflow_hash": second}]
    for given in other:
        with pytest.raises(Conflict, match="other content"):
            store.create_run("etl", run_id="run", workflow_id="etl", **given)
    assert store.log.head() == head


@pytest.mark.parametrize("version", [-1, 2**63, "1"])
def test_a_version_that_no_event_can_hold_is_refused(store: Store, version: Any) -> None:
    save(store, 1)
    with pytest.raises(InvalidValue):
        store.create_run("etl", workflow_id="etl", workflow_version=version)
    assert store.log.head() == 1
