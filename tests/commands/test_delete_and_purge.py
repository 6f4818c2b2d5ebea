"""Deleting hides and keeps; purging removes and forgets."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence

import pytest

from eventstore.errors import Conflict, NotFound
from projections import Run, Store, Task, TaskRun
from tests.stores import Clock, completed, folded, run_of, tables_of

END: dict[str, Callable[[Store], object]] = {
    "completed": lambda store: store.complete_run("run"),
    "failed": lambda store: store.fail_run("run", "no"),
    "cancelled": lambda store: store.cancel_run("run"),
}


def lists_of_run(store: Store) -> tuple[Sequence[object], ...]:
    return store.list_task_runs("run"), store.list_attempts("run"), store.list_outputs("run")


def assert_hidden(store: Store) -> None:
    assert store.get_run("run") is None
    assert not any((store.list_runs(), *lists_of_run(store)))
    single = (store.get_task_run("run", "a"), store.get_output("run", "a"), store.get_attempt("run", "a", 1))
    assert single == (None, None, None)
    with pytest.raises(NotFound):
        store.get_completed_node_outputs("run")
    with pytest.raises(NotFound):
        store.resume_plan("run")


@pytest.mark.parametrize("end", END.values(), ids=END.keys())
def test_a_deleted_run_is_hidden_with_all_that_belongs_to_it(store: Store, end: Callable[[Store], object]) -> None:
    run_of(store, "a")
    completed(store, "run", "a", 1)
    end(store)
    deleted = store.delete_run("run", "spring cleaning")
    assert deleted.deleted_at is not None
    assert_hidden(store)
    assert store.get_run("run", include_deleted=True) == deleted
    assert store.list_runs(include_deleted=True) == [deleted]


PREPARE: dict[str, Callable[[Store], object]] = {
    "pending": lambda store: store.create_run("flow", run_id="run"),
    "running": run_of,
    "waiting": lambda store: store.wait_run(run_of(store), "approval"),
}


@pytest.mark.parametrize("prepare", PREPARE.values(), ids=PREPARE.keys())
def test_a_run_that_has_not_ended_is_deleted_only_with_force_which_cancels_it(
    store: Store, prepare: Callable[[Store], object]
) -> None:
    prepare(store)
    store.schedule_task("run", "a")
    head = store.log.head()
    with pytest.raises(Conflict, match="run 'run' is"):
        store.delete_run("run")
    assert store.log.head() == head
    assert store.delete_run("run", force=True).status == "cancelled"
    types = [event.type for event in store.log.read("run", after=head)]
    assert types == ["taskRunCancelled", "runCancelled", "runDeleted"]
    assert_hidden(store)


def test_deleting_again_changes_nothing(store: Store) -> None:
    run_of(store)
    first = store.delete_run("run", force=True)
    assert store.delete_run("run") == store.delete_run("run", force=True) == first
    assert store.log.version("run") == 4


def test_a_run_there_never_was_cannot_be_deleted(store: Store) -> None:
    with pytest.raises(NotFound):
        store.delete_run("run", force=True)
    assert store.log.head() == 0


COMMANDS: dict[str, Callable[[Store], object]] = {
    "start": lambda store: store.start_run("run"),
    "wait": lambda store: store.wait_run("run", "x"),
    "complete": lambda store: store.complete_run("run"),
    "fail": lambda store: store.fail_run("run", "x"),
    "cancel": lambda store: store.cancel_run("run"),
    "resume": lambda store: store.resume("run"),
    "schedule": lambda store: store.schedule_task("run", "b"),
    "start task": lambda store: store.start_task("run", "a"),
    "complete task": lambda store: store.complete_task("run", "a"),
    "invalidate task": lambda store: store.invalidate_task("run", "a"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.parametrize("end", END.values(), ids=END.keys())
def test_a_deleted_run_is_no_run_to_any_command(
    store: Store, command: Callable[[Store], object], end: Callable[[Store], object]
) -> None:
    run_of(store, "a")
    end(store)
    store.delete_run("run")
    head = store.log.head()
    with pytest.raises(NotFound, match="no run 'run'"):
        command(store)
    assert store.log.head() == head


def test_time_travel_sees_a_deleted_run_as_it_was_before(store: Store, clock: Clock) -> None:
    run_of(store, "a")
    completed(store, "run", "a", 1)
    before, last, then = store.get_run("run"), store.log.version("run"), clock.time
    deleted = store.delete_run("run", force=True)
    assert store.as_of("run", version=last).row(Run, "run") == before
    assert store.as_of("run", time=then).row(Run, "run") == before
    assert store.as_of("run").row(Run, "run") == deleted
    assert store.as_of("run").row(TaskRun, "run", "a") is not None


def test_a_deleted_run_is_not_made_again_until_it_is_purged(store: Store) -> None:
    run_of(store, "a")
    completed(store, "run", "a", 1)
    store.delete_run("run", force=True)
    with pytest.raises(Conflict, match="was deleted") as caught:
        store.create_run("flow", run_id="run")
    assert "purge" in caught.value.hint
    store.log.purge("run")
    assert store.get_run("run", include_deleted=True) is None
    again = store.create_run("another flow", run_id="run")
    assert (again.workflow_name, again.version, store.list_task_runs("run")) == ("another flow", 1, [])


def test_a_purged_run_is_gone_from_everywhere_and_others_stay(store: Store) -> None:
    for run_id in ("run", "kept"):
        run_of(store, "a", run_id=run_id)
        completed(store, run_id, "a", run_id)
    store.log.purge("run")
    assert not any(lists_of_run(store))
    assert [run.id for run in store.list_runs(include_deleted=True)] == ["kept"]
    assert store.get_completed_node_outputs("kept") == {"a": "kept"}
    assert store.as_of("run").tables == store.as_of("never was").tables
    assert tables_of(store) == folded(store)


def test_a_rebuilt_store_still_hides_what_was_deleted_and_lacks_what_was_purged(store: Store) -> None:
    for run_id in ("run", "kept", "purged"):
        run_of(store, "a", run_id=run_id)
        completed(store, run_id, "a", run_id)
    store.delete_run("run", force=True)
    store.log.purge("purged")
    before = tables_of(store)
    store.rebuild()
    assert tables_of(store) == before
    assert [run.id for run in store.list_runs(include_deleted=True)] == ["run", "kept"]
    assert [run.id for run in store.list_runs()] == ["kept"]


def test_scheduling_tasks_of_a_run_that_is_purged_meanwhile_finds_it_no_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create_run("flow", run_id="run")
    look, looks = store.task_runs_among, itertools.count()

    def look_late(run_id: str, task_ids: Collection[str]) -> list[TaskRun]:
        if next(looks) == 1:  # it has been decided by then
            store.purge_run(run_id, force=True)
        return look(run_id, task_ids)

    monkeypatch.setattr(store, "task_runs_among", look_late)
    with pytest.raises(NotFound, match="run"):
        store.schedule_tasks("run", [Task("a"), Task("b")])
