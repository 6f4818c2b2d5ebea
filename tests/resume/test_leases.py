"""Leases that are renewed, once or all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from eventstore.errors import ClaimHeld, EventStoreError, Fenced, InvalidInput, InvalidTransition, NotFound, Unavailable
from projections import Heartbeat, Store
from tests.stores import Clock, check_views, run_of

PATIENCE = 60.0
SHORT = 0.03
LONG = 3600.0


def held(store: Store, lease: float | None = 60) -> int:
    store.create_run("flow", run_id="run")
    return store.start_run("run", worker="holder", lease=lease).epoch


@pytest.mark.parametrize("lease", [60, None])
def test_a_renewed_lease_lasts_from_the_moment_of_its_renewal(store: Store, clock: Clock, lease: float | None) -> None:
    epoch = held(store, lease)
    clock.time += timedelta(seconds=50)
    version, before = store.log.version("run"), clock.time
    run = store.renew_lease("run", epoch=epoch, lease=60)
    assert run.lease_until is not None
    assert before + timedelta(seconds=60) < run.lease_until <= clock.time + timedelta(seconds=60)
    assert (run.epoch, run.worker, run.status) == (1, "holder", "running")
    assert [event.type for event in store.log.read("run", after=version)] == ["runLeaseRenewed"]
    check_views(store)
    clock.time += timedelta(seconds=50)
    with pytest.raises(ClaimHeld):
        store.resume("run", worker="rescuer")
    clock.time += timedelta(seconds=10)
    assert store.resume("run", worker="rescuer").epoch == 2


def test_a_lease_that_has_run_out_can_be_renewed_until_somebody_uses_that(store: Store, clock: Clock) -> None:
    epoch = held(store)
    clock.time += timedelta(days=1)
    assert store.renew_lease("run", epoch=epoch, lease=60).lease_until is not None
    with pytest.raises(ClaimHeld):
        store.resume("run", worker="rescuer")
    clock.time += timedelta(days=1)
    store.resume("run", worker="rescuer", lease=60)
    with pytest.raises(Fenced):
        store.renew_lease("run", epoch=epoch, lease=60)


def test_a_clock_that_was_ahead_locks_nobody_out_once_the_lease_is_renewed(store: Store, clock: Clock) -> None:
    clock.time += timedelta(days=365)
    epoch = held(store)
    clock.time -= timedelta(days=365)
    with pytest.raises(ClaimHeld):
        store.resume("run", worker="rescuer")
    store.renew_lease("run", epoch=epoch, lease=60)
    clock.time += timedelta(seconds=61)
    assert store.resume("run", worker="rescuer").epoch == 2


def test_a_worker_of_the_same_name_is_not_taken_for_the_one_before(store: Store, clock: Clock) -> None:
    epoch = held(store)
    clock.time += timedelta(seconds=61)
    again = store.resume("run", worker="holder", lease=60).epoch
    with pytest.raises(Fenced):
        store.renew_lease("run", epoch=epoch, lease=60)
    store.renew_lease("run", epoch=again, lease=60)


@pytest.mark.parametrize(
    "end",
    [
        lambda store: store.wait_run("run", "approval"),
        lambda store: store.complete_run("run"),
        lambda store: store.fail_run("run", "broken"),
        lambda store: store.cancel_run("run"),
    ],
)
def test_a_run_that_is_not_running_has_no_lease_to_renew(store: Store, end: Callable[[Store], object]) -> None:
    epoch = held(store)
    end(store)
    head = store.log.head()
    with pytest.raises(InvalidTransition, match="renewed"):
        store.renew_lease("run", epoch=epoch, lease=60)
    assert store.log.head() == head


def test_a_lease_that_is_no_time_or_of_no_run_is_refused(store: Store) -> None:
    epoch = held(store)
    head = store.log.head()
    for seconds in (0, -1, float("nan")):
        with pytest.raises(InvalidInput, match="lease"):
            store.renew_lease("run", epoch=epoch, lease=seconds)
    with pytest.raises(NotFound):
        store.renew_lease("other", epoch=1, lease=60)
    assert store.log.head() == head


def test_a_heartbeat_renews_until_it_is_closed(store: Store) -> None:
    epoch = held(store, None)
    with store.heartbeat("run", epoch=epoch, lease=SHORT) as heartbeat:
        while store.log.version("run") < 6:
            assert store.log.wait(store.log.head(), PATIENCE)
    heartbeat.close()
    assert {event.type for event in store.log.read("run", after=2)} == {"runLeaseRenewed"}
    version = store.log.version("run")
    assert not store.log.wait(store.log.head(), SHORT * 2)
    assert store.log.version("run") == version
    check_views(store)


def test_a_heartbeat_and_commands_of_the_same_worker_do_not_disturb_each_other(store: Store) -> None:
    run_of(store, *map(str, range(5)))
    with store.heartbeat("run", epoch=1, lease=SHORT):
        for task_id in map(str, range(5)):
            store.start_task("run", task_id, epoch=1)
            store.complete_task("run", task_id, epoch=1)
    assert len(store.resume_plan("run").reusable) == 5


def test_whoever_is_superseded_is_told_and_renews_no_more(store: Store) -> None:
    epoch = held(store, None)
    told: list[Exception] = []
    lost = threading.Event()

    def on_lost(error: Exception) -> None:
        heartbeat.close()  # which waits for nothing in this thread
        told.append(error)
        lost.set()

    with store.heartbeat("run", epoch=epoch, lease=SHORT, on_lost=on_lost) as heartbeat:
        rescuer = store.resume("run", worker="rescuer", lease=LONG, force=True)
        assert lost.wait(PATIENCE)
        assert heartbeat.lost
        with pytest.raises(Fenced) as caught:
            heartbeat.check()
    assert (caught.value.epoch, caught.value.current) == (epoch, rescuer.epoch)
    assert told == [caught.value]
    run = store.get_run("run")
    assert run is not None
    assert run.lease_until == rescuer.run.lease_until


def test_a_heartbeat_of_a_claim_that_is_lost_already_does_not_begin(store: Store) -> None:
    epoch = held(store, None)
    store.resume("run", worker="rescuer")
    with pytest.raises(Fenced), store.heartbeat("run", epoch=epoch, lease=LONG):
        pytest.fail("it has begun")
    assert not any(thread.name == "heartbeat" for thread in threading.enumerate())


def test_a_run_that_ends_ends_its_heartbeat(store: Store) -> None:
    epoch, lost = held(store, None), threading.Event()
    with store.heartbeat("run", epoch=epoch, lease=SHORT, on_lost=lambda _: lost.set()) as heartbeat:
        store.complete_run("run", epoch=epoch)
        assert lost.wait(PATIENCE)
        with pytest.raises(InvalidTransition, match="completed"):
            heartbeat.check()


class Failing:
    """A store that cannot be reached for some renewals, and a clock that the test moves."""

    def __init__(self, *failures: EventStoreError | None) -> None:
        self.time = 0.0
        self._left = list(failures)
        self.spent = threading.Event()

    def renew(self) -> None:
        if not self._left:
            self.spent.set()
            return
        failure = self._left.pop(0)
        if failure is not None:
            raise failure


def test_a_store_that_is_away_for_less_than_the_lease_costs_no_claim() -> None:
    failing = Failing(None, Unavailable("away"), Unavailable("away"))
    with Heartbeat(failing.renew, SHORT, clock=lambda: failing.time) as heartbeat:
        assert failing.spent.wait(PATIENCE)
        assert not heartbeat.lost
        heartbeat.check()


def test_a_store_that_is_away_for_longer_than_the_lease_costs_the_claim() -> None:
    failing, lost = Failing(None, *[Unavailable("away")] * 1000), threading.Event()
    with Heartbeat(failing.renew, SHORT, clock=lambda: failing.time, on_lost=lambda _: lost.set()) as heartbeat:
        failing.time = SHORT
        assert lost.wait(PATIENCE)
        with pytest.raises(Unavailable, match="away"):
            heartbeat.check()


def test_a_renewal_that_does_not_return_in_time_is_not_relied_on() -> None:
    hanging, go_on = threading.Event(), threading.Event()
    failing = Failing()

    def renew() -> None:
        if failing.spent.is_set():
            hanging.set()
            assert go_on.wait(PATIENCE)
        failing.renew()

    with Heartbeat(renew, SHORT, clock=lambda: failing.time) as heartbeat:
        assert hanging.wait(PATIENCE)
        assert (heartbeat.lost, repr(heartbeat)) == (False, f"<Heartbeat beating lease={SHORT}>")
        failing.time = SHORT
        assert (heartbeat.lost, repr(heartbeat)) == (True, f"<Heartbeat lost lease={SHORT}>")
        with pytest.raises(Unavailable, match="without a renewal"):
            heartbeat.check()
        go_on.set()
