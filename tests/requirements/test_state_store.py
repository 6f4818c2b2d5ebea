"""State store: workflows, executions, task runs and attempts are saved, found again, and changed all or nothing."""

from __future__ import annotations

import inspect
from functools import partial

import pytest

from eventstore.errors import Conflict, InvalidTransition, NotFound, WrongExpectedVersion
from eventstore.log import Append, NewEvent
from eventstore.testing import LogContract, PersistentLogContract, consuming, following
from projections import IStateStore, Run, StateStore, Store
from tests.commands.test_concurrency import at_once
from tests.stores import Clock


@pytest.fixture
def states(store: Store) -> StateStore:
    """The interface to a store of each kind."""
    return StateStore(store)


def begun(states: StateStore) -> None:
    """An execution that is running."""
    states.create_execution(workflow_name="flow", execution_id="run")
    states.update_execution("run", "running", worker="first")


def test_s1_01_every_backend_gives_the_whole_interface(states: StateStore) -> None:
    interface: IStateStore = states
    assert interface.list_executions("nothing") == []


def test_s1_01_a_log_that_lacks_the_methods_fails_the_suite_that_others_can_import() -> None:
    assert issubclass(PersistentLogContract, LogContract)  # what only some can promise is a suite of its own
    checks = [check for name, check in inspect.getmembers(LogContract) if name.startswith("test_")]
    simple = [check for check in checks if list(inspect.signature(check).parameters) == ["self", "log"]]
    of_the_log = [check for check in simple if check.__module__ not in (following.__name__, consuming.__name__)]
    assert len(of_the_log) > 20
    for check in of_the_log:
        with pytest.raises(AttributeError):
            check(LogContract(), object())


def test_s1_02_saving_a_workflow_keeps_its_definition_with_id_and_metadata(states: StateStore) -> None:
    definition = {"nodes": [{"id": "a", "needs": []}], "limit": 1.5, "big": "x" * 100_000}
    saved = states.save_workflow("w", definition, name="Letters", metadata={"tags": ["post"]})
    assert (saved.id, saved.name, saved.version, saved.metadata) == ("w", "Letters", 1, {"tags": ["post"]})
    assert saved.definition is not None
    assert states.load(saved.definition) == definition
    assert len(saved.hash) == 64


def test_s1_02_identical_content_is_no_new_version_whatever_its_metadata(states: StateStore) -> None:
    first = states.save_workflow("w", {"a": 1, "b": 2}, metadata={"tags": []})
    head = states.store.log.head()
    assert states.save_workflow("w", {"b": 2, "a": 1}, metadata={"tags": []}) == first
    assert states.store.log.head() == head
    retagged = states.save_workflow("w", {"a": 1, "b": 2}, metadata={"tags": ["new"]})
    assert (retagged.version, retagged.hash, retagged.metadata) == (1, first.hash, {"tags": ["new"]})
    changed = states.save_workflow("w", {"a": 1, "b": 3})
    assert (changed.version, changed.hash != first.hash) == (2, True)
    assert [(each.version, each.hash) for each in states.list_workflow_versions("w")] == [
        (1, first.hash),
        (2, changed.hash),
    ]


def test_s1_02_executions_pin_the_version_they_were_created_with(states: StateStore) -> None:
    first = states.save_workflow("w", [1])
    states.create_execution("w", execution_id="old")
    states.save_workflow("w", [1], metadata={"tags": ["changed"]})
    second = states.save_workflow("w", [2])
    states.create_execution("w", execution_id="new")
    pins = [(run.workflow_id, run.workflow_version, run.workflow_hash) for run in states.list_executions("w")]
    assert pins == [("w", 1, first.hash), ("w", 2, second.hash)]
    states.update_execution("old", "running")  # what it was made from has been changed since: it goes on
    states.update_execution("old", "completed")


def test_s1_03_a_workflow_is_found_by_id_by_version_and_by_hash(states: StateStore) -> None:
    saved = [states.save_workflow("w", [number]) for number in range(3)]
    found = [
        states.get_workflow("w"),
        states.get_workflow("w", version=2),
        states.get_workflow("w", hash=saved[0].hash),
    ]
    assert [workflow and workflow.version for workflow in found] == [3, 2, 1]
    assert [workflow and workflow.definition and states.load(workflow.definition) for workflow in found] == [
        [2],
        [1],
        [0],
    ]


def test_s1_03_nothing_is_found_of_what_is_missing_or_deleted(states: StateStore) -> None:
    workflow = states.save_workflow("w", [1])
    assert states.get_workflow("other") is None
    assert states.get_workflow("w", version=2) is None
    assert states.get_workflow("w", hash="0" * 64) is None
    states.delete_workflow("w")
    assert states.get_workflow("w") is None
    assert states.get_workflow("w", hash=workflow.hash) is None
    kept = states.get_workflow("w", version=1, include_deleted=True)
    assert kept is not None
    assert kept.hash == workflow.hash


def test_s1_03_what_is_returned_is_a_copy(states: StateStore) -> None:
    states.save_workflow("w", {"nodes": ["a"]}, metadata={"tags": ["x"]})
    workflow = states.get_workflow("w")
    assert workflow is not None
    assert workflow.definition is not None
    assert workflow.metadata is not None
    states.load(workflow.definition)["nodes"].append("b")
    workflow.metadata["tags"].append("y")
    again = states.get_workflow("w")
    assert again is not None
    assert again.definition is not None
    assert (states.load(again.definition), again.metadata) == ({"nodes": ["a"]}, {"tags": ["x"]})


def test_s1_04_a_new_execution_is_pending_under_an_id_of_its_own_or_the_callers(states: StateStore) -> None:
    given = states.create_execution(workflow_name="flow", execution_id="run", input=[1], metadata={"n": 1})
    assert (given.id, given.status, given.metadata) == ("run", "pending", {"n": 1})
    made = [states.create_execution(workflow_name="flow").id for _ in range(2)]
    assert len({"run", *made}) == 3
    assert states.get_execution("run") == given


def test_s1_04_the_same_execution_again_is_the_one_there_is_and_another_one_a_conflict(states: StateStore) -> None:
    states.save_workflow("w", [1])
    first = states.create_execution("w", execution_id="run", input=[1])
    states.save_workflow("w", [2])
    head = states.store.log.head()
    assert states.create_execution("w", execution_id="run", input=[1]) == first
    with pytest.raises(Conflict):
        states.create_execution("w", execution_id="run", input=[2])
    assert states.store.log.head() == head


def test_s1_04_an_unknown_workflow_is_refused_only_if_definitions_are_required(states: StateStore) -> None:
    assert states.create_execution("unsaved", execution_id="run").workflow_id == "unsaved"
    with pytest.raises(NotFound):
        states.create_execution("unsaved", require_workflow=True)
    assert [run.id for run in states.list_executions("unsaved")] == ["run"]


def test_s1_05_a_change_of_state_and_what_belongs_to_it_are_one_commit(states: StateStore) -> None:
    begun(states)
    head = states.store.log.head()
    updated = states.update_execution("run", "completed", output={"n": 1}, metadata={"by": "hand"})
    assert (updated.status, updated.metadata, updated.finished_at is not None) == ("completed", {"by": "hand"}, True)
    assert len({event.commit for event in states.store.log.read_all(after=head)}) == 1


def test_s1_05_of_several_writers_one_wins_and_the_others_learn_what_is_there(states: StateStore) -> None:
    begun(states)
    ends = [partial(states.update_execution, "run", "completed", output=number) for number in range(8)]
    results = at_once(*ends)
    (winner,) = [number for number, result in enumerate(results) if isinstance(result, Run)]
    run = states.get_execution("run")
    assert run is not None
    assert run.output is not None
    assert states.load(run.output) == winner
    with pytest.raises(WrongExpectedVersion) as refused:
        states.store.log.append([Append("run", [NewEvent(type="custom.note", data=b"1")], expected=1)])
    assert (refused.value.stream, refused.value.expected, refused.value.actual) == ("run", 1, 3)


def test_s1_05_a_forbidden_transition_names_both_states_and_the_allowed_ones(states: StateStore) -> None:
    states.create_execution(workflow_name="flow", execution_id="run")
    with pytest.raises(InvalidTransition) as refused:
        states.update_execution("run", "completed")
    assert (refused.value.current, refused.value.wanted) == ("pending", "completed")
    assert refused.value.allowed == ("cancelled", "failed", "running")
    states.update_execution("run", "cancelled")
    head = states.store.log.head()
    for state in ("running", "waiting", "completed", "pending"):
        with pytest.raises(InvalidTransition):
            states.update_execution("run", state)
    assert states.store.log.head() == head


def test_s1_06_executions_of_a_workflow_are_in_order_of_creation(states: StateStore, clock: Clock) -> None:
    states.save_workflow("w", [1])
    for number in (3, 1, 2):
        clock.time -= clock.step * number  # a clock that is set back changes no order, nor do equal times
        states.create_execution("w", execution_id=str(number))
        states.save_workflow("w", [number])
    states.create_execution("v", execution_id="other")
    states.create_execution("w", execution_id="deleted")
    states.delete_execution("deleted", force=True)
    assert [run.id for run in states.list_executions("w")] == ["3", "1", "2"]
    assert [run.id for run in states.list_executions("w", newest_first=True)] == ["2", "1", "3"]
    assert {run.workflow_version for run in states.list_executions("w")} == {1, 2, 3}


def test_s1_06_deleting_a_definition_keeps_its_executions(states: StateStore) -> None:
    states.save_workflow("w", [1])
    run = states.create_execution("w")
    states.delete_workflow("w")
    assert states.list_executions("w") == [run]
