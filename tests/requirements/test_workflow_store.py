"""Workflow store: runs, their events and the outputs of their nodes, as an engine writes and resumes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from eventstore.codec import UnknownEvent
from eventstore.errors import (
    BlobMissing,
    Closed,
    Conflict,
    DuplicateEventId,
    InvalidTransition,
    InvalidValue,
    NotFound,
)
from eventstore.log import RecordedEvent
from projections import Store, WorkflowStore
from tests.stores import Clock, completed, open_again

from .damage import remove_blob


@pytest.fixture
def workflows(store: Store) -> WorkflowStore:
    """The interface to a store of each kind."""
    return WorkflowStore(store)


def begun(workflows: WorkflowStore, *nodes: str) -> WorkflowStore:
    """The same, with a run that is running, and these nodes of it at work."""
    workflows.create_workflow_run("flow", id="run", metadata={"a": {"x": 1, "y": 2}, "b": 1})
    workflows.update_workflow_run("run", status="running")
    for node in nodes:
        workflows.create_workflow_event("run", "node_started", {"node_id": node})
    return workflows


def test_s2_01_a_created_run_is_returned_as_it_is_persisted(workflows: WorkflowStore, clock: Clock) -> None:
    workflows.create_workflow_run("outer", id="parent")
    run = workflows.createWorkflowRun(
        "flow", user_message="do it", input={"n": [1]}, metadata={"team": "a"}, parent_run_id="parent"
    )
    assert (run.workflow_name, run.status, run.user_message) == ("flow", "pending", "do it")
    assert (run.metadata, run.parent_run_id) == ({"team": "a"}, "parent")
    assert run.created_at == run.updated_at
    assert run.created_at is not None
    assert run.created_at <= clock.time
    assert run.input is not None
    assert workflows.load(run.input) == {"n": [1]}
    assert workflows.getWorkflowRun(run.id) == run
    assert workflows.get_workflow_run("nobody") is None


def test_s2_01_a_run_is_durable_before_it_is_returned(lasting_store: Store, lasting: str) -> None:
    run = WorkflowStore(lasting_store).create_workflow_run("flow", metadata={"n": 1})
    with WorkflowStore.open(lasting, clock=Clock()) as other:  # another process, while this one has closed nothing
        assert other.get_workflow_run(run.id) == run


def test_s2_01_metadata_that_cannot_be_kept_is_an_error_and_no_run_is_created(workflows: WorkflowStore) -> None:
    for metadata in ({"f": object()}, {"f": float("nan")}, {"f": "\ud800"}, {"f": 2**70}, {"f": {1, 2}}):
        with pytest.raises(InvalidValue):
            workflows.create_workflow_run("flow", id="run", metadata=metadata)
    assert workflows.store.log.head() == 0


def test_s2_02_an_update_persists_status_metadata_and_outcome(workflows: WorkflowStore) -> None:
    begun(workflows)
    run = workflows.updateWorkflowRun("run", status="completed", output=[1], metadata={"by": "hand"})
    assert (run.status, run.metadata and run.metadata["by"]) == ("completed", "hand")
    assert run.output is not None
    assert workflows.load(run.output) == [1]
    assert run.updated_at == run.finished_at
    assert workflows.get_workflow_run("run") == run


def test_s2_02_an_update_of_nothing_is_no_event_and_one_of_nobody_is_not_found(workflows: WorkflowStore) -> None:
    begun(workflows)
    head = workflows.store.log.head()
    for _ in range(2):
        workflows.update_workflow_run("run")
        workflows.update_workflow_run("run", status="running", metadata={"b": 1})
    assert workflows.store.log.head() == head
    with pytest.raises(NotFound):
        workflows.update_workflow_run("nobody", metadata={"b": 1})
    assert workflows.store.log.head() == head


def test_s2_02_metadata_is_replaced_key_by_key_at_the_top(workflows: WorkflowStore) -> None:
    begun(workflows)
    run = workflows.update_workflow_run("run", metadata={"a": {"y": 3}, "c": None})
    assert run.metadata == {"a": {"y": 3}, "b": 1, "c": None}
    with pytest.raises(InvalidValue):
        workflows.update_workflow_run("run", metadata={"a": object()})
    assert workflows.get_workflow_run("run") == run


def test_s2_02_what_is_written_once_never_changes(workflows: WorkflowStore) -> None:
    begun(workflows)
    run = workflows.update_workflow_run("run", write_once={"branch": "main"})
    assert workflows.update_workflow_run("run", write_once={"branch": "main"}, metadata={"branch": "main"}) == run
    with pytest.raises(Conflict, match="branch"):
        workflows.update_workflow_run("run", metadata={"branch": "other"})
    with pytest.raises(Conflict, match="branch"):
        workflows.update_workflow_run("run", write_once={"branch": "other"})
    assert workflows.get_workflow_run("run") == run


def test_s2_02_a_run_that_has_ended_does_not_begin_again_by_an_update(workflows: WorkflowStore) -> None:
    begun(workflows).update_workflow_run("run", status="cancelled")
    with pytest.raises(InvalidTransition) as refused:
        workflows.update_workflow_run("run", status="running")
    assert (refused.value.current, refused.value.allowed) == ("cancelled", ())
    run = workflows.get_workflow_run("run")
    assert run is not None
    assert run.status == "cancelled"


def test_s2_03_events_are_numbered_without_holes_in_the_order_they_were_appended(
    workflows: WorkflowStore, clock: Clock
) -> None:
    begun(workflows)
    stored = []
    for number in range(5):
        clock.time -= timedelta(hours=1)  # whatever the clock says
        stored.append(workflows.createWorkflowEvent("run", "custom.noted", {"n": number}))
    assert [event.version for event in stored] == [3, 4, 5, 6, 7]
    assert workflows.list_workflow_events("run")[2:] == stored
    assert workflows.list_workflow_events("run", after=4, limit=2) == stored[2:4]
    assert workflows.list_workflow_events("nobody") == []


def test_s2_03_an_event_that_cannot_be_persisted_raises(workflows: WorkflowStore) -> None:
    begun(workflows)
    with pytest.raises(NotFound):
        workflows.create_workflow_event("nobody", "custom.noted", {})
    with pytest.raises(InvalidValue):
        workflows.create_workflow_event("run", "custom.noted", {"f": object()})
    workflows.store.close()
    for event_type in ("custom.noted", "workflow_completed"):
        with pytest.raises(Closed):
            workflows.create_workflow_event("run", event_type)


Again = Callable[[WorkflowStore, UUID], RecordedEvent]
TOLD_AGAIN: dict[str, Again] = {
    "of the user's own": lambda workflows, id: workflows.create_workflow_event(
        "run", "custom.noted", {"n": 1}, event_id=id, time=datetime(2026, 1, 1, tzinfo=UTC)
    ),
    "of a node": lambda workflows, id: workflows.create_workflow_event(
        "run", "node_completed", {"node_id": "a", "output": 1}, event_id=id
    ),
    "of the run": lambda workflows, id: workflows.create_workflow_event("run", "runCompleted", {}, event_id=id),
}


@pytest.mark.parametrize("kind", TOLD_AGAIN)
def test_s2_03_an_event_id_makes_it_safe_to_tell_again_what_may_have_been_heard(
    workflows: WorkflowStore, kind: str
) -> None:
    begun(workflows, "a")
    if kind == "of the run":
        workflows.create_workflow_event("run", "node_completed", {"node_id": "a"})
    first = TOLD_AGAIN[kind](workflows, UUID(int=7))
    assert first.id == UUID(int=7)
    assert TOLD_AGAIN[kind](workflows, UUID(int=7)) == first
    assert workflows.list_workflow_events("run")[-1] == first
    with pytest.raises(DuplicateEventId):
        workflows.create_workflow_event("run", "custom.other", {}, event_id=UUID(int=7))


def test_s2_03_types_that_nobody_knows_keep_what_they_say(workflows: WorkflowStore) -> None:
    begun(workflows)
    said = {"text": "one\u2028two\u0085\nthree", "numbers": [1, 1.0, -0.0, 2**63], "nothing": None}
    event = workflows.create_workflow_event("run", "acme.unheard-of", said)
    (again,) = workflows.list_workflow_events("run", after=event.version - 1)
    assert again == event
    decoded = workflows.store.codec.decode(again)
    assert isinstance(decoded, UnknownEvent)
    assert (decoded.type, workflows.store.codec.encode(decoded).data) == ("acme.unheard-of", event.data)


def test_s2_04_completed_outputs_are_keyed_by_node_in_order_of_completion(workflows: WorkflowStore) -> None:
    begun(workflows, "a", "b", "c", "d", "e")
    for node, output in (("c", None), ("a", {"n": 1}), ("e", "x" * 300_000)):
        workflows.create_workflow_event("run", "node_completed", {"node_id": node, "output": output})
    workflows.create_workflow_event("run", "node_failed", {"node_id": "b", "error": "no"})
    outputs = workflows.getCompletedDagNodeOutputs("run")
    assert list(outputs.items()) == [("c", None), ("a", {"n": 1}), ("e", "x" * 300_000)]


def test_s2_04_a_run_without_any_has_none_and_an_unknown_one_is_not_found(workflows: WorkflowStore) -> None:
    begun(workflows, "a")
    assert workflows.get_completed_dag_node_outputs("run") == {}
    with pytest.raises(NotFound):
        workflows.get_completed_dag_node_outputs("nobody")


def test_s2_04_what_cannot_be_read_is_an_error_and_never_less_than_there_is(lasting: str, folder: Path) -> None:
    with open_again(lasting, threshold=10) as store:
        workflows = begun(WorkflowStore(store), "a")
        store.schedule_task("run", "b")
        completed(store, "run", "b", "small")
        workflows.create_workflow_event("run", "node_completed", {"node_id": "a", "output": "x" * 50})
        output = store.get_output("run", "a")
        assert output is not None
        remove_blob(output.digest, lasting, folder)
        with pytest.raises(BlobMissing):
            workflows.get_completed_dag_node_outputs("run")
    with pytest.raises(Closed):
        workflows.get_completed_dag_node_outputs("run")


def test_s2_04_noise_in_a_run_costs_a_resumption_nothing(
    workflows: WorkflowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(workflows, "a")
    for number in range(50):
        workflows.create_workflow_event("run", "tool.called", {"n": number})
    workflows.create_workflow_event("run", "node_completed", {"node_id": "a", "output": 1})
    for reading in ("read", "read_all"):
        monkeypatch.setattr(workflows.store.log, reading, None)  # no event is looked at
    assert workflows.get_completed_dag_node_outputs("run") == {"a": 1}
