"""A run to fork, and what its forks are compared by."""

from __future__ import annotations

from projections import Run, Store
from projections.tables import Contents
from tests.stores import completed, tables_of

OWN = frozenset(
    (
        *(
            "status",
            "created_at",
            "updated_at",
            "started_at",
            "finished_at",
            "waiting_reason",
            "waiting_until",
            "output",
        ),
        *("failure", "parent_run_id", "worker", "epoch", "lease_until", "deleted_at", "position", "version"),
        *("claimed_version", "forked_from", "forked_version", "inherits"),
    )
)
"""The columns of a run's row that a fork has of its own."""


def origin_of(store: Store, run_id: str = "origin") -> str:
    """A run with a task that is done, one made from it that is done too, one that runs and one that waits for it."""
    store.create_run("flow", run_id=run_id, user_message="go", input={"n": 1}, metadata={"team": "data"})
    store.start_run(run_id, worker="first", lease=60)
    store.schedule_task(run_id, "a")
    store.schedule_task(run_id, "b", depends_on=["a"])
    store.schedule_task(run_id, "c")
    store.schedule_task(run_id, "d", depends_on=["c"])
    completed(store, run_id, "a", "of a")
    attempt = store.start_task(run_id, "b").attempt
    store.complete_task(run_id, "b", "long " * 20_000, attempt=attempt, usage={"tokens": 7})
    store.start_task(run_id, "c", worker="first")
    return run_id


def rows_of(store: Store, run_id: str) -> Contents:
    """All rows of the views that are the run's, each key without the run's id."""
    return {
        table: {key[1:]: row for key, row in rows.items() if key[0] == run_id}
        for table, rows in tables_of(store).items()
    }


def known(run: Run | None) -> Run:
    """The run, which must be there."""
    assert run is not None
    return run
