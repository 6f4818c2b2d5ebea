"""Runs whose workers are gone are found and claimed, each by one rescuer, whatever has become of the others."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from eventstore.blobs import digest_of
from eventstore.errors import InvalidInput
from eventstore.values import encode_value
from projections import Store
from projections.addresses import parse_address
from projections.queries import RECOVERABLE
from projections.rows import Run
from projections.tables import query
from tests.crash.children import Children
from tests.requirements.damage import damage_blob, remove_blob
from tests.sql_stores import change
from tests.stores import NOON, Clock, check_views, completed, open_again, run_of

PATIENCE = 60.0
LONG = 3600.0
LARGE = "large " * 20_000


def left_behind(store: Store, clock: Clock, *run_ids: str, lease: float | None = 60) -> None:
    """Runs whose worker has stopped in the middle of a task, so long ago that their leases are over."""
    for run_id in run_ids:
        store.create_run("flow", run_id=run_id)
        store.start_run(run_id, worker="gone", lease=lease)
        for task_id in ("a", "b"):
            store.schedule_task(run_id, task_id)
        completed(store, run_id, "a", 1)
        store.start_task(run_id, "b")
    clock.time += timedelta(hours=1)


def recoverable(store: Store, **wanted: bool) -> list[str]:
    return [run.id for run in store.list_recoverable(**wanted)]


def test_runs_whose_leases_are_over_are_listed_oldest_first(store: Store, clock: Clock) -> None:
    left_behind(store, clock, "z", "y", "x")
    assert recoverable(store) == ["z", "y", "x"]
    first, *rest = store.list_recoverable()
    assert store.list_recoverable(after=first.position) == rest
    assert store.list_recoverable(limit=1) == [first]
    assert store.list_recoverable(limit=0) == []


NOT_RECOVERABLE: dict[str, Callable[[Store], object]] = {
    "renewed": lambda store: store.renew_lease("run", epoch=1, lease=LONG),
    "claimed": lambda store: store.resume("run", lease=LONG),
    "waiting for later": lambda store: store.wait_run("run", "timer", until=NOON + timedelta(days=1)),
    "failed": lambda store: store.fail_run("run", "broken"),
    "cancelled": lambda store: store.cancel_run("run"),
    "deleted": lambda store: store.delete_run("run", force=True),
    "purged": lambda store: store.log.purge("run"),
    "never started": lambda store: store.create_run("flow", run_id="other"),
}


@pytest.mark.parametrize("act", NOT_RECOVERABLE.values(), ids=NOT_RECOVERABLE.keys())
def test_other_runs_are_left_alone(store: Store, clock: Clock, act: Callable[[Store], object]) -> None:
    left_behind(store, clock, "run")
    act(store)
    expected = ["run"] if act is NOT_RECOVERABLE["never started"] else []
    assert recoverable(store, include_unleased=True) == expected


def test_a_run_that_waits_is_recoverable_once_what_it_waits_for_may_have_come(store: Store, clock: Clock) -> None:
    left_behind(store, clock, "gate", "timer")
    store.wait_run("gate", "approval")
    store.wait_run("timer", "timer", until=NOON + timedelta(days=1))
    assert recoverable(store) == ["gate"]
    clock.time += timedelta(days=1)
    assert recoverable(store) == ["gate", "timer"]
    claims = store.recover("rescuer", LONG, limit=2).claimed
    assert [(claim.run.status, claim.run.worker) for claim in claims] == [("running", "rescuer")] * 2


def test_runs_without_leases_are_recovered_only_if_that_is_asked_for(store: Store, clock: Clock) -> None:
    left_behind(store, clock, "run", lease=None)
    assert recoverable(store) == []
    assert store.recover("rescuer", LONG).claimed == ()
    assert recoverable(store, include_unleased=True) == ["run"]
    (claim,) = store.recover("rescuer", LONG, include_unleased=True).claimed
    assert claim.epoch == 2
    assert store.recover("late", LONG, include_unleased=True).claimed == ()


def test_to_recover_is_to_claim_the_oldest_with_a_lease(store: Store, clock: Clock) -> None:
    left_behind(store, clock, "first", "second", "third")
    (claim,) = store.recover("rescuer", LONG).claimed
    assert (claim.run.id, claim.run.worker, claim.epoch, claim.plan.ready) == ("first", "rescuer", 2, ("b",))
    assert [task.task_id for task in claim.plan.in_doubt] == ["b"]
    assert recoverable(store) == ["second", "third"]
    again = store.recover("rescuer", LONG, limit=5)
    assert [claim.run.id for claim in again.claimed] == ["second", "third"]
    assert store.recover("rescuer", LONG, limit=None).claimed == ()
    check_views(store)


def test_a_claim_made_by_recovery_can_be_recovered_in_its_turn(store: Store, clock: Clock) -> None:
    left_behind(store, clock, "run")
    store.recover("rescuer", 60)
    clock.time += timedelta(seconds=61)
    (claim,) = store.recover("rescuer of rescuers", 60).claimed
    assert claim.epoch == 3


def test_a_dry_run_claims_nothing(store: Store, clock: Clock) -> None:
    left_behind(store, clock, "first", "second")
    head = store.log.head()
    shown = store.recover("rescuer", LONG, limit=None, dry_run=True).claimed
    assert [(claim.run.id, claim.run.worker, claim.epoch) for claim in shown] == [
        ("first", "gone", 1),
        ("second", "gone", 1),
    ]
    assert store.log.head() == head


@pytest.mark.parametrize(("lease", "limit"), [(0.0, 1), (float("nan"), 1), (60.0, -1)])
def test_a_lease_or_limit_that_means_nothing_is_refused(store: Store, lease: float, limit: int) -> None:
    with pytest.raises(InvalidInput):
        store.recover("rescuer", lease, limit=limit)


def test_rescuers_at_once_never_get_the_same_run(store: Store, clock: Clock) -> None:
    run_ids = [f"run {number}" for number in range(6)]
    left_behind(store, clock, *run_ids)
    begin = threading.Barrier(4)
    got: list[str] = []

    def rescue(name: str) -> None:
        begin.wait(PATIENCE)
        while claimed := store.recover(name, LONG).claimed:
            got.extend(claim.run.id for claim in claimed)

    threads = [threading.Thread(target=rescue, args=(str(number),), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(got) == run_ids
    assert {run.epoch for run in store.list_runs()} == {2}


def rescue_all(test: Connection, address: str, name: str, time: datetime) -> list[str]:
    """Claim runs one by one until there are no more."""
    got: list[str] = []
    with open_again(address, Clock(time, step=timedelta(0))) as store:
        test.send("ready")
        test.recv()
        while claimed := store.recover(name, LONG).claimed:
            got.extend(claim.run.id for claim in claimed)
    return got


def test_rescuers_in_several_processes_never_get_the_same_run(
    lasting_store: Store, lasting: str, clock: Clock, children: Children
) -> None:
    run_ids = [f"run {number}" for number in range(6)]
    left_behind(lasting_store, clock, *run_ids)
    rescuers = [children.start(rescue_all, lasting, str(number), clock.time) for number in range(3)]
    for child in rescuers:
        assert child.receive() == "ready"
    for child in rescuers:
        child.send("go")
    assert sorted(run_id for child in rescuers for run_id in child.result()) == run_ids


@pytest.mark.parametrize("meanwhile", ["renewed", "failed", "claimed"])
def test_a_run_that_changes_after_it_was_listed_is_not_claimed(store: Store, clock: Clock, meanwhile: str) -> None:
    left_behind(store, clock, "run", "next")
    load = store.values.load

    def change_then_load(value: object) -> object:
        store.values.load = load  # type: ignore[method-assign]  # the run changes once
        NOT_RECOVERABLE[meanwhile](store)
        return None

    store.values.load = change_then_load  # type: ignore[method-assign]
    recovery = store.recover("rescuer", LONG, limit=None)
    assert ([claim.run.id for claim in recovery.claimed], recovery.broken) == (["next"], ())
    run = store.get_run("run")
    assert run is not None
    assert run.worker != "rescuer"


def damage_row(digest: str, address: str, folder: Path) -> None:
    """Something has changed the row of a run."""
    statement = "UPDATE workflow_runs SET metadata = '{' WHERE id = 'broken'"
    if parse_address(address).scheme == "jsonl":
        with closing(sqlite3.connect(folder / "_views.db")) as connection:
            connection.execute(statement)
            connection.commit()
    else:
        change(address, statement)


DAMAGE: dict[str, tuple[Callable[[str, str, Path], None], str]] = {
    "a large value is gone": (remove_blob, "blob-missing"),
    "a large value has changed": (damage_blob, "blob-corrupt"),
    "a row has changed": (damage_row, "views-damaged"),
}


@pytest.mark.parametrize(("damage", "code"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_run_is_reported_and_stops_no_other(
    lasting_store: Store,
    lasting: str,
    folder: Path,
    clock: Clock,
    damage: Callable[[str, str, Path], None],
    code: str,
) -> None:
    store = lasting_store
    run_of(store, "large", run_id="broken")
    store.resume("broken", worker="gone", lease=60)
    completed(store, "broken", "large", LARGE)
    left_behind(store, clock, "whole")
    damage(digest_of(encode_value(LARGE)), lasting, folder)
    head = store.log.version("broken")
    recovery = store.recover("rescuer", LONG, limit=2)
    assert [claim.run.id for claim in recovery.claimed] == ["whole"]
    (broken,) = recovery.broken
    assert (broken.run_id, broken.code) == ("broken", code)
    assert broken.reason
    assert broken.hint
    assert store.log.version("broken") == head


def test_what_nobody_needs_to_go_on_may_be_damaged(
    lasting_store: Store, lasting: str, folder: Path, clock: Clock
) -> None:
    store = lasting_store
    left_behind(store, clock, "run")
    store.schedule_task("run", "done", input=LARGE)
    completed(store, "run", "done", 1)
    remove_blob(digest_of(encode_value(LARGE)), lasting, folder)
    (claim,) = store.recover("rescuer", LONG).claimed
    assert [task.task_id for task in claim.plan.reusable] == ["a", "done"]


def test_runs_that_have_ended_are_not_looked_at(file_store: Store) -> None:
    statement = query(Run, RECOVERABLE, (0, "2026", 1, 9))
    with file_store.views.at_once() as session:
        (first, *_) = [step for *_, step in session.rows(f"EXPLAIN QUERY PLAN {statement.text}", statement.arguments)]
    assert "workflow_runs_by_status" in str(first)
