"""A value that would not come back as it is, is refused before anything is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from eventstore.errors import Conflict, InvalidInput, InvalidValue, TooLarge
from eventstore.payload import Values
from projections import Store
from tests.stores import completed, open_again, run_of

BAD: dict[str, tuple[Any, str]] = {
    "NaN": ([1, math.nan], "$[1]"),
    "infinity": ({"x": {"y": math.inf}}, "$.x.y"),
    "integer beyond 64 bits": ([[2**64]], "$[0][0]"),
    "lone surrogate": ({"text": "\udc80"}, "$.text"),
    "object": ({"when": object()}, "$.when"),
    "set": ({1, 2}, "$"),
    "bytes": (b"abc", "$"),
    "keys that collide": ({1: "a", "1": "b"}, "$"),
}
COMMANDS: dict[str, Callable[[Store, Any], object]] = {
    "input of a run": lambda store, value: store.create_run("flow", run_id="new", input=value),
    "metadata of a run": lambda store, value: store.create_run("flow", run_id="new", metadata={"m": value}),
    "input of a task": lambda store, value: store.schedule_task("run", "new", input=value),
    "metadata of a task": lambda store, value: store.schedule_task("run", "new", metadata={"m": value}),
    "output of a task": lambda store, value: store.complete_task("run", "a", value),
    "output of a run": lambda store, value: store.complete_run("run", value),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.parametrize(("value", "path"), BAD.values(), ids=BAD.keys())
def test_a_value_that_cannot_be_kept_is_refused_by_its_path(
    store: Store, command: Callable[[Store, Any], object], value: Any, path: str
) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    head = store.log.head()
    with pytest.raises(InvalidValue) as caught:
        command(store, value)
    assert caught.value.path.replace("$.m", "$", 1) == path
    assert store.log.head() == head


WRONG_TYPES: dict[str, Callable[[Any], object]] = {
    "message": lambda store: store.create_run("flow", user_message=None),
    "workflow version": lambda store: store.create_run("flow", workflow_version=2**63),
    "worker": lambda store: store.start_task("run", "a", worker=7),
    "usage": lambda store: store.fail_task("run", "b", "no", usage={"tokens": "many"}),
    "usage that is no number": lambda store: store.fail_task("run", "b", "no", usage={"cost": math.nan}),
    "time without a zone": lambda store: store.wait_run("run", "later", until=datetime(2026, 1, 1)),
}


@pytest.mark.parametrize("command", WRONG_TYPES.values(), ids=WRONG_TYPES.keys())
def test_what_no_reader_could_read_is_refused(store: Store, command: Callable[[Any], object]) -> None:
    run_of(store, "a", "b")
    store.start_task("run", "b")
    head = store.log.head()
    with pytest.raises(InvalidValue):
        command(store)
    assert store.log.head() == head
    assert store.get_run("run") is not None


AFTER_ALL = datetime.max.replace(tzinfo=timezone(-timedelta(hours=12)))
IMPOSSIBLE: dict[str, Callable[[Any], object]] = {
    "NUL in a run id": lambda store: store.get_run("a\0b"),
    "NUL in a task id": lambda store: store.complete_task("run", "a\0b"),
    "NUL in a tag": lambda store: store.board.list(tags=["a\0b"]),
    "NUL in a parent": lambda store: store.list_runs(parent="a\0b"),
    "NUL in a run to purge": lambda store: store.purge_run("a\0b"),
    "lone surrogate in a run to purge": lambda store: store.purge_run("\ud800"),
    "list for an id": lambda store: store.start_run(["run"]),
    "bytes for an id": lambda store: store.get_run(b"run"),
    "number for an id": lambda store: store.get_run(7),
    "number for a task": lambda store: store.complete_task("run", 7),
    "list for a run to cancel": lambda store: store.cancel_run(["run"]),
    "number for a run to purge": lambda store: store.purge_run(7),
    "number for runs to purge": lambda store: store.purge_named(7),
    "number for a parent": lambda store: store.list_runs(parent=7),
    "number for a workflow": lambda store: store.list_runs(workflow=7),
    "number for a definition": lambda store: store.delete_workflow(7),
    "number for a hash": lambda store: store.get_workflow_version("w", hash=7),
    "number for the name of a definition": lambda store: store.save_workflow("w", {}, name=7),
    "number for a run's telemetry": lambda store: store.telemetry(7),
    "number for an assignee": lambda store: store.board.list(assignee=7),
    "number for a task of the board": lambda store: store.board.purge(7),
    "number for what needs a task": lambda store: store.board.dependents(7),
    "text for a priority": lambda store: store.board.list(priority="high"),
    "number for statuses": lambda store: store.list_runs(status=7),
    "text for an attempt": lambda store: store.get_attempt("run", "a", "first"),
    "text for a version": lambda store: store.get_workflow_version("w", version="1"),
    "text for a cursor": lambda store: store.list_recoverable(after="x"),
    "text for runs to recover": lambda store: store.recover("w", 60, limit="all"),
    "text for a batch": lambda store: store.purge_runs(ended_before=datetime.now(UTC), batch="all"),
    "number for what is consumed": lambda store: store.wait_task("run", "b", "approval", consumes=7),
    "number for dependencies": lambda store: store.schedule_task("run", "c", depends_on=7),
    "number for tasks": lambda store: store.schedule_tasks("run", 7),
    "number for fingerprints": lambda store: store.drift("run", 7),
    "number for a point": lambda store: store.diff("run", 7),
    "number for a predicate": lambda store: store.bisect("run", 7),
    "text for what is told of progress": lambda store: store.verify(progress="x"),
    "text for a report": lambda store: store.repair("x"),
    "number for types": lambda store: store.follow(types=7),
    "text for where to follow from": lambda store: store.follow(after="x"),
    "number for a reason to reject": lambda store: store.reject_task("run", "a", 7),
    "text for whether to retry": lambda store: store.fail_task("run", "a", "no", retryable="yes"),
    "list for a task": lambda store: store.get_task_run("run", ["a"]),
    "number for the id of a new run": lambda store: store.create_run("flow", run_id=7),
    "number for a title": lambda store: store.board.create(7),
    "number for tags": lambda store: store.board.create("Paint", tags=7),
    "number in tags": lambda store: store.board.list(tags=[7]),
    "huge priority": lambda store: store.board.list(priority=2**63),
    "huge attempt": lambda store: store.get_attempt("run", "a", -(2**70)),
    "fraction of a limit": lambda store: store.page_runs(limit=1.5),
    "fraction of an offset": lambda store: store.page_runs(offset=1.5),
    "fraction of tasks": lambda store: store.board.list(limit=1.5),
    "text for a limit": lambda store: store.list_runs(limit=""),
    "fraction of a version": lambda store: store.as_of("run", version=1.5),
    "text for metadata": lambda store: store.create_run("flow", metadata="text"),
    "text for metadata to look for": lambda store: store.list_runs(metadata="text"),
    "text for a lease": lambda store: store.start_run("run", lease="600"),
    "text for a time": lambda store: store.purge_runs(ended_before="2026-01-01"),
    "time outside of UTC": lambda store: store.purge_runs(ended_before=AFTER_ALL),
    "text for the end of a task": lambda store: store.finish_run("run", "failed", tasks={"a": "failed"}, error="no"),
    "text for a task": lambda store: store.schedule_tasks("run", ["b"]),
    "no error": lambda store: store.fail_task("run", "a", None),
    "list for a status": lambda store: store.update_run("run", status=["failed"]),
}


@pytest.mark.parametrize("ask", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_what_nobody_can_mean_is_refused_alike_by_every_store(store: Store, ask: Callable[[Any], object]) -> None:
    run_of(store, "a", "b")
    store.start_task("run", "a")
    head = store.log.head()
    with pytest.raises(InvalidInput) as caught:
        ask(store)
    assert caught.value.hint
    assert store.log.head() == head


def test_an_output_that_is_too_large_is_refused_and_the_run_can_still_be_failed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    monkeypatch.setattr(store, "_values", Values(store.values.blobs, max_bytes=1_000))
    head = store.log.head()
    with pytest.raises(TooLarge) as caught:
        store.complete_task("run", "a", "x" * 1_000)
    assert "1,002 bytes" in str(caught.value)
    assert store.log.head() == head
    store.fail_task("run", "a", caught.value)
    assert store.fail_run("run", caught.value).status == "failed"


def test_a_refused_completion_leaves_the_attempt_running(store: Store) -> None:
    run_of(store, "a")
    attempt = store.start_task("run", "a").attempt
    with pytest.raises(InvalidValue):
        store.complete_task("run", "a", math.nan, attempt=attempt)
    assert store.complete_task("run", "a", None, attempt=attempt).status == "completed"


def test_a_blob_that_nothing_came_to_refer_to_does_no_harm(folder: Path) -> None:
    with open_again(folder, threshold=10) as store:
        run_of(store, "a")
        completed(store, "run", "a", 1)
        with pytest.raises(Conflict, match="another output"):
            store.complete_task("run", "a", "x" * 100)
        assert [finding.code for finding in store.verify().findings] == ["blob-unreferenced"]
        assert store.get_result("run", "a") == 1
