"""What each face gives is what its protocol says, and no more."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from eventstore.errors import Closed
from projections import IStateStore, ITaskStore, IWorkflowStore, StateStore, Store, TaskStore, WorkflowStore, open_store
from projections.face import Face
from tests.stores import Clock, address_of

FACES: list[tuple[type[Face], type]] = [
    (WorkflowStore, IWorkflowStore),
    (StateStore, IStateStore),
    (TaskStore, ITaskStore),
]
OF_THE_CLASS_ONLY = {"open"}
"""How one comes by a store differs between stores."""

DOCUMENTED = {
    "createWorkflowRun",
    "getWorkflowRun",
    "updateWorkflowRun",
    "listWorkflowRuns",
    "createWorkflowEvent",
    "listWorkflowEvents",
    "getCompletedDagNodeOutputs",
}


def methods_of(kind: type) -> dict[str, Callable[..., object]]:
    return {name: method for name, method in inspect.getmembers(kind, callable) if not name.startswith("_")}


def test_a_type_checker_takes_each_face_for_its_protocol(store: Store) -> None:
    workflows: IWorkflowStore = WorkflowStore(store)
    states: IStateStore = StateStore(store)
    tasks: ITaskStore = TaskStore(store)
    assert workflows.create_workflow_run("flow", id="run") == states.get_execution("run") == tasks.get_workflow("run")


@pytest.mark.parametrize(("face", "protocol"), FACES)
def test_a_protocol_has_every_public_method_of_its_face_with_the_same_parameters(
    face: type[Face], protocol: type
) -> None:
    own = {
        method.__name__: inspect.signature(method)
        for name, method in methods_of(face).items()
        if name not in OF_THE_CLASS_ONLY
    }
    assert own == {name: inspect.signature(method) for name, method in methods_of(protocol).items()}


def test_the_documents_names_are_the_same_methods() -> None:
    aliases = {name: method for name, method in methods_of(WorkflowStore).items() if name != name.lower()}
    assert aliases.keys() >= DOCUMENTED
    for name, method in aliases.items():
        assert "".join("_" + letter.lower() if letter.isupper() else letter for letter in name) == method.__name__
    plain = [name for name in methods_of(IWorkflowStore) if "workflow" in name or "dag" in name]
    assert len(aliases) == len(plain)


@pytest.mark.parametrize("face", [face for face, _ in FACES])
def test_a_face_closes_what_it_has_opened(face: type[Face], backend: str, folder: Path) -> None:
    address = address_of(backend, folder)
    with face.open(address, durability="none", clock=Clock()) as opened:
        opened.store.create_run("flow", run_id="run")
        assert repr(opened).startswith(f"<{face.__name__} {backend[:6]}")
    opened.close()
    with pytest.raises(Closed):
        opened.store.get_run("run")


@pytest.mark.parametrize("face", [face for face, _ in FACES])
def test_a_face_leaves_a_store_open_that_it_was_given(face: type[Face]) -> None:
    with open_store("memory:") as store:
        with face(store):
            pass
        assert store.get_run("run") is None
