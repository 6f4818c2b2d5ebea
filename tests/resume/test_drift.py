"""How a workflow's definition has changed under a run of it, and what a caller can do about that."""

from __future__ import annotations

import pytest

from eventstore.errors import InvalidInput, NotFound
from projections import Drift, Store, Task
from projections.drift import Changed
from tests.stores import check_views, completed, run_of

FIRST = {"fetch": "f1", "join": "j1", "post": "p1"}


def scheduled(store: Store, fingerprints: dict[str, str] = FIRST) -> None:
    store.schedule_tasks("run", [Task(task_id, fingerprint=text) for task_id, text in fingerprints.items()])


def test_what_is_as_it_was_has_not_drifted(store: Store) -> None:
    run_of(store)
    scheduled(store)
    found = store.drift("run", FIRST)
    assert found == Drift("run")
    assert not found


def test_added_removed_and_changed_tasks_are_told_apart(store: Store) -> None:
    run_of(store)
    scheduled(store)
    completed(store, "run", "join")
    head = store.log.head()
    found = store.drift("run", {"new": "n1", "join": "j2", "post": "p1", "newer": "n2"})
    assert found == Drift(
        "run", added=("new", "newer"), removed=("fetch",), changed=(Changed("join", "j1", "j2", "completed"),)
    )
    assert found
    assert store.log.head() == head


def test_of_a_task_without_a_fingerprint_nobody_can_say_whether_it_has_changed(store: Store) -> None:
    run_of(store, "plain")
    store.schedule_task("run", "strange", metadata={"fingerprint": 7})
    found = store.drift("run", {"plain": "x", "strange": "y"})
    assert (found.unknown, bool(found)) == (("plain", "strange"), False)


def test_a_fingerprint_is_kept_as_metadata(store: Store) -> None:
    run_of(store)
    task = store.schedule_task("run", "a", metadata={"team": "data"}, fingerprint="f1")
    assert task.metadata == {"team": "data", "fingerprint": "f1"}
    assert store.schedule_task("run", "b", metadata={"fingerprint": "f1"}).metadata == {"fingerprint": "f1"}
    assert not store.drift("run", {"a": "f1", "b": "f1"})
    head = store.log.head()
    for fingerprint, metadata in (("", None), ("a\0b", None), ("f2", {"fingerprint": "f1"})):
        with pytest.raises(InvalidInput, match="fingerprint"):
            store.schedule_task("run", "c", metadata=metadata, fingerprint=fingerprint)
    assert store.log.head() == head


def test_to_go_on_as_it_is_needs_nothing(store: Store) -> None:
    run_of(store)
    scheduled(store)
    completed(store, "run", "fetch", 1)
    assert store.drift("run", {**FIRST, "fetch": "f2"})
    assert [task.task_id for task in store.resume("run").plan.reusable] == ["fetch"]


def test_what_runs_again_under_its_new_definition_has_drifted_no_more(store: Store) -> None:
    run_of(store)
    scheduled(store)
    store.schedule_task("run", "end", depends_on=["fetch"], fingerprint="e1")
    completed(store, "run", "fetch", 1)
    completed(store, "run", "end", 1)
    now = {**FIRST, "end": "e1", "fetch": "f2"}
    for changed in store.drift("run", now).changed:
        store.rerun_from("run", changed.task_id, reason="its definition has changed")
    version = store.log.version("run")
    scheduled(store, {**FIRST, "fetch": "f2"})
    scheduled(store, {**FIRST, "fetch": "f2"})
    assert [event.type for event in store.log.read("run", after=version)] == ["taskRunUpdated"]
    assert not store.drift("run", now)
    assert [task.task_id for task in store.list_task_runs("run")] == ["fetch", "join", "post", "end"]
    check_views(store)


@pytest.mark.parametrize("status", ["running", "completed"])
def test_what_is_or_was_made_under_the_old_definition_keeps_its_fingerprint(store: Store, status: str) -> None:
    run_of(store)
    scheduled(store)
    attempt = store.start_task("run", "fetch").attempt
    if status == "completed":
        store.complete_task("run", "fetch", 1, attempt=attempt)
    head = store.log.head()
    scheduled(store, {**FIRST, "fetch": "f2"})
    assert store.log.head() == head
    assert store.drift("run", {**FIRST, "fetch": "f2"}).changed == (Changed("fetch", "f1", "f2", status),)


def test_a_fingerprint_can_be_any_text_without_nul(store: Store) -> None:
    run_of(store)
    texts = {"unicode": "ü\u2028🦄", "long": "x" * 500}
    scheduled(store, texts)
    head = store.log.head()
    scheduled(store, texts)
    assert (store.drift("run", texts), store.log.head()) == (Drift("run"), head)


def test_a_run_there_is_not_has_no_drift(store: Store) -> None:
    with pytest.raises(NotFound):
        store.drift("run", {})
    run_of(store)
    assert store.drift("run", {}) == Drift("run")
    store.delete_run("run", force=True)
    with pytest.raises(NotFound, match="run"):
        store.drift("run", {})
