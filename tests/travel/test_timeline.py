"""When attempts waited and executed, and which chain of tasks a run owes its length to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given

from eventstore.errors import NotFound
from eventstore.events import TaskRunScheduled, TaskRunStarted
from projections import Attempt, Store, Task, Timeline, open_store
from projections.cli.gantt import gantt
from projections.rows import duration
from projections.timeline import Span, critical_path
from tests.stores import NOON, Clock, completed, examples, run_of
from tests.views.histories import RUN_IDS, RawAppend, Step, commands


def at(store: Store, second: int) -> Store:
    """The store, for commands that happened so many seconds after noon."""
    return store.at(NOON + timedelta(seconds=second))


@pytest.fixture
def chain(store: Store) -> Store:
    """A run that starts at 10 with the tasks a → b, of which b fails at first, and c, which needs neither."""
    at(store, 0).create_run("flow", run_id="run")
    at(store, 5).schedule_tasks("run", [Task("a"), Task("b", depends_on=["a"]), Task("c")])
    at(store, 10).start_run("run")
    at(store, 12).start_task("run", "a", worker="one")
    at(store, 13).start_task("run", "c", worker="two")
    at(store, 20).complete_task("run", "a")
    at(store, 23).start_task("run", "b")
    at(store, 30).fail_task("run", "b", "no")
    at(store, 31).retry_task("run", "b", delay=4)
    at(store, 36).start_task("run", "b")
    at(store, 40).complete_task("run", "b")
    at(store, 25).complete_task("run", "c")
    at(store, 50).complete_run("run")
    return store


def times(span: Span) -> tuple[float | None, ...]:
    moments = (span.scheduled_at, span.ready_at, span.started_at, span.ended_at)
    return tuple(None if time is None else (time - NOON).total_seconds() for time in moments)


def test_what_waits_for_something_outside_does_not_execute(store: Store) -> None:
    at(store, 0).create_run("flow", run_id="run")
    at(store, 0).start_run("run")
    at(store, 0).schedule_tasks("run", [Task("ask"), Task("work")])
    at(store, 1).start_task("run", "ask")
    at(store, 3).wait_task("run", "ask", "a decision")
    (waiting,) = store.timeline("run").attempts
    assert (waiting.status, waiting.waiting_since, waiting.execution) == ("waiting", NOON + timedelta(seconds=3), None)
    at(store, 10).start_task("run", "work")
    at(store, 15).complete_task("run", "work")
    at(store, 90).approve_task("run", "ask")
    timeline = store.timeline("run")
    assert [(s.status, s.execution) for s in timeline.attempts] == [("completed", 2), ("completed", 5)]
    assert (timeline.execution, timeline.critical_path) == (7, ("work",))
    picture = [line.split("ms")[-1] for line in gantt(timeline, 90)]
    assert picture[1].count(".") > 10 * picture[1].count("=")


def test_an_attempt_waits_from_when_it_could_start(chain: Store) -> None:
    spans = chain.timeline("run").attempts
    assert [(s.task_id, s.attempt, s.status, s.worker, s.retry) for s in spans] == [
        ("a", 1, "completed", "one", False),
        ("c", 1, "completed", "two", False),
        ("b", 1, "failed", "", False),
        ("b", 2, "completed", "", True),
    ]
    assert [times(s) for s in spans] == [(5, 10, 12, 20), (5, 10, 13, 25), (5, 20, 23, 30), (5, 35, 36, 40)]
    assert [(s.queue_wait, s.execution) for s in spans] == [(2, 8), (3, 12), (3, 7), (1, 4)]


def test_what_a_run_comes_to(chain: Store) -> None:
    found = chain.timeline("run")
    assert (found.run_id, found.status, found.retries) == ("run", "completed", 1)
    assert (found.makespan, found.queue_wait, found.execution) == (40, 9, 31)
    assert (found.critical_path, found.critical_execution) == (("a", "b"), 19)
    assert found.ended_at == found.latest_at == NOON + timedelta(seconds=50)


def test_what_has_not_ended_has_no_execution_yet(store: Store) -> None:
    at(store, 0).create_run("flow", run_id="run")
    at(store, 0).schedule_task("run", "a")
    assert (store.timeline("run").attempts, store.timeline("run").makespan) == ((), 0)
    at(store, 1).start_run("run")
    at(store, 4).start_task("run", "a")
    found = store.timeline("run")
    (span,) = found.attempts
    assert (span.status, span.ended_at, span.execution, span.queue_wait) == ("running", None, None, 3)
    assert (found.makespan, found.ended_at, found.execution, found.critical_path) == (3, None, 0, ())


def test_a_resumed_run_does_not_count_the_time_nobody_drove_it(store: Store) -> None:
    at(store, 0).create_run("flow", run_id="run")
    at(store, 0).schedule_tasks("run", [Task("a"), Task("b")])
    at(store, 1).start_run("run")
    at(store, 2).start_task("run", "a")
    at(store, 100).resume("run", force=True)
    at(store, 103).start_task("run", "a")
    at(store, 104).start_task("run", "b")
    first, second, other = store.timeline("run").attempts
    assert (first.status, first.execution, second.retry) == ("interrupted", 98, True)
    assert [times(span)[1] for span in (second, other)] == [100, 100]


def test_a_task_that_runs_again_because_of_another_waits_for_that_one(store: Store) -> None:
    at(store, 0).create_run("flow", run_id="run")
    at(store, 0).start_run("run")
    at(store, 0).schedule_tasks("run", [Task("a"), Task("b", depends_on=["a"])])
    at(store, 1).complete_task("run", "a", 1, implicit_start=True)
    at(store, 2).complete_task("run", "b", 1, implicit_start=True)
    at(store, 3).invalidate_task("run", "a")
    at(store, 7).complete_task("run", "a", 2, implicit_start=True)
    at(store, 9).start_task("run", "b")
    spans = store.timeline("run").attempts
    assert [(span.task_id, span.attempt, times(span)[1], span.retry) for span in spans[2:]] == [
        ("a", 2, 3, False),
        ("b", 2, 7, False),
    ]


def test_a_clock_that_is_set_back_makes_nothing_negative_and_changes_no_time(store: Store) -> None:
    at(store, 100).create_run("flow", run_id="run")
    at(store, 100).start_run("run")
    at(store, 100).schedule_task("run", "a")
    at(store, 50).start_task("run", "a")
    at(store, 40).complete_task("run", "a")
    at(store, 30).complete_run("run")
    found = store.timeline("run")
    (span,) = found.attempts
    assert times(span) == (100, 100, 50, 40)
    assert (span.queue_wait, span.execution, found.makespan, found.execution) == (0, 0, 0, 0)


def test_a_deleted_run_still_has_its_timeline_and_an_unknown_one_has_none(chain: Store) -> None:
    before = chain.timeline("run")
    chain.delete_run("run")
    assert chain.timeline("run").attempts == before.attempts
    with pytest.raises(NotFound):
        chain.timeline("nope")


@pytest.mark.parametrize(
    ("needs", "seconds", "expected"),
    [
        ({}, {}, ()),
        ({"a": (), "b": ("a",)}, {}, ()),
        ({"a": ()}, {"a": 1}, ("a",)),
        ({"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}, {"a": 1, "b": 2, "c": 3, "d": 1}, ("a", "c", "d")),
        ({"a": (), "b": (), "c": ("a",)}, {"a": 1, "b": 3, "c": 1}, ("b",)),
        ({"a": (), "b": ("a",)}, {"b": 1}, ("b",)),
        ({"a": (), "b": ("a",), "c": ("b",)}, {"a": 1, "c": 1}, ("a", "b", "c")),
        ({"b": ("a",), "a": ()}, {"a": 1, "b": 1}, ("a", "b")),
        ({"b": ("never scheduled",)}, {"b": 1}, ("b",)),
        ({"a": (), "b": ("c",), "c": ("b",), "d": ("c", "a")}, {"a": 1, "b": 5, "d": 5}, ("a",)),
    ],
)
def test_the_critical_path_is_the_chain_that_executed_longest(
    needs: Mapping[str, tuple[str, ...]], seconds: Mapping[str, int], expected: tuple[str, ...]
) -> None:
    path, longest = critical_path(needs, {task: timedelta(seconds=amount) for task, amount in seconds.items()})
    assert path == expected
    assert longest == timedelta(seconds=sum(seconds.get(task, 0) for task in expected))


def test_a_chain_may_be_of_any_length() -> None:
    needs = {f"t{number}": (f"t{number - 1}",) for number in range(1, 20_000)} | {"t0": ()}
    path, longest = critical_path(needs, dict.fromkeys(needs, timedelta(seconds=1)))
    assert (len(path), path[0], longest) == (20_000, "t0", timedelta(seconds=20_000))


def test_events_of_tasks_that_were_never_scheduled_do_no_harm(store: Store) -> None:
    store.create_run("flow", run_id="run")
    RawAppend("run", (TaskRunStarted("ghost", 1), TaskRunScheduled("a", depends_on=("a",)))).take(store)
    (span,) = store.timeline("run").attempts
    assert (span.task_id, span.scheduled_at, span.ready_at, span.queue_wait) == ("ghost", None, None, 0)


def check_against_rows(found: Timeline, rows: list[Attempt]) -> None:
    spans = {(span.task_id, span.attempt): span for span in found.attempts}
    assert spans.keys() == {(row.task_id, row.attempt) for row in rows}
    for row in rows:
        span, elapsed = spans[row.task_id, row.attempt], duration(row)
        assert (span.status, span.started_at, span.ended_at) == (row.status, row.started_at, row.finished_at)
        if span.waiting_since is None:
            assert span.execution == (None if elapsed is None else elapsed.total_seconds())
        assert span.queue_wait >= 0
    assert found.critical_execution <= sum(span.executed.total_seconds() for span in found.attempts)


@examples(0.2)
@given(commands())
def test_a_timeline_has_every_attempt_as_the_views_have_it(history: list[Step]) -> None:
    clock = Clock(datetime(2026, 1, 1, tzinfo=UTC))
    with open_store("memory:", clock=clock) as store:
        for number, step in enumerate(history):
            clock.step = timedelta(seconds=(-3, 1, 5)[number % 3])
            step.take(store)
        for run_id in filter(store.log.version, RUN_IDS):
            check_against_rows(store.timeline(run_id), store.as_of(run_id).rows(Attempt))


def test_all_that_ran_one_after_the_other_is_on_the_critical_path(store: Store) -> None:
    run_of(store)
    store.schedule_tasks("run", [Task("a"), Task("b", depends_on=["a"]), Task("c", depends_on=["b"])])
    for task_id in "abc":
        completed(store, "run", task_id)
    assert store.timeline("run").critical_path == ("a", "b", "c")
