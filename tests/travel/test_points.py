"""Runs as they were at any version, position or time are what the events up to there make of them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given

from eventstore.errors import InvalidInput
from eventstore.log import RecordedEvent
from projections import Run, Store, TaskRun, open_store
from projections.fold import Fold
from projections.inheritance import OriginMissing, with_inherited
from tests.stores import NOON, Clock, completed, examples, run_of
from tests.views.histories import RUN_IDS, THRESHOLD, RawAppend, RawPurge, Step, commands, raw_history


@pytest.fixture
def two_runs(store: Store) -> Store:
    """A run with one task done, and another one that was created before that task was started."""
    run_of(store, "a")
    store.create_run("flow", run_id="other")
    completed(store, "run", "a", 1)
    return store


def events_of(store: Store, run_id: str = "run") -> list[RecordedEvent]:
    return list(store.log.read(run_id))


def status_at(store: Store, position: int) -> str | None:
    task = store.as_of("run", position=position).row(TaskRun, "run", "a")
    return None if task is None else task.status


def test_a_run_can_be_seen_as_it_was_at_a_position_of_the_whole_log(two_runs: Store) -> None:
    scheduled, started, ended = (event.position for event in events_of(two_runs)[2:])
    (between,) = (event.position for event in events_of(two_runs, "other"))
    statuses = [status_at(two_runs, place) for place in (scheduled - 1, scheduled, between, started, ended)]
    assert statuses == [None, "pending", "pending", "running", "completed"]
    assert two_runs.as_of("run", position=0).tables == Fold().tables
    assert two_runs.as_of("run", position=10**30).tables == two_runs.as_of("run").tables
    assert two_runs.as_of("run", version=10**30).tables == two_runs.as_of("run").tables


def test_of_several_limits_the_earliest_counts(two_runs: Store) -> None:
    events = events_of(two_runs)
    third = two_runs.as_of("run", version=3).tables
    assert two_runs.as_of("run", version=3, position=events[3].position).tables == third
    assert two_runs.as_of("run", version=5, position=events[2].position).tables == third
    assert two_runs.as_of("run", version=5, time=events[2].recorded_at).tables == third


def test_runs_can_be_listed_as_they_were_at_a_position(two_runs: Store) -> None:
    created, started, *_ = (event.position for event in events_of(two_runs))
    (other,) = (event.position for event in events_of(two_runs, "other"))
    two_runs.delete_run("other", force=True)

    def listed(position: int) -> list[tuple[str, str]]:
        return [(run.id, run.status) for run in two_runs.list_runs_as_of(position=position)]

    assert listed(0) == []
    assert listed(created) == [("run", "pending")]
    assert listed(started) == [("run", "running")]
    assert listed(other) == [("run", "running"), ("other", "pending")]
    assert listed(two_runs.log.head()) == [("run", "running")]
    assert [run.id for run in two_runs.list_runs_as_of(include_deleted=True)] == ["run", "other"]


def test_runs_can_be_listed_as_they_were_at_a_time(store: Store, clock: Clock) -> None:
    store.create_run("flow", run_id="first")
    first = clock.time
    store.create_run("flow", run_id="second")
    assert store.list_runs_as_of(time=NOON) == []
    assert [run.id for run in store.list_runs_as_of(time=first)] == ["first"]
    assert store.list_runs_as_of(time=clock.time) == store.list_runs()


def test_at_a_time_one_list_says_what_each_run_says_for_itself(store: Store, clock: Clock) -> None:
    """Also where a clock was set back: what stands behind something later does not show yet."""
    run_of(store, "a")
    clock.time -= timedelta(hours=1)
    store.complete_run("run")
    store.create_run("flow", run_id="early")
    for time in (clock.time, NOON, NOON + timedelta(minutes=1)):
        alone = [store.as_of(run_id, time=time).row(Run, run_id) for run_id in ("run", "early")]
        assert store.list_runs_as_of(time=time) == [run for run in alone if run is not None]


def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    time = datetime(2026, 1, 31, 12)
    with pytest.raises(InvalidInput, match="time zone"):
        store.as_of("run", time=time)
    with pytest.raises(InvalidInput, match="time zone"):
        store.list_runs_as_of(time=time)


@examples(0.2)
@given(commands())
def test_every_version_is_the_fold_of_what_stood_there_then(history: list[Step]) -> None:
    seen: dict[tuple[str, int], Fold] = {}
    with open_store("memory:", threshold=THRESHOLD, clock=Clock()) as store:
        for step in history:
            step.take(store)
            version = store.log.version(step.run_id)
            if version == 0:  # purged: its versions begin anew
                seen = {key: fold for key, fold in seen.items() if key[0] != step.run_id}
            else:
                seen[step.run_id, version] = Fold.of(
                    with_inherited(store.log.read(step.run_id), store.codec, store.log.read), store.codec
                )
        for (run_id, version), fold in seen.items():
            assert store.as_of(run_id, version=version).tables == fold.tables


@examples(0.2)
@given(raw_history())
def test_every_position_is_the_fold_of_all_events_up_to_there(history: list[RawAppend | RawPurge]) -> None:
    with open_store("memory:", threshold=THRESHOLD, clock=Clock()) as store:
        for step in history:
            step.take(store)
        for position in range(store.log.head() + 1):
            whole = Fold.of(store.log.read_all(until=position), store.codec)
            for run_id in RUN_IDS:
                try:
                    assert store.as_of(run_id, position=position).row(Run, run_id) == whole.row(Run, run_id)
                except OriginMissing:
                    run = whole.row(Run, run_id)
                    assert run is not None
                    assert run.forked_from is not None
            created = sorted((run for run in whole.rows(Run) if run.position), key=lambda run: run.position)
            assert store.list_runs_as_of(position=position, include_deleted=True) == created
        assert store.list_runs_as_of(include_deleted=True) == store.list_runs(include_deleted=True)
        assert store.list_runs_as_of() == store.list_runs()
