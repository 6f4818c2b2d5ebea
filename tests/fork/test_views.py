"""The rows of a fork are those of its origin at that point, but for what it has of its own, however they were made."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import EventStoreError
from eventstore.log import Append, NewEvent
from projections import Store, open_store
from projections.rows import Run
from projections.tables import Contents
from tests.fork.origins import OWN, origin_of, rows_of
from tests.stores import BACKENDS, Clock, address_of, check_views, completed, examples, open_again, tables_of
from tests.views.histories import Step, commands


def as_inherited(rows: Contents, version: int, interrupted: set[str]) -> Contents:
    """The rows of a run at a version as a fork has them: its versions end at 0, and of its own row some are missing.

    Tasks that were running, and their attempts, are the fork's own business.
    """
    seen: Contents = {}
    for table, found in rows.items():
        seen[table] = {}
        for key, row in found.items():
            if table == Run.TABLE:
                seen[table][key] = {name: value for name, value in row.items() if name not in OWN}
            elif table in ("task_runs", "attempts") and key[0] in interrupted:
                continue
            else:
                row = {name: value for name, value in row.items() if name != "inherited"}
                if "version" in row:
                    row["version"] = int(row["version"] or 0) - version
                if row.get("reused_version") is not None:
                    row["reused_version"] = None
                seen[table][key] = row
    return seen


def check_same_past(store: Store, origin: str, version: int, fork: str) -> None:
    """Compare the fork's rows with the fold of the origin at the point."""
    fold = store.as_of(origin, version=version)
    then: Contents = {
        table: {key[1:]: row for key, row in rows.items() if key[0] == origin} for table, rows in fold.tables.items()
    }
    running = {str(key[0]) for key, row in then["task_runs"].items() if row["status"] == "running"}
    assert as_inherited(rows_of(store, fork), 0, running) == as_inherited(then, version, running)


def take_all(store: Store, history: list[Step]) -> None:
    for step in history:
        step.take(store)


@pytest.mark.parametrize("kind", ["memory", "jsonl", "sqlite", BACKENDS[-1]])
@examples(0.05)
@given(history=commands(), share=st.floats(0, 1))
def test_a_fork_is_what_its_origin_was(
    tmp_path_factory: pytest.TempPathFactory, kind: str, history: list[Step], share: float
) -> None:
    folder = tmp_path_factory.mktemp("forked") / "store"
    with open_store(address_of(kind, folder), durability="none", threshold=100, clock=Clock()) as store:
        take_all(store, history)
        for run in store.list_runs():
            version = max(1, round(share * store.log.version(run.id)))
            try:
                fork = store.fork_run(run.id, version=version)
            except EventStoreError:
                continue
            check_same_past(store, run.id, version, fork.id)
        check_views(store)
        made = tables_of(store)
        store.rebuild()
        assert tables_of(store) == made
        assert store.verify().clean


def test_many_events_are_inherited(store: Store) -> None:
    """More than are taken at once."""
    origin_of(store)
    many = [NewEvent(type="billing.charged", data=b"{}") for _ in range(2_100)]
    store.log.append([Append("origin", many)])
    completed(store, "origin", "d", "of d")
    fork = store.fork_run("origin")
    check_same_past(store, "origin", store.log.version("origin") - 1, fork.id)
    assert [output.version for output in store.list_outputs(fork.id)] == [-2105, -2103, 0]
    check_views(store)


def test_a_fork_that_others_have_made_shows(lasting_store: Store, lasting: str) -> None:
    origin_of(lasting_store)
    with open_again(lasting) as other:
        other.fork_run("origin", fork_id="fork")
        completed(lasting_store, "origin", "d")
        other.start_run("fork")
        completed(other, "fork", "c", "of c")
    assert list(lasting_store.get_completed_node_outputs("fork")) == ["a", "b", "c"]
    check_views(lasting_store)


def test_a_purged_fork_leaves_no_rows(store: Store) -> None:
    origin_of(store)
    before = rows_of(store, "origin")
    store.fork_run("origin", fork_id="fork")
    store.purge_run("fork", force=True)
    assert not any(rows_of(store, "fork").values())
    assert rows_of(store, "origin") == before
    check_views(store)


def test_a_fork_that_was_purged_is_made_again_under_its_name(store: Store) -> None:
    origin_of(store)
    store.fork_run("origin", version=8, fork_id="fork")
    store.purge_run("fork", force=True)
    store.fork_run("origin", version=10, fork_id="fork")
    assert list(store.get_completed_node_outputs("fork")) == ["a", "b"]
    check_views(store)
    made = tables_of(store)
    store.rebuild()
    assert tables_of(store) == made
    assert store.verify().clean


def test_runs_are_shown_as_of_before_their_forks(store: Store, clock: Clock) -> None:
    origin_of(store)
    then, position = clock.time, store.log.head()
    clock.time += timedelta(minutes=1)
    store.fork_run("origin", fork_id="fork")
    assert [run.id for run in store.list_runs_as_of(time=then)] == ["origin"]
    assert [run.id for run in store.list_runs_as_of(position=position)] == ["origin"]
    assert store.list_runs_as_of() == store.list_runs()
    assert store.list_runs_as_of(time=clock.time) == store.list_runs()
