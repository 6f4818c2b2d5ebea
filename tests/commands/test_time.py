"""What a run was at any moment; and clocks that do what clocks do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from projections import Output, Run, Store, TaskRun
from projections.fold import Fold
from projections.rows import duration
from tests.stores import NOON, Clock, completed, folded, run_of, tables_of


def test_a_run_can_be_seen_as_it_was_at_every_version(store: Store) -> None:
    run_of(store, "a", "b")
    completed(store, "run", "a", 1)
    store.invalidate_task("run", "a")
    store.fail_run("run", "no")
    statuses = [store.as_of("run", version=version).row(Run, "run") for version in range(1, 9)]
    assert [run and run.status for run in statuses] == ["pending", *["running"] * 6, "failed"]
    outputs = [len(store.as_of("run", version=version).rows(Output)) for version in range(1, 9)]
    assert outputs == [0, 0, 0, 0, 0, 1, 0, 0]
    assert store.as_of("run", version=0).tables == Fold().tables == store.as_of("unknown").tables


def test_a_run_can_be_seen_as_it_was_at_a_time_of_recording(store: Store, clock: Clock) -> None:
    run_of(store, "a")
    before = clock.time
    completed(store, "run", "a", 1)
    then, now = store.as_of("run", time=before), store.as_of("run", time=clock.time)
    assert [task.status for task in then.rows(TaskRun)] == ["pending"]
    assert [task.status for task in now.rows(TaskRun)] == ["completed"]
    assert store.as_of("run", time=NOON).tables == Fold().tables


def test_a_clock_set_back_leaves_no_hole_in_what_is_seen(store: Store, clock: Clock) -> None:
    run_of(store, "a")
    clock.time -= timedelta(hours=1)
    completed(store, "run", "a", 1)
    seen = store.as_of("run", time=clock.time)
    assert seen.tables == Fold().tables, "the first event was recorded later than that, by the clock of then"


def test_times_are_those_of_the_events(store: Store, clock: Clock) -> None:
    clock.step = timedelta(0)
    run_of(store, "a")
    for minute, command in enumerate(("start", "fail", "retry", "start", "complete"), 1):
        clock.time = NOON + timedelta(minutes=minute)
        if command == "start":
            store.start_task("run", "a")
        elif command == "fail":
            store.fail_task("run", "a", "no")
        elif command == "retry":
            store.retry_task("run", "a", delay=30)
            waiting = store.get_task_run("run", "a")
            assert waiting is not None
            assert waiting.due == clock.time + timedelta(seconds=30)
        else:
            store.complete_task("run", "a")
    (task,) = store.list_task_runs("run")
    first, second = store.list_attempts("run")
    assert (task.started_at, task.finished_at) == (first.started_at, second.finished_at)
    assert [duration(row) for row in (first, second, task)] == [timedelta(minutes=m) for m in (1, 1, 4)]


@pytest.mark.parametrize("back", [timedelta(seconds=5), timedelta(days=400)])
def test_a_clock_that_is_set_back_changes_no_order_and_no_status(store: Store, clock: Clock, back: timedelta) -> None:
    run_of(store, "a", "b", "c")
    completed(store, "run", "a", 1)
    started = store.start_task("run", "b").started_at
    assert started is not None
    clock.time = started - back
    store.complete_task("run", "b", 2)
    completed(store, "run", "c", 3)
    other = store.create_run("flow", run_id="other")
    assert list(store.get_completed_node_outputs("run")) == ["a", "b", "c"]
    assert [task.status for task in store.list_task_runs("run")] == ["completed"] * 3
    assert [run.id for run in store.list_runs()] == ["run", "other"]
    assert [event.version for event in store.log.read("run")] == list(range(1, 12))
    (attempt,) = store.list_attempts("run", "b")
    assert attempt.started_at is not None
    assert attempt.finished_at is not None
    assert attempt.finished_at < attempt.started_at  # as the clock had it
    assert duration(attempt) == timedelta(0)
    assert other.created_at is not None
    assert store.resume_plan("run").stale == ()
    store.rebuild()
    assert tables_of(store) == folded(store)


def test_what_has_not_ended_has_no_duration_yet(store: Store) -> None:
    run = store.create_run("flow", run_id="run")
    assert duration(run) is None
    assert duration(store.start_run("run")) is None
    assert duration(store.complete_run("run")) == timedelta(seconds=2)
