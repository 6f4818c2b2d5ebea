"""A run is kept as long as a fork needs it."""

from __future__ import annotations

from datetime import timedelta
from threading import Thread

import pytest

from eventstore.errors import Conflict, EventStoreError, NotFound
from projections import Store
from projections.decide_purge import NeededByForks
from tests.fork.origins import origin_of, rows_of
from tests.stores import Clock, check_views


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_run_with_forks_cannot_be_purged(store: Store, dry_run: bool) -> None:
    origin_of(store)
    store.fork_run("origin", fork_id="one")
    store.fork_run("origin", fork_id="two")
    store.delete_run("one", force=True)
    before = rows_of(store, "two")
    with pytest.raises(NeededByForks, match="'one', 'two'") as refused:
        store.purge_run("origin", force=True, cascade=True, dry_run=dry_run)
    assert refused.value.forks == ("one", "two")
    assert refused.value.hint == "Purge them first."
    assert rows_of(store, "two") == before
    assert store.verify().clean


def test_once_its_forks_are_gone_a_run_can_be_purged(store: Store) -> None:
    origin_of(store)
    store.fork_run("origin", fork_id="fork")
    store.fork_run("fork", fork_id="fork of it")
    with pytest.raises(Conflict):
        store.purge_named(["fork", "origin"], force=True, dry_run=True)
    for dry_run in (True, False):
        purged = store.purge_named(["fork of it", "fork", "origin"], force=True, grace=0, dry_run=dry_run)
        assert purged.runs == ("fork of it", "fork", "origin")
    assert store.list_runs(include_deleted=True) == []
    check_views(store)
    assert store.verify().clean


def test_large_values_stay_as_long_as_a_fork_has_them(store: Store, clock: Clock) -> None:
    origin_of(store)
    store.fork_run("origin", fork_id="fork")
    clock.time += timedelta(days=1)
    assert store.collect_blobs(grace=0).blobs == 0
    store.purge_run("fork", force=True, grace=0)
    assert store.get_result("origin", "b") == "long " * 20_000
    assert store.purge_run("origin", force=True, grace=0).blobs == 1


def test_a_purge_by_age_passes_over_what_forks_need(store: Store, clock: Clock) -> None:
    for run_id in ("needed", "alone", "with old fork"):
        origin_of(store, run_id)
        store.cancel_run(run_id)
    store.fork_run("with old fork", fork_id="old fork")
    store.cancel_run("old fork")
    store.fork_run("needed", fork_id="new fork")
    clock.time += timedelta(days=1)
    for dry_run in (True, False):
        purged = store.purge_runs(ended_before=clock.time, dry_run=dry_run)
        assert set(purged.runs) == {"old fork", "with old fork", "alone"}
        assert (purged.needed_by_forks, purged.refused) == (1, ())
    assert [run.id for run in store.list_runs()] == ["needed", "new fork"]


def test_whoever_purges_a_run_while_it_is_forked_misses_no_fork(store: Store) -> None:
    """Either the fork was there first, and the run is kept; or the purge was, and there is nothing to fork."""
    for number in range(8):
        origin = origin_of(store, f"origin {number}")
        done: list[object] = []

        def fork(origin: str = origin, done: list[object] = done) -> None:
            try:
                done.append(store.fork_run(origin, fork_id=f"fork of {origin}").id)
            except EventStoreError as error:
                done.append(type(error))

        def purge(origin: str = origin, done: list[object] = done) -> None:
            try:
                done.append(store.purge_run(origin, force=True).runs)
            except EventStoreError as error:
                done.append(type(error))

        threads = [Thread(target=fork), Thread(target=purge)]
        for thread in threads if number % 2 else reversed(threads):
            thread.start()
        for thread in threads:
            thread.join()
        assert set(done) in ({NotFound, (origin,)}, {f"fork of {origin}", NeededByForks})
    assert store.verify().clean


def test_threads_that_make_one_fork_get_the_same(store: Store) -> None:
    origin_of(store)
    made: list[object] = []
    threads = [Thread(target=lambda: made.append(store.fork_run("origin", fork_id="fork"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [store.get_run("fork")] * 4
    assert len(store.list_forks("origin")) == 1


def test_a_run_is_forked_while_its_worker_goes_on(store: Store) -> None:
    origin_of(store)
    task_ids = [f"task {number}" for number in range(20)]

    def work() -> None:
        for task_id in task_ids:
            store.schedule_task("origin", task_id)

    worker = Thread(target=work)
    worker.start()
    forks = [store.fork_run("origin") for _ in range(5)]
    worker.join()
    for fork in forks:
        inherited = [task.task_id for task in store.list_task_runs(fork.id)][4:]
        assert inherited == task_ids[: len(inherited)]
    assert [task.task_id for task in store.list_task_runs("origin")][4:] == task_ids
    assert store.verify().clean
