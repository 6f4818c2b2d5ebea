"""What can be done with a run in each status: every pair, and that a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eventstore.errors import Conflict, InvalidTransition, NotFound
from projections import Store
from projections.transitions import RESUMABLE, RUN_STEPS, TERMINAL
from tests.stores import run_of

Command = Callable[[Store], object]

REACH: dict[str, Command] = {
    "pending": lambda store: store.create_run("flow", run_id="run"),
    "running": lambda store: run_of(store),
    "waiting": lambda store: store.wait_run(run_of(store), "approval"),
    "completed": lambda store: store.complete_run(run_of(store), "done"),
    "failed": lambda store: store.fail_run(run_of(store), "broken"),
    "cancelled": lambda store: store.cancel_run(run_of(store)),
}
COMMANDS: dict[str, Command] = {
    "start": lambda store: store.start_run("run"),
    "wait": lambda store: store.wait_run("run", "a signal"),
    "complete": lambda store: store.complete_run("run", "other"),
    "fail": lambda store: store.fail_run("run", "other"),
    "cancel": lambda store: store.cancel_run("run"),
    "resume": lambda store: store.resume("run"),
}
BECOMES = {
    ("pending", "start"): "running",
    ("pending", "fail"): "failed",
    ("pending", "cancel"): "cancelled",
    ("pending", "resume"): "running",
    ("running", "wait"): "waiting",
    ("running", "complete"): "completed",
    ("running", "fail"): "failed",
    ("running", "cancel"): "cancelled",
    ("running", "resume"): "running",
    ("waiting", "complete"): "completed",
    ("waiting", "fail"): "failed",
    ("waiting", "cancel"): "cancelled",
    ("waiting", "resume"): "running",
    ("failed", "resume"): "running",
    ("cancelled", "cancel"): "cancelled",
}
OTHER_CONTENT = {("completed", "complete"), ("failed", "fail")}
PAIRS = [(status, command) for status in REACH for command in COMMANDS]


@pytest.mark.parametrize(("status", "command"), [pair for pair in PAIRS if pair in BECOMES])
def test_an_allowed_command_takes_the_run_where_it_should(store: Store, status: str, command: str) -> None:
    REACH[status](store)
    COMMANDS[command](store)
    run = store.get_run("run")
    assert run is not None
    assert run.status == BECOMES[status, command]
    assert (run.finished_at is not None) == (run.status in TERMINAL)


@pytest.mark.parametrize(("status", "command"), [p for p in PAIRS if p not in BECOMES and p not in OTHER_CONTENT])
def test_a_forbidden_command_says_what_is_allowed_and_changes_nothing(store: Store, status: str, command: str) -> None:
    REACH[status](store)
    before = store.log.head(), store.get_run("run")
    with pytest.raises(InvalidTransition) as caught:
        COMMANDS[command](store)
    assert caught.value.current == status
    assert caught.value.wanted
    assert caught.value.allowed == tuple(sorted(RUN_STEPS[status]))
    assert status in caught.value.hint
    assert (store.log.head(), store.get_run("run")) == before


@pytest.mark.parametrize(("status", "command"), sorted(OTHER_CONTENT))
def test_an_end_that_contradicts_the_one_there_is_a_conflict(store: Store, status: str, command: str) -> None:
    REACH[status](store)
    before = store.log.head()
    with pytest.raises(Conflict, match="already, with another"):
        COMMANDS[command](store)
    assert store.log.head() == before


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_on_a_run_there_is_not_is_refused(store: Store, command: Command) -> None:
    with pytest.raises(NotFound, match="no run 'run'"):
        command(store)
    assert store.log.head() == 0


def test_every_status_is_reached_and_the_tables_name_no_other() -> None:
    assert set(REACH) == set(RUN_STEPS) == set().union(*RUN_STEPS.values()) | {"pending"}
    assert set(RUN_STEPS) == TERMINAL | RESUMABLE


def test_a_run_is_not_completed_while_a_task_of_it_runs(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    with pytest.raises(Conflict, match="'a'"):
        store.complete_run("run")
    store.cancel_task("run", "a")
    assert store.complete_run("run").status == "completed"


def test_a_run_that_fails_closes_its_running_attempts_in_the_same_commit(store: Store) -> None:
    run_of(store, "a", "b")
    store.start_task("run", "a")
    store.fail_run("run", "machine lost")
    assert [(t.task_id, t.status) for t in store.list_task_runs("run")] == [("a", "pending"), ("b", "pending")]
    assert [a.status for a in store.list_attempts("run")] == ["interrupted"]
    assert [event.type for event in store.log.read("run", backward=True, limit=2)] == [
        "runFailed",
        "taskRunInterrupted",
    ]


def test_a_run_that_is_cancelled_ends_all_that_has_not_ended(store: Store) -> None:
    run_of(store, "pending", "running", "failed", "completed", "skipped", "waiting")
    for task_id in ("running", "failed", "completed", "waiting"):
        store.start_task("run", task_id)
    for task_id in ("failed", "waiting"):
        store.fail_task("run", task_id, "no")
    store.retry_task("run", "waiting")
    store.complete_task("run", "completed", 1)
    store.skip_task("run", "skipped")
    store.cancel_run("run", "enough")
    assert {task.task_id: task.status for task in store.list_task_runs("run")} == {
        "pending": "cancelled",
        "running": "cancelled",
        "waiting": "cancelled",
        "failed": "failed",
        "completed": "completed",
        "skipped": "skipped",
    }
    assert store.get_result("run", "completed") == 1
