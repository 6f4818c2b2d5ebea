"""Runs that ended long ago are purged together: in batches, each by itself, and those that cannot be are told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from eventstore.errors import InvalidInput, Unavailable
from eventstore.log import PURGES
from eventstore.testing.opening import in_threads
from projections import Store
from projections.purge import PurgedRuns, Refused
from tests.stores import Clock, check_views, run_of

from .test_purge_run import DAY, LARGE, SIZE, ended

NOTHING = PurgedRuns((), 0, 0, 0, 0)


def at_noon(store: Store, clock: Clock) -> datetime:
    """Runs that ended in every way on the day before, and some that have not; the noon between them and a newer one."""
    for run_id in ("completed", "deleted"):
        ended(store, run_id)
    store.delete_run("deleted")
    run_of(store, run_id="failed")
    store.fail_run("failed", "no")
    store.create_run("other flow", run_id="cancelled")
    store.cancel_run("cancelled")
    run_of(store, run_id="running")
    store.create_run("flow", run_id="pending")
    noon = clock.time + DAY
    clock.time = noon + DAY
    ended(store, "new")
    return noon


def test_runs_that_ended_before_a_time_are_purged_and_all_others_stay(store: Store, clock: Clock) -> None:
    noon = at_noon(store, clock)
    purged = store.purge_runs(ended_before=noon)
    assert purged.runs == ("cancelled", "failed", "deleted", "completed")
    assert [run.id for run in store.list_runs(include_deleted=True)] == ["running", "pending", "new"]
    assert store.purge_runs(ended_before=noon) == NOTHING
    check_views(store)


def test_a_run_that_ended_at_the_very_time_stays(store: Store) -> None:
    ended(store)
    run = store.get_run("run")
    assert run is not None
    assert run.finished_at is not None
    assert store.purge_runs(ended_before=run.finished_at) == NOTHING
    assert store.purge_runs(ended_before=run.finished_at + timedelta(microseconds=1)).runs == ("run",)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"status": "failed"}, ["failed"]),
        ({"status": ["failed", "cancelled"]}, ["cancelled", "failed"]),
        ({"status": []}, []),
        ({"workflow": "flow"}, ["failed", "deleted", "completed"]),
        ({"workflow": "no flow"}, []),
        ({"deleted_only": True}, ["deleted"]),
        ({"limit": 3}, ["cancelled", "failed", "deleted"]),
        ({"limit": 0}, []),
        ({"limit": 3, "batch": 1}, ["cancelled", "failed", "deleted"]),
        ({"batch": 1}, ["cancelled", "failed", "deleted", "completed"]),
    ],
    ids=str,
)
def test_runs_are_chosen(store: Store, clock: Clock, choice: dict[str, Any], expected: list[str]) -> None:
    noon = at_noon(store, clock)
    told = store.purge_runs(ended_before=noon, dry_run=True, **choice)
    assert told == store.purge_runs(ended_before=noon, **choice)
    assert list(told.runs) == expected


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"status": "finished"}, "unknown status"),
        ({"status": ["failed", "running"]}, "runs that are running have not ended"),
        ({"ended_before": datetime(2026, 1, 1)}, "no time zone"),
        ({"limit": -1}, "limit"),
        ({"batch": 0}, "batches of 0"),
        ({"grace": -1}, "grace period"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(store: Store, clock: Clock, choice: dict[str, Any], reason: str) -> None:
    noon = at_noon(store, clock)
    head = store.log.head()
    with pytest.raises(InvalidInput, match=reason):
        store.purge_runs(**{"ended_before": noon, **choice})
    assert store.log.head() == head


def test_a_dry_run_removes_nothing_and_counts_the_same(store: Store, clock: Clock) -> None:
    """Also a blob that only runs need which would all be gone, and one that stays with a run that does."""
    for run_id in ("one", "two"):
        ended(store, run_id, LARGE)
    ended(store, "three", f"kept {LARGE}")
    noon = clock.time + DAY
    clock.time = noon + DAY
    ended(store, "four", f"kept {LARGE}")
    head, blobs = store.log.head(), list(store.values.blobs.digests())
    told = store.purge_runs(ended_before=noon, dry_run=True)
    assert (store.log.head(), list(store.values.blobs.digests())) == (head, blobs)
    assert told == store.purge_runs(ended_before=noon) == PurgedRuns(("three", "two", "one"), 18, 1, SIZE, 0)


def test_children_go_before_their_parents(store: Store, clock: Clock) -> None:
    ended(store, "parent")
    ended(store, "child", parent="parent")
    clock.time += DAY
    told = store.purge_runs(ended_before=clock.time, dry_run=True)
    assert told == store.purge_runs(ended_before=clock.time)
    assert told.runs == ("child", "parent")


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_parent_stays_as_long_as_a_child_does_and_is_told(store: Store, clock: Clock, dry_run: bool) -> None:
    ended(store, "before")
    ended(store, "parent")
    store.create_run("flow", run_id="child", parent_run_id="parent")
    clock.time += DAY
    purged = store.purge_runs(ended_before=clock.time, dry_run=dry_run)
    assert purged.runs == ("before",)
    assert purged.refused == (Refused("parent", "run 'parent' has children that are still there: 'child'"),)


def test_a_run_that_cannot_be_removed_stops_no_other(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run_id in ("one", "two", "three"):
        ended(store, run_id)
    clock.time += DAY
    purge = store.log.purge

    def refuse(stream: str, **how: Any) -> object:
        if stream == "two":
            raise Unavailable("disk full")
        return purge(stream, **how)

    monkeypatch.setattr(store.log, "purge", refuse)
    purged = store.purge_runs(ended_before=clock.time)
    assert purged == PurgedRuns(("three", "one"), 12, 0, 0, 0, (Refused("two", "disk full"),))
    monkeypatch.undo()
    assert store.purge_runs(ended_before=clock.time).runs == ("two",)


def test_a_run_that_has_gone_on_since_it_was_listed_stays(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it has ended again, and may be purged."""
    run_of(store)
    store.fail_run("run", "no")
    noon = clock.time + DAY
    clock.time = noon + DAY
    purge = store.log.purge

    def go_on_first(stream: str, **how: Any) -> object:
        monkeypatch.undo()
        store.resume("run")
        store.complete_run("run")
        return purge(stream, **how)

    monkeypatch.setattr(store.log, "purge", go_on_first)
    ((refused),) = store.purge_runs(ended_before=noon).refused
    assert "has gone on meanwhile" in refused.reason
    assert store.get_run("run") is not None


def test_every_record_says_who_and_why(store: Store, clock: Clock) -> None:
    for run_id in ("one", "two"):
        ended(store, run_id)
    clock.time += DAY
    store.acting(actor="cron").purge_runs(ended_before=clock.time, reason="older than a day")
    metas = [record.meta for record in store.log.read(PURGES)]
    assert metas == [{"actor": "cron", "reason": "older than a day"}] * 2


def test_several_may_purge_at_once_and_each_run_is_purged_once(store: Store, clock: Clock) -> None:
    for number in range(10):
        ended(store, f"run-{number}", LARGE)
    clock.time += DAY
    results = in_threads(lambda _: store.purge_runs(ended_before=clock.time), 4)
    assert sorted(run_id for result in results for run_id in result.runs) == [f"run-{number}" for number in range(10)]
    assert not any(result.refused for result in results)
    assert store.log.version(PURGES) == 10
    assert (store.list_runs(), list(store.values.blobs.digests())) == ([], [])
    check_views(store)


def test_a_run_made_anew_while_others_are_purged_keeps_what_it_needs(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run_id in ("one", "two"):
        ended(store, run_id, LARGE)
    clock.time += DAY
    purge = store.log.purge

    def make_anew_first(stream: str, **how: Any) -> object:
        if stream == "one":
            monkeypatch.undo()
            ended(store, "two", LARGE)
        return purge(stream, **how)

    monkeypatch.setattr(store.log, "purge", make_anew_first)
    assert store.purge_runs(ended_before=clock.time).runs == ("two", "one")
    assert store.get_result("two", "a") == LARGE
