"""Who may drive a run: one rescuer at a time, and nobody whose claim has been superseded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection

import pytest

from eventstore.errors import ClaimHeld, Conflict, Fenced, InvalidInput, InvalidTransition
from projections import Resumption, Run, Store
from tests.crash.children import Children
from tests.stores import Clock, completed, open_again, run_of

PATIENCE = 60.0
RESCUERS = 6


def test_a_claim_has_a_higher_epoch_than_every_one_before(store: Store) -> None:
    store.create_run("flow", run_id="run")
    assert store.start_run("run", worker="first").epoch == 1
    assert [store.resume("run", worker=str(n)).epoch for n in range(3)] == [2, 3, 4]
    run = store.get_run("run")
    assert run is not None
    assert (run.status, run.worker, run.epoch) == ("running", "2", 4)


def test_a_run_that_was_never_started_can_be_resumed(store: Store) -> None:
    store.create_run("flow", run_id="run")
    store.schedule_task("run", "a")
    resumption = store.resume("run")
    assert (resumption.epoch, resumption.plan.ready) == (1, ("a",))


def rescue_at_once(store: Store, monkeypatch: pytest.MonkeyPatch, lease: float | None) -> list[Resumption | ClaimHeld]:
    """Several rescuers that have all seen the run before any of them claims it."""
    seen = threading.Barrier(RESCUERS)
    first_look = threading.local()
    get_run = store.get_run

    def look(run_id: str, *, include_deleted: bool = False) -> Run | None:
        run = get_run(run_id, include_deleted=include_deleted)
        if not hasattr(first_look, "taken"):
            first_look.taken = True
            seen.wait(PATIENCE)
        return run

    monkeypatch.setattr(store, "get_run", look)
    results: list[Resumption | ClaimHeld] = []

    def rescue(name: str) -> None:
        try:
            results.append(store.resume("run", worker=name, lease=lease))
        except ClaimHeld as error:
            results.append(error)

    threads = [threading.Thread(target=rescue, args=(str(n),), daemon=True) for n in range(RESCUERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    monkeypatch.undo()
    return results


@pytest.mark.parametrize("lease", [None, 3600.0])
def test_of_rescuers_that_come_at_once_one_wins_and_the_others_write_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, lease: float | None
) -> None:
    run_of(store, "a", "b")
    completed(store, "run", "a", 1)
    store.start_task("run", "b")
    head = store.log.head()
    results = rescue_at_once(store, monkeypatch, lease)
    (winner,) = [result for result in results if isinstance(result, Resumption)]
    assert len(results) == RESCUERS
    assert [event.type for event in store.log.read_all(after=head)] == ["runResumed", "taskRunInterrupted"]
    run = store.get_run("run")
    assert run is not None
    assert (run.epoch, run.worker) == (winner.epoch, winner.run.worker) == (2, winner.run.worker)
    assert store.complete_run("run", epoch=winner.epoch).status == "completed"


def rescue(test: Connection, address: str, name: str, lease: float | None) -> tuple[str, int]:
    """Claim the run as soon as it is told to: what came of it, and the epoch."""
    with open_again(address, Clock(step=timedelta(0))) as store:
        test.send("ready")
        test.recv()
        try:
            return "claimed", store.resume("run", worker=name, lease=lease).epoch
        except ClaimHeld:
            return "held", 0


def test_of_rescuers_in_several_processes_one_wins_while_its_lease_lasts(
    lasting_store: Store, lasting: str, children: Children
) -> None:
    run_of(lasting_store, "a")
    rescuers = [children.start(rescue, lasting, str(number), 3600.0) for number in range(3)]
    for child in rescuers:
        assert child.receive() == "ready"
    for child in rescuers:
        child.send("go")
    assert sorted(child.result() for child in rescuers) == [("claimed", 2), ("held", 0), ("held", 0)]
    assert [event.type for event in lasting_store.log.read("run", after=3)] == ["runResumed"]


def test_of_rescuers_in_several_processes_without_leases_only_the_last_can_go_on(
    lasting_store: Store, lasting: str, children: Children
) -> None:
    run_of(lasting_store, "a")
    rescuers = [children.start(rescue, lasting, str(number), None) for number in range(3)]
    for child in rescuers:
        assert child.receive() == "ready"
    for child in rescuers:
        child.send("go")
    epochs = sorted(epoch for what, epoch in (child.result() for child in rescuers) if what == "claimed")
    assert epochs == list(range(2, 2 + len(epochs)))
    for superseded in epochs[:-1]:
        with pytest.raises(Fenced):
            lasting_store.start_task("run", "a", epoch=superseded)
    assert lasting_store.start_task("run", "a", epoch=epochs[-1]).epoch == epochs[-1]


def test_a_lease_keeps_others_out_until_it_has_run_out(store: Store, clock: Clock) -> None:
    store.create_run("flow", run_id="run")
    store.start_run("run", worker="holder", lease=60)
    head = store.log.head()
    with pytest.raises(ClaimHeld) as caught:
        store.resume("run", worker="rescuer")
    assert (caught.value.worker, store.log.head()) == ("holder", head)
    assert caught.value.retriable
    assert caught.value.lease_until.startswith("2026-01-31T12:01:")
    clock.time += timedelta(seconds=60)
    assert store.resume("run", worker="rescuer").epoch == 2


def test_a_lease_holds_against_its_own_holder_until_that_forces_it(store: Store) -> None:
    store.create_run("flow", run_id="run")
    store.start_run("run", worker="me", lease=60)
    with pytest.raises(ClaimHeld):
        store.resume("run", worker="me", lease=60)
    assert store.resume("run", worker="me", lease=60, force=True).epoch == 2


def test_a_lease_protects_a_run_that_waits(store: Store) -> None:
    store.create_run("flow", run_id="run")
    store.start_run("run", worker="holder", lease=60)
    store.wait_run("run", "approval")
    with pytest.raises(ClaimHeld):
        store.resume("run")


def test_a_run_that_has_failed_is_held_by_nobody(store: Store) -> None:
    store.create_run("flow", run_id="run")
    store.start_run("run", worker="holder", lease=60)
    store.fail_run("run", "no")
    assert store.resume("run", worker="rescuer").epoch == 2


def test_who_resumes_without_a_lease_does_not_inherit_one(store: Store) -> None:
    store.create_run("flow", run_id="run")
    store.start_run("run", lease=60)
    store.resume("run", force=True)
    assert store.resume("run").epoch == 3


def test_resuming_a_waiting_run_opens_its_gate(store: Store) -> None:
    run_of(store)
    store.wait_run("run", "approval")
    resumed = store.resume("run").run
    assert (resumed.status, resumed.waiting_reason, resumed.waiting_until) == ("running", None, None)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_lease_or_delay_that_is_no_time_is_refused(store: Store, seconds: float) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.fail_task("run", "a", "no")
    head = store.log.head()
    with pytest.raises(InvalidInput, match="lease"):
        store.resume("run", lease=seconds)
    if seconds:
        with pytest.raises(InvalidInput, match="delay"):
            store.retry_task("run", "a", delay=seconds)
    assert store.log.head() == head


def test_a_clock_set_back_gives_nobody_the_run_and_takes_nothing_from_it(store: Store, clock: Clock) -> None:
    run_of(store, "a", "b")
    completed(store, "run", "a", 1)
    store.resume("run", worker="holder", lease=60)
    clock.time -= timedelta(seconds=2)
    with pytest.raises(ClaimHeld):
        store.resume("run")
    completed(store, "run", "b", 2)
    clock.time -= timedelta(days=1)
    plan = store.resume("run", force=True).plan
    assert [task.task_id for task in plan.reusable] == ["a", "b"]
    assert store.get_completed_node_outputs("run") == {"a": 1, "b": 2}


ZOMBIE: dict[str, Callable[[Store, int], object]] = {
    "schedule": lambda store, epoch: store.schedule_task("run", "new", epoch=epoch),
    "start": lambda store, epoch: store.start_task("run", "pending", epoch=epoch),
    "complete": lambda store, epoch: store.complete_task("run", "running", 1, epoch=epoch),
    "complete again": lambda store, epoch: store.complete_task("run", "completed", 1, epoch=epoch),
    "fail": lambda store, epoch: store.fail_task("run", "running", "no", epoch=epoch),
    "retry": lambda store, epoch: store.retry_task("run", "failed", epoch=epoch),
    "skip": lambda store, epoch: store.skip_task("run", "pending", epoch=epoch),
    "cancel": lambda store, epoch: store.cancel_task("run", "running", epoch=epoch),
    "invalidate": lambda store, epoch: store.invalidate_task("run", "completed", epoch=epoch),
    "rerun": lambda store, epoch: store.rerun_from("run", "completed", epoch=epoch),
    "reuse": lambda store, epoch: store.reuse_task("run", "completed", epoch=epoch),
    "renew": lambda store, epoch: store.renew_lease("run", epoch=epoch, lease=60),
    "wait": lambda store, epoch: store.wait_run("run", "approval", epoch=epoch),
    "complete run": lambda store, epoch: store.complete_run("run", epoch=epoch),
    "fail run": lambda store, epoch: store.fail_run("run", "no", epoch=epoch),
}


@pytest.mark.parametrize("act", ZOMBIE.values(), ids=ZOMBIE.keys())
def test_whoever_was_superseded_can_do_nothing_more(store: Store, act: Callable[[Store, int], object]) -> None:
    run_of(store, "pending", "running", "failed", "completed")
    for task_id in ("failed", "completed"):
        store.start_task("run", task_id)
    store.fail_task("run", "failed", "no")
    store.complete_task("run", "completed", 1)
    epoch = store.resume("run", worker="rescuer").epoch
    store.start_task("run", "running", epoch=epoch)
    version = store.log.version("run")
    with pytest.raises(Fenced) as caught:
        act(store, epoch - 1)
    assert (caught.value.epoch, caught.value.current) == (epoch - 1, epoch)
    assert "Stop" in caught.value.hint
    assert store.log.version("run") == version
    if act in (ZOMBIE["complete run"], ZOMBIE["wait"]):
        store.cancel_task("run", "running")
    act(store, epoch)


def test_a_late_result_of_an_interrupted_attempt_is_refused_by_its_attempt(store: Store) -> None:
    run_of(store, "a")
    late = store.start_task("run", "a", worker="zombie").attempt
    store.resume("run", worker="rescuer")
    version = store.log.version("run")
    with pytest.raises(InvalidTransition):
        store.complete_task("run", "a", "late", attempt=late)
    with pytest.raises(InvalidTransition):
        store.fail_task("run", "a", "late", attempt=late)
    assert store.log.version("run") == version
    store.start_task("run", "a", worker="rescuer")
    with pytest.raises(Conflict, match="superseded"):
        store.complete_task("run", "a", "late", attempt=late)
    store.complete_task("run", "a", "in time", attempt=late + 1)
    assert store.get_result("run", "a") == "in time"


def test_second_and_third_resumptions_find_the_same_outputs(store: Store) -> None:
    run_of(store, "a", "b", "c")
    for task_id in ("a", "b"):
        completed(store, "run", task_id, [task_id])
    outputs, plans = [], []
    for _ in range(3):
        resumption = store.resume("run")
        for task in resumption.plan.reusable:
            store.reuse_task("run", task.task_id, epoch=resumption.epoch)
        plans.append(resumption.plan)
        outputs.append(store.get_completed_node_outputs("run"))
    assert outputs == [{"a": ["a"], "b": ["b"]}] * 3
    assert plans[0] == plans[1] == plans[2]


def test_reused_is_completed_and_not_skipped(store: Store) -> None:
    run_of(store, "reused", "skipped")
    completed(store, "run", "reused", 1)
    store.skip_task("run", "skipped", "not needed")
    before = store.get_output("run", "reused")
    (completion,) = store.resume("run").plan.reusable
    task = store.reuse_task("run", "reused")
    assert (task.status, task.reused_version, task.attempt) == ("completed", completion.version, 1)
    skipped = store.get_task_run("run", "skipped")
    assert skipped is not None
    assert (skipped.status, skipped.reused_version, skipped.reason) == ("skipped", None, "not needed")
    assert store.get_output("run", "reused") == before
    assert store.get_result("run", "reused") == 1


def test_reuse_is_noted_once_for_each_resumption_and_forgotten_when_the_task_runs_again(store: Store) -> None:
    run_of(store, "a")
    completed(store, "run", "a")
    for _ in range(2):
        store.resume("run")
        before = store.log.version("run")
        store.reuse_task("run", "a")
        store.reuse_task("run", "a")
        assert store.log.version("run") == before + 1
    store.invalidate_task("run", "a")
    completed(store, "run", "a")
    task = store.get_task_run("run", "a")
    assert task is not None
    assert task.reused_version is None


@pytest.mark.parametrize("status", ["pending", "skipped", "failed"])
def test_what_has_no_output_cannot_be_reused(store: Store, status: str) -> None:
    run_of(store, "a")
    if status == "skipped":
        store.skip_task("run", "a")
    if status == "failed":
        store.start_task("run", "a")
        store.fail_task("run", "a", "no")
    with pytest.raises(InvalidTransition, match=status):
        store.reuse_task("run", "a")
