"""Histories of Temporal become runs: whole, with the meaning they had there, once, and nothing is left of a bad one."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from eventstore.errors import Conflict
from projections import Store, open_store
from projections.import_temporal import ImportedHistory, import_temporal
from projections.rows import Run
from tests.histories import BEGIN, DECIDED, EVENTS, HISTORY, START, WALK, Told, spelt, written
from tests.stores import ONE_OF_EACH, address_of, check_views

RUN = "0195f000-0000-7000-8000-000000000002"
PARENT = "0195f000-0000-7000-8000-000000000001"


@pytest.fixture(params=ONE_OF_EACH)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    with open_store(address_of(str(request.param), tmp_path / "store"), durability="none") as opened:
        yield opened


@pytest.fixture
def memory() -> Iterator[Store]:
    """A store for what does not depend on its kind."""
    with open_store("memory:") as opened:
        yield opened


def imported(store: Store, path: Path = HISTORY) -> ImportedHistory:
    done = import_temporal(store, path)
    assert not done.repeated
    return done


def told(store: Store, tmp_path: Path, *told: Told) -> Run:
    """The run that a history of these events becomes."""
    imported(store, written(tmp_path / "history.json", *told))
    run = store.get_run("stroll")
    assert run is not None
    assert store.verify().clean
    check_views(store)
    return run


def types_of(store: Store, run_id: str) -> list[str]:
    """The types of all events but the history's own."""
    return [event.type for event in store.log.read(run_id) if not event.type.startswith("temporal.")]


def test_a_history_becomes_a_run_that_has_ended(store: Store) -> None:
    done = imported(store)
    assert done == ImportedHistory(str(HISTORY), RUN, "FirePots", len(EVENTS), 5, False)
    run = store.get_run(RUN)
    assert run is not None
    assert (run.workflow_name, run.status, run.worker) == ("FirePots", "completed", "temporal")
    assert (run.created_at, run.finished_at) == (BEGIN, BEGIN + timedelta(seconds=3700, microseconds=10100))
    assert run.parent_run_id == PARENT
    assert run.metadata == {
        "source": "temporal",
        "workflow_id": "pots-17",
        "task_queue": "pottery",
        "first_run_id": RUN,
        "parent_workflow_id": "market-day",
    }
    assert run.output is not None
    assert store.load(run.output) == {"sold": 0}


def test_every_event_of_the_history_is_kept_whole_with_its_time_and_in_its_order(store: Store) -> None:
    imported(store)
    kept = [event for event in store.log.read(RUN) if event.type.startswith("temporal.")]
    assert Counter(event.type for event in kept) == Counter(f"temporal.{spelt(e['eventType'])}" for e in EVENTS)
    assert [json.loads(event.data) for event in kept] == EVENTS
    assert [event.time for event in kept] == [datetime.fromisoformat(event["eventTime"]) for event in EVENTS]


def test_views_and_verification_agree_on_an_imported_history(store: Store) -> None:
    imported(store)
    check_views(store)
    assert store.verify().clean
    assert store.resume_plan(RUN).stale == ()


def test_activities_become_task_runs(store: Store) -> None:
    imported(store)
    tasks = {task.task_id: task for task in store.list_task_runs(RUN)}
    assert {task_id: (task.name, task.status, task.attempt) for task_id, task in tasks.items()} == {
        "1": ("throw", "completed", 1),
        "2": ("throw", "completed", 1),
        "3": ("fire", "failed", 3),
        "4": ("fire", "failed", 1),
        "5": ("photograph", "cancelled", 0),
    }
    assert tasks["1"].metadata == {"event_id": 5, "task_queue": "pottery", "summary": "Throw the vase"}
    assert tasks["1"].scheduled_at == BEGIN + timedelta(microseconds=10100)
    assert tasks["1"].input is not None
    assert store.load(tasks["1"].input) == ["vase"]
    assert tasks["5"].input is None


def test_values_are_decoded_where_they_are_json_and_kept_with_their_encoding_where_not(store: Store) -> None:
    imported(store)
    assert store.get_completed_node_outputs(RUN) == {
        "1": {"pot": "vase", "grams": 900},
        "2": {"encoding": "binary/plain", "data": "iWJvd2w="},
    }
    run = store.get_run(RUN)
    assert run is not None
    assert run.input is not None
    assert store.load(run.input) == [{"pots": ["vase", "bowl"]}, {"encoding": "binary/plain", "data": "AAFnbGF6ZQ=="}]


def test_attempts_have_the_times_workers_and_failures_that_the_history_tells(store: Store) -> None:
    imported(store)
    attempts = {(attempt.task_id, attempt.attempt): attempt for attempt in store.list_attempts(RUN)}
    assert list(attempts) == [("1", 1), ("2", 1), ("3", 1), ("3", 2), ("3", 3), ("4", 1)]
    thrown, last, slow = attempts["1", 1], attempts["3", 3], attempts["4", 1]
    assert (thrown.worker, last.worker, slow.worker) == ("7@wheel", "9@kiln", "9@kiln")
    assert thrown.started_at == BEGIN + timedelta(microseconds=20000)
    assert thrown.finished_at == BEGIN + timedelta(seconds=1.5)
    assert last.failure is not None
    assert (last.failure.type, last.failure.message, last.failure.kind) == (
        "Broken",
        "the vase is in pieces",
        "exception",
    )
    assert last.failure.traceback == '  File "kiln.py", line 12, in fire\n'
    assert [(cause.type, cause.message) for cause in last.failure.causes] == [("ThermalShock", "372 degrees at once")]
    assert last.failure.retryable is False
    assert slow.failure is not None
    assert (slow.failure.type, slow.failure.kind) == ("TimeoutFailure", "timeout")
    assert slow.failure.code == "TIMEOUT_TYPE_START_TO_CLOSE"


def test_attempts_that_a_history_only_implies_are_told_where_it_implies_them(store: Store) -> None:
    imported(store)
    first, second, last = store.list_attempts(RUN, "3")
    assert [attempt.status for attempt in (first, second, last)] == ["failed"] * 3
    assert first.failure is not None
    assert second.failure is not None
    assert (first.failure.type, second.failure.type, second.failure.retryable) == ("Untold", "Cracked", True)
    assert {first.started_at, first.finished_at, second.started_at, second.finished_at} == {last.started_at}
    assert (first.worker, second.worker, last.worker) == ("", "", "9@kiln")


def test_timers_and_signals_are_what_a_run_waits_for(store: Store) -> None:
    imported(store)
    told = [
        (event.type, json.loads(event.data).get("reason"))
        for event in store.log.read(RUN)
        if event.type in ("runWaiting", "runResumed")
    ]
    assert told == [
        ("runWaiting", "timer drying"),
        ("runResumed", "timer drying fired"),
        ("runWaiting", "signal or update"),
        ("runResumed", "signal give up"),
    ]


def test_a_history_that_ends_in_a_wait_leaves_a_run_that_waits(store: Store, tmp_path: Path) -> None:
    timers = [
        ("TIMER_STARTED", {"timerId": name, "startToFireTimeout": length, "workflowTaskCompletedEventId": "4"})
        for name, length in [("tea", "60s"), ("nap", "0.5s"), ("eternity", "999999999999s")]
    ]
    run = told(store, tmp_path, START, *DECIDED, *timers)
    assert (run.status, run.waiting_reason) == ("waiting", "timer tea, timer nap, timer eternity")
    assert run.waiting_until == BEGIN + timedelta(seconds=6.5)


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        ("TERMINATED", "cancelled", "terminated: it rains, by me"),
        ("CANCELED", "cancelled", "cancelled"),
        ("TIMED_OUT", "failed", None),
        ("FAILED", "failed", None),
        ("COMPLETED", "completed", None),
        ("CONTINUED_AS_NEW", "completed", None),
    ],
)
def test_each_end_of_an_execution_ends_the_run_and_its_open_activities(
    memory: Store, tmp_path: Path, end: str, status: str, reason: str | None
) -> None:
    running: Told = ("ACTIVITY_TASK_STARTED", {"scheduledEventId": "5", "attempt": 1})
    attributes = {"reason": "it rains", "identity": "me", "newExecutionRunId": "next"}
    run = told(memory, tmp_path, START, *DECIDED, WALK, running, (f"WORKFLOW_EXECUTION_{end}", attributes))
    assert run.status == status
    (task,), (attempt,) = memory.list_task_runs(run.id), memory.list_attempts(run.id)
    assert (task.status, attempt.status, task.reason) == ("cancelled", "cancelled", "the workflow ended before it")
    if status == "cancelled":
        (event,) = (event for event in memory.log.read(run.id) if event.type == "runCancelled")
        assert json.loads(event.data)["reason"] == reason
    if end == "TIMED_OUT":
        assert run.failure is not None
        assert run.failure.kind == "timeout"
    if end == "CONTINUED_AS_NEW":
        assert run.output is not None
        assert memory.load(run.output) == {"continued_as_new": "next"}


def test_a_cancellation_says_who_asked_for_it(memory: Store, tmp_path: Path) -> None:
    asked: Told = ("WORKFLOW_EXECUTION_CANCEL_REQUESTED", {"cause": "too late", "identity": "them"})
    ended: Told = ("WORKFLOW_EXECUTION_CANCELED", {"workflowTaskCompletedEventId": "8"})
    told(memory, tmp_path, START, *DECIDED, asked, *DECIDED, ended)
    *_, event = (event for event in memory.log.read("stroll") if event.type == "runCancelled")
    assert json.loads(event.data) == {"reason": "cancelled: too late, by them"}


def test_a_child_is_waited_for_and_names_its_parent_whichever_is_imported_first(memory: Store, tmp_path: Path) -> None:
    imported(memory)
    begun = {"workflowId": "pots-17", "workflowTaskCompletedEventId": "4"}
    parent = ("WORKFLOW_EXECUTION_STARTED", {"workflowType": {"name": "Market"}, "originalExecutionRunId": PARENT})
    path = written(tmp_path / "parent.json", parent, *DECIDED, ("START_CHILD_WORKFLOW_EXECUTION_INITIATED", begun))
    imported(memory, path)
    run = memory.get_run(PARENT)
    assert run is not None
    assert (run.status, run.waiting_reason) == ("waiting", "child pots-17")
    assert [child.id for child in memory.list_children(PARENT)] == [RUN]


def test_a_wait_ends_with_the_child_it_was_for(memory: Store, tmp_path: Path) -> None:
    begun = {"workflowId": "dog", "workflowTaskCompletedEventId": "4"}
    child: Told = ("START_CHILD_WORKFLOW_EXECUTION_INITIATED", begun)
    back: Told = ("CHILD_WORKFLOW_EXECUTION_COMPLETED", {"initiatedEventId": "5"})
    run = told(memory, tmp_path, START, *DECIDED, child, back, *DECIDED)
    assert (run.status, run.waiting_reason) == ("waiting", "signal or update")
    assert types_of(memory, run.id)[2:] == ["runWaiting", "runResumed", "runWaiting"]


def test_nothing_is_waited_for_while_an_activity_is_under_way(memory: Store, tmp_path: Path) -> None:
    timer: Told = (
        "TIMER_STARTED",
        {"timerId": "1", "startToFireTimeout": "9s", "workflowTaskCompletedEventId": "4"},
    )
    assert told(memory, tmp_path, START, *DECIDED, WALK, timer).status == "running"


def test_an_activity_that_no_worker_took_in_time_has_one_attempt_that_nobody_ran(memory: Store, tmp_path: Path) -> None:
    late = {"scheduledEventId": "5", "failure": {"message": "ScheduleToStart", "timeoutFailureInfo": {}}}
    told(memory, tmp_path, START, *DECIDED, WALK, ("ACTIVITY_TASK_TIMED_OUT", late))
    (attempt,) = memory.list_attempts("stroll")
    assert attempt.failure is not None
    assert (attempt.worker, attempt.status, attempt.failure.kind) == ("", "failed", "timeout")


def test_an_id_that_activities_share_is_told_apart(memory: Store, tmp_path: Path) -> None:
    ended: Told = ("ACTIVITY_TASK_CANCELED", {"scheduledEventId": "5"})
    told(memory, tmp_path, START, *DECIDED, WALK, ended, *DECIDED, WALK)
    assert [task.task_id for task in memory.list_task_runs("stroll")] == ["walk", "walk#10"]


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ({"metadata": {"encoding": "YmluYXJ5L251bGw="}}, None),
        ({"metadata": {"encoding": "anNvbi9wcm90b2J1Zg=="}, "data": "eyJhIjoxfQ=="}, {"a": 1}),
        ({"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "TmFO"}, {"encoding": "json/plain", "data": "TmFO"}),
        ({"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "?"}, {"encoding": "json/plain", "data": "?"}),
        ({"metadata": {"encoding": "anNvbi9wbGFpbg=="}}, {"encoding": "json/plain", "data": ""}),
        ("shortened", "shortened"),
    ],
)
def test_any_payload_becomes_a_value(memory: Store, tmp_path: Path, payload: object, value: object) -> None:
    result = [payload] if isinstance(payload, str) else {"payloads": [payload]}
    run = told(memory, tmp_path, START, *DECIDED, ("WORKFLOW_EXECUTION_COMPLETED", {"result": result}))
    assert run.output is not None
    assert memory.load(run.output) == value


def test_importing_again_changes_nothing_however_the_history_is_written(store: Store, tmp_path: Path) -> None:
    imported(store)
    head = store.log.head()
    packed, bare = tmp_path / "other name", tmp_path / "bare.json"
    packed.write_bytes(gzip.compress(HISTORY.read_bytes()))
    bare.write_text(json.dumps(EVENTS))
    for path in (HISTORY, packed, bare):
        again = import_temporal(store, path)
        assert (again.run_id, again.repeated) == (RUN, True)
    store.delete_run(RUN)
    assert import_temporal(store, HISTORY).repeated
    assert store.log.head() == head + 1
    store.log.purge(RUN)
    assert imported(store).run_id == RUN


def test_both_spellings_of_types_mean_the_same(memory: Store, tmp_path: Path) -> None:
    imported(memory)
    types = [event.type for event in memory.log.read(RUN)]
    memory.log.purge(RUN)
    path = tmp_path / "older.json"
    older = [
        event | {"eventType": spelt(event["eventType"])[0].upper() + spelt(event["eventType"])[1:]} for event in EVENTS
    ]
    path.write_text(json.dumps({"events": older}))
    imported(memory, path)
    assert [event.type for event in memory.log.read(RUN)] == types


def test_another_history_of_a_run_that_is_there_is_refused(store: Store, tmp_path: Path) -> None:
    told(store, tmp_path, START, *DECIDED)
    head = store.log.head()
    with pytest.raises(Conflict, match="'stroll' is there already, with another history"):
        import_temporal(store, written(tmp_path / "longer.json", START, *DECIDED, *DECIDED))
    assert store.log.head() == head


def test_a_reset_execution_is_a_run_of_its_own(memory: Store, tmp_path: Path) -> None:
    told(memory, tmp_path, START, *DECIDED)
    reset: Told = ("WORKFLOW_TASK_FAILED", {"cause": "WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW", "newRunId": "anew"})
    assert imported(memory, written(tmp_path / "reset.json", START, *DECIDED[:2], reset)).run_id == "anew"


def test_an_execution_without_a_run_id_is_named_for_its_workflow(memory: Store, tmp_path: Path) -> None:
    path = written(tmp_path / "history.json", ("WORKFLOW_EXECUTION_STARTED", {"workflowType": {"name": "$troll"}}))
    done = imported(memory, path)
    assert done.run_id.startswith("troll-")
    assert memory.get_run(done.run_id) is not None
