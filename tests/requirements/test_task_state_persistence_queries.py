"""Task state persistence: tasks are found by id, listed and filtered, and belong to a run that is there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eventstore.errors import InvalidInput, NotFound
from projections import Store, Task
from projections.transitions import TASK_STEPS
from tests.stores import completed, open_again, run_of


def ids_of(store: Store, status: str | list[str] | None = None, run_id: str = "run") -> list[str]:
    return [task.task_id for task in store.list_task_runs(run_id, status=status)]


def test_s0_10_get_task_by_id_of_its_run(store: Store) -> None:
    run_of(store, "a")
    run_of(store, "a", run_id="other")
    store.start_task("other", "a")
    for run_id, status in (("run", "pending"), ("other", "running")):
        task = store.get_task_run(run_id, "a")
        assert task is not None
        assert (task.run_id, task.task_id, task.status) == (run_id, "a", status)
    for run_id, task_id in (("run", "unknown"), ("unknown", "a")):
        assert store.get_task_run(run_id, task_id) is None


def test_s0_10_what_has_been_written_is_read_at_once_by_everybody(lasting: str) -> None:
    with open_again(lasting) as store, open_again(lasting) as another:
        run_of(store, "a")
        assert another.get_task_run("run", "a") == store.get_task_run("run", "a") is not None
        for change in (lambda: store.start_task("run", "a"), lambda: store.complete_task("run", "a", 1)):
            change()
            task = store.get_task_run("run", "a")
            assert another.get_task_run("run", "a") == task
            assert task is not None
            assert task.version == store.log.version("run")


def test_s0_11_list_all_tasks_in_the_order_in_which_they_were_scheduled(store: Store) -> None:
    store.create_run("flow", run_id="run")
    store.start_run("run")
    store.schedule_tasks("run", [Task("z"), Task("a"), Task("m", depends_on=["a"])])
    store.schedule_task("run", "b")
    completed(store, "run", "b", 1)
    assert ids_of(store) == ["z", "a", "m", "b"]
    assert ids_of(store, run_id="unknown") == []


def test_s0_11_a_list_has_no_hidden_limit(store: Store) -> None:
    run_of(store)
    wanted = [f"task {number}" for number in range(10_050)]
    store.schedule_tasks("run", [Task(task_id) for task_id in wanted])
    assert ids_of(store) == wanted
    assert ids_of(store, "pending") == wanted


def in_every_status(store: Store) -> None:
    """A run with a task in each status, named after it; the run itself goes on."""
    run_of(store, *TASK_STEPS)
    store.start_task("run", "running")
    completed(store, "run", "completed", 1)
    for task_id in ("failed", "waiting"):
        store.start_task("run", task_id)
        store.fail_task("run", task_id, "no")
    store.retry_task("run", "waiting")
    store.skip_task("run", "skipped")
    store.cancel_task("run", "cancelled")


def test_s0_12_filter_tasks_by_one_status_or_by_several(store: Store) -> None:
    in_every_status(store)
    for status in TASK_STEPS:
        assert ids_of(store, status) == ids_of(store, [status]) == [status]
    assert ids_of(store, ["failed", "completed"]) == [id for id in TASK_STEPS if id in ("failed", "completed")]
    assert ids_of(store, list(TASK_STEPS)) == list(TASK_STEPS)


def test_s0_12_an_unknown_status_is_an_error_and_no_status_at_all_finds_nothing(store: Store) -> None:
    in_every_status(store)
    for status in ("Running", "", ["running", "done"]):
        with pytest.raises(ValueError, match="unknown status") as refused:
            store.list_task_runs("run", status=status)
        assert isinstance(refused.value, InvalidInput)
        assert "running" in refused.value.hint
    assert ids_of(store, []) == []


def test_s0_13_task_belongs_to_the_run_that_it_was_scheduled_in(store: Store) -> None:
    run_of(store, "a")
    task = store.get_task_run("run", "a")
    assert task is not None
    assert task.run_id == "run"
    assert {event.stream for event in store.log.read_all()} == {"run"}


COMMANDS: dict[str, Callable[[Store, str], object]] = {
    "schedule": lambda store, run_id: store.schedule_task(run_id, "a"),
    "start": lambda store, run_id: store.start_task(run_id, "a"),
    "complete": lambda store, run_id: store.complete_task(run_id, "a", 1),
    "complete unstarted": lambda store, run_id: store.complete_task(run_id, "a", 1, implicit_start=True),
    "fail": lambda store, run_id: store.fail_task(run_id, "a", "no"),
    "retry": lambda store, run_id: store.retry_task(run_id, "a"),
    "skip": lambda store, run_id: store.skip_task(run_id, "a"),
    "cancel": lambda store, run_id: store.cancel_task(run_id, "a"),
    "invalidate": lambda store, run_id: store.invalidate_task(run_id, "a"),
    "an event of one's own": lambda store, run_id: store.add_event(run_id, "notes.taken", {}),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_s0_13_an_event_for_an_unknown_run_is_refused_and_nothing_is_appended(
    store: Store, command: Callable[[Store, str], object]
) -> None:
    run_of(store, "a")
    head = store.log.head()
    with pytest.raises(NotFound) as refused:
        command(store, "unknown")
    assert (refused.value.kind, refused.value.id) == ("run", "unknown")
    assert store.log.head() == head
    assert store.orphans() == ()
