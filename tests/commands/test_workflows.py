"""Workflow definitions: versions by content, with their history, and runs that hold on to what they were made from."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import Any

import pytest

from eventstore.errors import InvalidValue, NotFound
from eventstore.events import WORKFLOW_STREAM
from projections import Store, Workflow, open_store
from projections.rows import json_digest
from tests.stores import Clock, check_views

from .test_concurrency import WORKERS, at_once

STEPS: dict[str, Any] = {"steps": ["fetch", "clean", "report"], "retries": 3}
SHUFFLED: dict[str, Any] = {"retries": 3, "steps": ["fetch", "clean", "report"]}


def events_of(store: Store, workflow_id: str) -> list[str]:
    return [event.type for event in store.log.read(WORKFLOW_STREAM + workflow_id)]


def definition_of(store: Store, workflow: Workflow | None) -> Any:
    assert workflow is not None
    assert workflow.definition is not None
    return store.load(workflow.definition)


def test_a_definition_is_returned_as_it_is_kept(store: Store) -> None:
    saved = store.save_workflow("w", STEPS, name="Weekly", metadata={"tags": ["a"]})
    assert (saved.id, saved.name, saved.version, saved.metadata) == ("w", "Weekly", 1, {"tags": ["a"]})
    assert saved.hash == json_digest(STEPS)
    assert saved == store.get_workflow("w")
    assert definition_of(store, saved) == STEPS
    assert store.list_workflows() == [saved]


def test_the_same_content_is_no_new_version_and_no_event(store: Store) -> None:
    first = store.save_workflow("w", STEPS, name="Weekly", metadata={"a": 1, "b": 2})
    in_tuples = {**STEPS, "steps": tuple(STEPS["steps"])}
    for definition, metadata in (
        (STEPS, {"b": 2, "a": 1}),
        (SHUFFLED, {"a": 1, "b": 2}),
        (in_tuples, {"a": 1, "b": 2}),
    ):
        assert store.save_workflow("w", definition, name="Weekly", metadata=metadata) == first
    assert events_of(store, "w") == ["workflowSaved"]


def test_the_order_of_a_list_and_the_kind_of_a_number_are_content(store: Store) -> None:
    contents = ([1, 2], [2, 1], [2, 1.0], [2, True], [2, "1"], {"2": 1}, None)
    hashes = [store.save_workflow("w", content).hash for content in contents]
    assert len(set(hashes)) == len(contents)
    assert [version.version for version in store.list_workflow_versions("w")] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("before", [{}, {"tags": ["old"]}])
def test_metadata_and_name_are_no_part_of_the_content(store: Store, before: dict[str, object]) -> None:
    first = store.save_workflow("w", STEPS, name="Weekly", metadata=before)
    second = store.save_workflow("w", SHUFFLED, name="Every week", metadata={"tags": ["new"]})
    assert (second.version, second.hash, second.definition) == (first.version, first.hash, first.definition)
    assert (second.name, second.metadata) == ("Every week", {"tags": ["new"]})
    third = store.save_workflow("w", STEPS, name="Every week")
    assert (third.version, third.metadata) == (1, None)
    assert events_of(store, "w") == ["workflowSaved"] * 3
    (version,) = store.list_workflow_versions("w")
    assert (version.name, version.metadata) == ("Every week", None)


def test_metadata_that_python_takes_for_equal_still_differ(store: Store) -> None:
    for value in (1, True, 1.0):
        store.save_workflow("w", STEPS, metadata={"value": value})
    assert len(events_of(store, "w")) == 3


def test_other_content_is_a_new_version_and_the_old_ones_stay(store: Store) -> None:
    contents = ["a", "b", "c"]
    saved = [store.save_workflow("w", content, name=content, metadata={"is": content}) for content in contents]
    assert [workflow.version for workflow in saved] == [1, 2, 3]
    assert store.get_workflow("w") == saved[-1]
    versions = store.list_workflow_versions("w")
    assert [version.hash for version in versions] == [workflow.hash for workflow in saved]
    for workflow, version, content in zip(saved, versions, contents, strict=True):
        assert (version.name, version.metadata, version.saved_at) == (content, {"is": content}, workflow.saved_at)
        assert version.definition
        assert store.load(version.definition) == content


def test_a_return_to_older_content_is_a_new_version(store: Store) -> None:
    first, second, third = (store.save_workflow("w", content) for content in ("a", "b", "a"))
    assert (third.version, third.hash) == (3, first.hash)
    assert store.get_workflow_version("w", hash=first.hash) == store.get_workflow_version("w", version=3)
    assert store.get_workflow_version("w", hash=second.hash) == store.get_workflow_version("w", version=2)


def test_a_version_is_found_by_number_by_hash_and_by_both(store: Store) -> None:
    first, second, third = (store.save_workflow("w", content) for content in ("a", "b", "a"))
    versions = store.list_workflow_versions("w")
    assert store.get_workflow_version("w") == versions[2]
    assert store.get_workflow_version("w", version=1, hash=third.hash) == versions[0]
    assert store.get_workflow_version("w", version=2, hash=first.hash) is None
    assert store.get_workflow_version("w", version=4) is store.get_workflow_version("w", version=0) is None
    assert store.get_workflow_version("w", hash="unknown") is store.get_workflow_version("x", hash=second.hash) is None


def test_what_is_unknown_is_none_or_empty_and_deleting_it_is_an_error(store: Store) -> None:
    assert (store.get_workflow("w"), store.get_workflow_version("w")) == (None, None)
    assert store.list_workflows() == []
    assert store.list_workflow_versions("w") == []
    with pytest.raises(NotFound, match="no workflow 'w'"):
        store.delete_workflow("w")
    assert store.log.head() == 0


def test_a_deleted_definition_is_hidden_and_its_versions_can_be_read(store: Store) -> None:
    for content in ("a", "b"):
        store.save_workflow("w", content)
    store.save_workflow("kept", "c")
    versions = store.list_workflow_versions("w")
    deleted = store.delete_workflow("w", "replaced")
    assert deleted.deleted_at is not None
    assert store.delete_workflow("w") == deleted
    assert store.get_workflow("w") is None
    assert store.get_workflow("w", include_deleted=True) == deleted
    assert [workflow.id for workflow in store.list_workflows()] == ["kept"]
    assert [workflow.id for workflow in store.list_workflows(include_deleted=True)] == ["kept", "w"]
    assert store.list_workflow_versions("w") == versions
    assert store.get_workflow_version("w", version=1) == versions[0]
    assert events_of(store, "w") == ["workflowSaved", "workflowSaved", "workflowDeleted"]


def test_deleting_a_definition_keeps_its_runs(store: Store) -> None:
    saved = store.save_workflow("w", STEPS, name="Weekly")
    run = store.create_run(
        "Weekly", run_id="run", workflow_id="w", workflow_version=saved.version, workflow_hash=saved.hash
    )
    store.start_run("run")
    store.delete_workflow("w")
    assert [run.id for run in store.list_runs(workflow_id="w")] == ["run"]
    assert store.complete_run("run").status == "completed"
    pinned = store.get_workflow_version("w", version=run.workflow_version, hash=run.workflow_hash)
    assert pinned is not None
    assert pinned.definition is not None
    assert store.load(pinned.definition) == STEPS


def test_a_new_version_and_other_metadata_change_nothing_for_runs_there_are(store: Store) -> None:
    saved = store.save_workflow("w", "a", metadata={"tags": []})
    run = store.create_run("w", workflow_id="w", workflow_version=saved.version, workflow_hash=saved.hash)
    store.save_workflow("w", "a", metadata={"tags": ["urgent"]})
    store.save_workflow("w", "b")
    assert store.get_run(run.id) == run
    again = store.get_workflow_version("w", version=run.workflow_version, hash=run.workflow_hash)
    assert again is not None
    assert again.metadata == {"tags": ["urgent"]}


def test_saving_a_deleted_definition_brings_it_back(store: Store) -> None:
    first = store.save_workflow("w", "a", metadata={"a": 1})
    store.delete_workflow("w")
    again = store.save_workflow("w", "a", metadata={"a": 1})
    assert (again.version, again.hash, again.deleted_at) == (1, first.hash, None)
    assert again == store.get_workflow("w")
    store.delete_workflow("w")
    assert store.save_workflow("w", "b").version == 2
    check_views(store)


def test_changing_what_was_returned_changes_nothing_that_is_kept(store: Store) -> None:
    saved = store.save_workflow("w", STEPS, metadata={"tags": []})
    definition = definition_of(store, saved)
    definition["steps"].clear()
    assert saved.metadata is not None
    saved.metadata["tags"].append("changed")
    with pytest.raises(AttributeError):
        saved.name = "changed"  # type: ignore[misc]  # it cannot be assigned
    found = store.get_workflow("w")
    assert found is not None
    assert (definition_of(store, found), found.metadata) == (STEPS, {"tags": []})


def test_a_large_definition_is_kept_whole(lasting: str) -> None:
    definition = {"steps": [f"step {number}" for number in range(100)]}
    with open_store(lasting, durability="none", threshold=100) as store:
        saved = store.save_workflow("w", definition)
        assert saved.definition is not None
        assert saved.definition.preview
        assert store.save_workflow("w", {**definition}) == saved
        assert store.save_workflow("w", definition, name="Large").definition == saved.definition
    with open_store(lasting, durability="none") as store:
        assert definition_of(store, store.get_workflow("w")) == definition
        assert store.save_workflow("w", definition, name="Large").version == 1
        assert store.verify().clean


def test_definitions_of_other_ids_are_not_mixed_in(store: Store) -> None:
    for workflow_id in ("a", "a/b", "ä", "$run", " "):
        assert store.save_workflow(workflow_id, workflow_id).version == 1
    store.delete_workflow("a")
    assert [workflow.id for workflow in store.list_workflows()] == [" ", "$run", "a/b", "ä"]
    assert store.list_runs() == []
    check_views(store)


@pytest.mark.parametrize("workflow_id", ["", "a\0b", "\ud800", "x" * 1025])
def test_ids_that_nothing_could_be_kept_under_are_refused(store: Store, workflow_id: str) -> None:
    with pytest.raises(ValueError, match="workflow id"):
        store.save_workflow(workflow_id, STEPS)
    assert store.log.head() == 0


@pytest.mark.parametrize("bad", [float("nan"), {"a": object()}, 2**70])
def test_a_definition_that_cannot_be_kept_exactly_is_refused(store: Store, bad: object) -> None:
    with pytest.raises(InvalidValue):
        store.save_workflow("w", bad)
    with pytest.raises(InvalidValue):
        store.save_workflow("w", STEPS, metadata={"bad": bad})
    assert store.log.head() == 0


def test_savers_of_one_content_get_one_version(store: Store) -> None:
    results = at_once(*[partial(store.save_workflow, "w", STEPS)] * WORKERS)
    assert results == [store.get_workflow("w")] * WORKERS
    assert events_of(store, "w") == ["workflowSaved"]


def test_savers_of_different_contents_get_a_version_each(store: Store) -> None:
    results = at_once(*(partial(store.save_workflow, "w", number) for number in range(WORKERS)))
    saved = [result for result in results if isinstance(result, Workflow)]
    assert sorted(workflow.version for workflow in saved) == list(range(1, WORKERS + 1))
    assert [definition_of(store, workflow) for workflow in saved] == list(range(WORKERS))
    assert [version.hash for version in store.list_workflow_versions("w")] == [
        workflow.hash for workflow in sorted(saved, key=lambda workflow: workflow.version)
    ]


def test_two_programs_that_save_at_once_both_win(lasting: str) -> None:
    with open_store(lasting, durability="none") as one, open_store(lasting, durability="none") as two:
        results = at_once(
            *(partial(store.save_workflow, "w", [store is one, n]) for n in range(4) for store in (one, two))
        )
        assert sorted(result.version for result in results if isinstance(result, Workflow)) == list(range(1, 9))
        assert one.list_workflow_versions("w") == two.list_workflow_versions("w")


def test_who_saved_is_noted_with_the_event(store: Store, clock: Clock) -> None:
    saved = store.acting(actor="me").save_workflow("w", STEPS)
    (event,) = store.log.read(f"{WORKFLOW_STREAM}w")
    assert (event.meta["actor"], event.time) == ("me", saved.saved_at)


def test_definitions_are_made_again_from_the_log(store: Store) -> None:
    for content in ("a", "b"):
        store.save_workflow("w", content, name=content)
    store.delete_workflow("w")
    before = store.list_workflows(include_deleted=True), store.list_workflow_versions("w")
    store.rebuild()
    assert (store.list_workflows(include_deleted=True), store.list_workflow_versions("w")) == before


def test_the_hash_is_that_of_the_names_in_order_without_spaces_and_in_ascii() -> None:
    one_form = rb'{"a":null,"b":["\u00fc",1.5]}'
    assert json_digest({"b": ["ü", 1.5], "a": None}) == sha256(one_form).hexdigest()
