"""Clocks that jump, and processes that get the ids of dead ones, decide at most who works: never what is true."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection

import pytest

from eventstore.errors import ClaimHeld, Fenced
from projections import Resumption, Store
from tests.crash.children import Children
from tests.stores import Clock, check_views, completed, open_again, run_of

LEASE = 60.0
HOUR = timedelta(hours=1)


def held(store: Store) -> int:
    """A run with the tasks a, b and c, of which its holder has done the first and begun the second."""
    run_of(store, "a", "b", "c")
    claim = store.resume("run", worker="holder", lease=LEASE)
    completed(store, "run", "a", "a")
    store.start_task("run", "b", epoch=claim.epoch)
    return claim.epoch


def claimed(store: Store) -> Resumption | None:
    """The run, if a rescuer can have it."""
    return next(iter(store.recover("rescuer", LEASE).claimed), None)


JUMPS = {"an hour back": -HOUR, "an hour ahead": HOUR, "nowhere": timedelta()}


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS.keys())
@pytest.mark.parametrize("jump_again", JUMPS.values(), ids=JUMPS.keys())
def test_whoever_claims_a_run_one_result_counts(
    store: Store, clock: Clock, jump: timedelta, jump_again: timedelta
) -> None:
    epoch = held(store)
    clock.time += jump
    claim = claimed(store)
    clock.time += jump_again
    if claim is None:
        store.complete_task("run", "b", "holder", attempt=1, epoch=epoch)
        assert jump <= timedelta()
    else:
        with pytest.raises(Fenced):
            store.complete_task("run", "b", "holder", attempt=1, epoch=epoch)
        with pytest.raises(Fenced):
            store.renew_lease("run", epoch=epoch, lease=LEASE)
        assert [task.task_id for task in claim.plan.in_doubt] == ["b"]
        completed(store, "run", "b", "rescuer")
    assert store.get_completed_node_outputs("run") == {"a": "a", "b": "holder" if claim is None else "rescuer"}
    events = [event.type for event in store.log.read("run")]
    assert events.count("taskRunCompleted") == 2
    assert [event.version for event in store.log.read("run")] == list(range(1, len(events) + 1))
    check_views(store)


def test_a_clock_that_is_set_back_makes_leases_last_longer_and_never_claims_twice(store: Store, clock: Clock) -> None:
    epoch = held(store)
    clock.time -= HOUR
    clock.time += timedelta(seconds=LEASE * 2)
    assert (store.list_recoverable(), claimed(store)) == ([], None)
    with pytest.raises(ClaimHeld):
        store.resume("run", worker="rescuer")
    store.renew_lease("run", epoch=epoch, lease=LEASE)
    clock.time += timedelta(seconds=LEASE + 1)
    claim = claimed(store)
    assert claim is not None
    assert (claim.epoch, claimed(store)) == (epoch + 1, None)


def test_a_clock_that_is_set_ahead_gives_a_live_run_away_and_the_holder_is_told(store: Store, clock: Clock) -> None:
    epoch = held(store)
    clock.time += HOUR
    assert claimed(store) is not None
    clock.time -= HOUR
    assert claimed(store) is None
    refused: list[Callable[[], object]] = [
        lambda: store.start_task("run", "c", epoch=epoch),
        lambda: store.complete_task("run", "b", "late", epoch=epoch),
        lambda: store.wait_task("run", "c", "a decision", epoch=epoch),
        lambda: store.complete_run("run", epoch=epoch),
    ]
    version = store.log.version("run")
    for late in refused:
        with pytest.raises(Fenced):
            late()
    assert store.log.version("run") == version


@pytest.mark.parametrize("jump", [-HOUR, HOUR], ids=["back", "ahead"])
def test_events_and_plans_keep_their_order_whatever_the_clock_says(store: Store, clock: Clock, jump: timedelta) -> None:
    run_of(store, "a")
    store.schedule_task("run", "b", depends_on=["a"])
    completed(store, "run", "a", 1)
    clock.time += jump
    completed(store, "run", "b", 2)
    clock.time += jump
    store.invalidate_task("run", "a")
    assert [task.task_id for task in store.resume_plan("run").stale] == ["b"]
    clock.time -= 2 * jump
    completed(store, "run", "a", 1)
    assert [task.task_id for task in store.resume_plan("run").reusable] == ["b", "a"]


@pytest.mark.parametrize("jump", [-HOUR, HOUR], ids=["back", "ahead"])
def test_a_timer_goes_by_the_clock_there_is_and_is_completed_once(store: Store, clock: Clock, jump: timedelta) -> None:
    run_of(store, "nap")
    store.wait_task("run", "nap", "tea", until=clock.time + HOUR / 2)
    clock.time += jump
    assert bool(store.resume_plan("run").due) == (jump > timedelta())
    clock.time += HOUR * 2
    assert [timer.task_id for timer in store.resume_plan("run").due] == ["nap"]
    store.complete_task("run", "nap")
    clock.time -= HOUR * 3
    plan = store.resume("run", force=True).plan
    assert ([task.task_id for task in plan.reusable], plan.due, plan.waiting) == (["nap"], (), ())


def hold(test: Connection, address: str, name: str, clock: Clock) -> int:
    """Claim the run, begin a task, and die."""
    with open_again(address, clock) as store:
        claim = store.recover(name, LEASE).claimed[0]
        store.start_task("run", "b", epoch=claim.epoch)
    test.send(claim.epoch)
    os._exit(9)


def test_a_process_that_has_the_name_and_the_id_of_a_dead_one_is_not_taken_for_it(
    lasting_store: Store, lasting: str, clock: Clock, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(lasting_store, "a", "b")
    lasting_store.resume("run", worker="first", lease=LEASE)
    clock.time += HOUR
    dead = children.start(hold, lasting, "host:4711", clock)
    epoch = dead.receive()
    assert dead.end() == 9
    monkeypatch.setattr(os, "getpid", lambda: dead.pid)
    with open_again(lasting, clock) as store:
        assert store.recover("host:4711", LEASE).claimed == ()
        with pytest.raises(ClaimHeld):
            store.resume("run", worker="host:4711", lease=LEASE)
        clock.time += HOUR
        (claim,) = store.recover("host:4711", LEASE).claimed
        assert (claim.epoch, [task.task_id for task in claim.plan.in_doubt]) == (epoch + 1, ["b"])
        with pytest.raises(Fenced):
            store.complete_task("run", "b", attempt=1, epoch=epoch)
        assert store.start_task("run", "b", worker="host:4711", epoch=claim.epoch).attempt == 2
    monkeypatch.undo()
