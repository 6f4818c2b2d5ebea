"""Engines that report events change the same state as those that give commands, and telling twice changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from eventstore.errors import Conflict, DuplicateEventId, Fenced, InvalidInput, InvalidTransition, NotFound
from eventstore.failure import Failure
from eventstore.log import RecordedEvent
from projections import Store, WorkflowStore
from projections.facts import ALSO_CALLED, FACTS
from tests.commands.test_concurrency import at_once
from tests.stores import Clock, check_views, tables_of

Told = list[tuple[str, dict[str, Any]]]
FIRST, SECOND = UUID(int=1), UUID(int=2)

STORY: Told = [
    ("workflow_started", {"worker": "w"}),
    ("node_started", {"node_id": "a"}),
    ("node_completed", {"node_id": "a", "output": [1]}),
    ("node_scheduled", {"node_id": "b", "depends_on": ["a"], "input": 2}),
    ("node_started", {"node_id": "b", "attempt": 1, "worker": "w"}),
    ("node_failed", {"node_id": "b", "error": {"type": "Timeout", "message": "too slow"}}),
    ("node_retried", {"node_id": "b", "reason": "flaky"}),
    ("node_skipped", {"node_id": "c", "reason": "no need"}),
    ("workflow_paused", {"reason": "approval"}),
    ("workflow_cancelled", {"reason": "enough"}),
]


@pytest.fixture
def face(store: Store) -> WorkflowStore:
    face = WorkflowStore(store)
    face.create_workflow_run("flow", id="run")
    return face


def tell(face: WorkflowStore, told: Told) -> list[RecordedEvent]:
    return [face.create_workflow_event("run", event_type, data) for event_type, data in told]


def types(face: WorkflowStore) -> list[str]:
    return [event.type for event in face.list_workflow_events("run")]


def test_reports_come_to_the_events_of_the_commands(face: WorkflowStore) -> None:
    events = tell(face, STORY)
    assert [event.type for event in events] == [ALSO_CALLED[event_type] for event_type, _ in STORY]
    # The first that is heard of `a` and `c` makes them known; who cancels a run cancels what has not ended.
    assert types(face) == [
        "runCreated",
        "runStarted",
        "taskRunScheduled",
        "taskRunStarted",
        "taskRunCompleted",
        "taskRunScheduled",
        "taskRunStarted",
        "taskRunFailed",
        "taskRunRetryScheduled",
        "taskRunScheduled",
        "taskRunSkipped",
        "runWaiting",
        "taskRunCancelled",
        "runCancelled",
    ]
    assert face.get_completed_dag_node_outputs("run") == {"a": [1]}
    check_views(face.store)


@pytest.mark.parametrize("count", range(1, len(STORY) + 1))
def test_the_newest_report_told_again_returns_its_event(count: int) -> None:
    with WorkflowStore.open("memory:") as face:
        face.create_workflow_run("flow", id="run")
        events = tell(face, STORY[:count])
        assert tell(face, STORY[count - 1 : count]) == events[-1:]
        assert len(types(face)) == face.store.log.head()


ENDS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "completed": ({"status": "completed", "output": [1]}, "workflow_completed", {"output": [1]}),
    "completed, and no more said": ({"status": "completed", "output": [1]}, "runCompleted", {}),
    "failed": ({"status": "failed", "error": "no"}, "workflow_failed", {"error": "no"}),
    "failed, and no more said": ({"status": "failed", "error": "no"}, "runFailed", {}),
    "cancelled": ({"status": "cancelled", "reason": "enough"}, "workflow_cancelled", {}),
    "waiting": ({"status": "waiting", "reason": "approval"}, "workflow_paused", {"reason": "approval"}),
    "running": ({"status": "running", "worker": "w"}, "workflow_started", {"worker": "w"}),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_fact_that_an_update_has_established_is_not_appended_again(face: WorkflowStore, end: str) -> None:
    update, event_type, data = ENDS[end]
    if end != "running":
        face.update_workflow_run("run", status="running", worker="w")
    face.update_workflow_run("run", **update)
    before = tables_of(face.store)
    event = face.create_workflow_event("run", event_type, data)
    assert event == face.list_workflow_events("run")[-1]
    assert event.type == ALSO_CALLED.get(event_type, event_type)
    assert tables_of(face.store) == before


@pytest.mark.parametrize("end", ENDS)
def test_an_update_finds_what_an_event_has_established(face: WorkflowStore, end: str) -> None:
    update, event_type, data = ENDS[end]
    if end != "running":
        face.create_workflow_event("run", "workflow_started", {"worker": "w"})
    face.create_workflow_event("run", event_type, data or {key: update[key] for key in update if key != "status"})
    head = face.store.log.head()
    updated = face.update_workflow_run("run", **update)
    assert (updated, face.store.log.head()) == (face.get_workflow_run("run"), head)
    assert updated.status == update["status"]


def test_what_contradicts_a_fact_is_refused(face: WorkflowStore) -> None:
    tell(face, [*STORY[:3], ("workflow_completed", {"output": "done"})])
    before = types(face)
    contradictions: Told = [
        ("workflow_completed", {"output": "other"}),
        ("workflow_failed", {"error": "no"}),
        ("workflow_started", {}),
        ("node_completed", {"node_id": "a", "output": [2]}),
        ("node_failed", {"node_id": "a", "error": "no"}),
        ("node_started", {"node_id": "a"}),
        ("node_started", {"node_id": "new"}),
    ]
    for event_type, data in contradictions:
        with pytest.raises(Conflict):
            face.create_workflow_event("run", event_type, data)
    assert types(face) == before


def test_another_worker_cannot_report_the_same_start(face: WorkflowStore) -> None:
    tell(face, [("workflow_started", {"worker": "w"}), ("node_started", {"node_id": "a", "worker": "w"})])
    for event_type, data in (("workflow_started", {}), ("node_started", {"node_id": "a"})):
        assert face.create_workflow_event("run", event_type, {**data, "worker": "w"}).type == ALSO_CALLED[event_type]
        with pytest.raises(InvalidTransition):
            face.create_workflow_event("run", event_type, {**data, "worker": "v"})


def test_of_many_that_report_the_same_all_are_given_the_one_event(face: WorkflowStore) -> None:
    for event_type, data in STORY[:3]:
        told = at_once(*[partial(face.create_workflow_event, "run", event_type, data)] * 6)
        assert told == face.list_workflow_events("run")[-1:] * 6
    assert types(face)[1:] == ["runStarted", "taskRunScheduled", "taskRunStarted", "taskRunCompleted"]


def test_a_worker_whose_run_was_taken_over_can_report_nothing_more(face: WorkflowStore) -> None:
    tell(face, [*STORY[:2], STORY[3]])
    run = face.get_workflow_run("run")
    assert run is not None
    face.resume_workflow_run("run", worker="v", force=True)
    before = types(face)
    for event_type, data in [*STORY, ("workflow_completed", {}), ("billing.charged", {})]:
        with pytest.raises(Fenced):
            face.create_workflow_event("run", event_type, data, epoch=run.epoch)
    assert types(face) == before
    assert face.create_workflow_event("run", "node_started", {"node_id": "a"}, epoch=run.epoch + 1).version


REFUSED: dict[str, tuple[str, Any, str]] = {
    "no type": ("", {}, "unknown event type ''"),
    "unknown type": ("node_exploded", {"node_id": "a"}, "unknown event type 'node_exploded'"),
    "a type that has a call of its own": ("runCreated", {}, "unknown event type 'runCreated'"),
    "no task": ("node_started", {}, "node_started of no task"),
    "an empty task": ("node_started", {"node_id": ""}, "task id is empty"),
    "a task that is no text": ("node_completed", {"node_id": 7}, "task id is int"),
    "what this type does not say": ("node_completed", {"node_id": "a", "result": 1}, "does not say 'result'"),
    "what no type says": ("workflow_started", {"speed": 1}, "does not say 'speed'"),
    "no error": ("workflow_failed", {}, "no error that can be kept"),
    "no error that can be kept": ("node_failed", {"node_id": "a", "error": {"kind": "mystery"}}, "no error that can"),
    "no fields": ("workflow_started", ["w"], "data of workflow_started is list"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_means_nothing_is_refused_and_says_why(face: WorkflowStore, case: str) -> None:
    event_type, data, why = REFUSED[case]
    head = face.store.log.head()
    with pytest.raises(InvalidInput, match=why):
        face.create_workflow_event("run", event_type, data)
    assert face.store.log.head() == head


def test_the_hint_lists_all_types_there_are(face: WorkflowStore) -> None:
    with pytest.raises(InvalidInput, match="node_exploded") as refused:
        face.create_workflow_event("run", "node_exploded")
    assert all(name in refused.value.hint for name in (*FACTS, *ALSO_CALLED, "billing.charged"))


@pytest.mark.parametrize(("event_type", "data"), [*STORY, ("billing.charged", {})])
def test_nothing_can_be_told_of_an_unknown_run(face: WorkflowStore, event_type: str, data: dict[str, Any]) -> None:
    face.create_workflow_run("flow", id="deleted")
    face.delete_workflow_run("deleted", force=True)
    head = face.store.log.head()
    for run_id in ("nobody", "deleted"):
        with pytest.raises(NotFound):
            face.create_workflow_event(run_id, event_type, data)
    assert face.store.log.head() == head


def test_an_event_id_makes_a_report_repeatable_whatever_has_come_after_it(face: WorkflowStore) -> None:
    tell(face, STORY[:5])
    event_type, data = STORY[5]
    failed = face.create_workflow_event("run", event_type, data, event_id=FIRST)
    assert failed.id == FIRST
    tell(face, [("node_retried", {"node_id": "b"}), ("node_started", {"node_id": "b"})])
    assert face.create_workflow_event("run", event_type, data, event_id=FIRST) == failed
    tell(face, [("node_completed", {"node_id": "b", "output": 2})])
    assert face.create_workflow_event("run", event_type, data, event_id=FIRST) == failed
    assert types(face)[-2:] == ["taskRunStarted", "taskRunCompleted"]
    with pytest.raises(InvalidTransition):
        face.create_workflow_event("run", event_type, data, event_id=SECOND)


def test_an_event_id_is_that_of_the_fact_and_of_no_other_event_of_its_commit(face: WorkflowStore) -> None:
    tell(face, STORY[:2])
    face.create_workflow_run("part", id="child", parent_run_id="run")
    cancelled = face.create_workflow_event("run", "workflow_cancelled", event_id=FIRST)
    assert (cancelled.id, cancelled.type, cancelled.stream) == (FIRST, "runCancelled", "run")
    child = face.get_workflow_run("child")
    assert child is not None
    assert child.status == "cancelled"


def test_an_event_id_of_something_else_is_refused(face: WorkflowStore) -> None:
    face.create_workflow_event("run", "billing.charged", {"cents": 5}, event_id=FIRST)
    with pytest.raises(DuplicateEventId):
        face.create_workflow_event("run", "workflow_started", event_id=FIRST)
    assert types(face) == ["runCreated", "billing.charged"]


LATER = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("event_type", ["workflow_started", "billing.charged"])
def test_when_it_happened_is_kept_beside_when_it_was_recorded(
    face: WorkflowStore, clock: Clock, event_type: str
) -> None:
    event = face.create_workflow_event("run", event_type, {}, time=LATER)
    assert (event.time, event.recorded_at) == (LATER, clock.time)
    with pytest.raises(InvalidInput, match="time zone"):
        face.create_workflow_event("run", event_type, {}, time=LATER.replace(tzinfo=None))


def test_a_time_is_of_one_report_only(face: WorkflowStore, clock: Clock) -> None:
    face.create_workflow_event("run", "workflow_started", {}, time=LATER)
    assert face.create_workflow_event("run", "node_started", {"node_id": "a"}).time <= clock.time
    assert LATER - clock.time > timedelta(days=1)


ERRORS: dict[str, tuple[object, Callable[[Failure], bool]]] = {
    "text": ("no", lambda failure: (failure.type, failure.message) == ("Error", "no")),
    "exception": (KeyError("k"), lambda failure: failure.type == "KeyError" and failure.traceback is not None),
    "fields": ({"message": "killed", "kind": "signal", "signal": 9}, lambda failure: failure.signal == 9),
    "failure": (Failure(type="Exit", kind="exit", exit_code=2), lambda failure: failure.exit_code == 2),
}


@pytest.mark.parametrize("form", ERRORS)
def test_an_error_can_be_said_in_several_forms(face: WorkflowStore, form: str) -> None:
    error, fits = ERRORS[form]
    tell(face, [*STORY[:2], ("node_failed", {"node_id": "a", "error": error})])
    failure = face.store.get_failure("run", "a")
    assert failure is not None
    assert fits(failure)


def test_gates_are_reported_and_decided_in_words_of_events(face: WorkflowStore) -> None:
    tell(face, [("workflow_started", {}), ("node_waiting", {"node_id": "a", "reason": "yes or no"})])
    waiting = face.create_workflow_event("run", "node_waiting", {"node_id": "a"})
    assert waiting.type == "taskRunWaiting"
    asked = ("taskRunWaiting", {"task_id": "b", "until": datetime(2027, 1, 1, tzinfo=UTC)})
    assert tell(face, [asked])[0] == tell(face, [asked])[0]
    decided: Told = [
        ("taskRunApproved", {"task_id": "a", "output": 1, "comment": "yes"}),
        ("taskRunRejected", {"task_id": "b", "reason": "no"}),
    ]
    assert tell(face, decided) == tell(face, decided)
    assert types(face)[-4:] == ["taskRunApproved", "taskRunCompleted", "taskRunRejected", "taskRunFailed"]
    with pytest.raises(Conflict, match="was rejected"):
        tell(face, [("taskRunApproved", {"task_id": "b"})])
    assert face.get_completed_dag_node_outputs("run") == {"a": 1}
