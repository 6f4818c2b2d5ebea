"""What can be done with a task run in each status, and while its run is in each status."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import product

import pytest

from eventstore.errors import Conflict, InvalidTransition, NotFound
from projections import Store
from projections.transitions import OPEN_WAIT_STEPS, TASK_STEPS
from tests.stores import Clock, run_of

Command = Callable[[Store], object]


def fail(store: Store) -> None:
    store.start_task("run", "a", worker="w")
    store.fail_task("run", "a", "broken")


def complete(store: Store) -> None:
    store.start_task("run", "a", worker="w")
    store.complete_task("run", "a", "done")


def retry(store: Store) -> None:
    fail(store)
    store.retry_task("run", "a", delay=1)


REACH: dict[str, Command] = {
    "pending": lambda store: None,
    "running": lambda store: store.start_task("run", "a", worker="w"),
    "waiting": retry,
    "gate": lambda store: store.wait_task("run", "a", "decision"),
    "failed": fail,
    "completed": complete,
    "skipped": lambda store: store.skip_task("run", "a"),
    "cancelled": lambda store: store.cancel_task("run", "a"),
}
COMMANDS: dict[str, Command] = {
    "start": lambda store: store.start_task("run", "a"),
    "complete": lambda store: store.complete_task("run", "a", "other"),
    "fail": lambda store: store.fail_task("run", "a", "other"),
    "retry": lambda store: store.retry_task("run", "a"),
    "skip": lambda store: store.skip_task("run", "a"),
    "cancel": lambda store: store.cancel_task("run", "a"),
    "invalidate": lambda store: store.invalidate_task("run", "a"),
    "reuse": lambda store: store.reuse_task("run", "a"),
    "wait": lambda store: store.wait_task("run", "a", "decision"),
    "approve": lambda store: store.approve_task("run", "a", "yes"),
    "reject": lambda store: store.reject_task("run", "a"),
}
BECOMES = {
    ("pending", "start"): "running",
    ("pending", "skip"): "skipped",
    ("pending", "cancel"): "cancelled",
    ("pending", "invalidate"): "pending",
    ("running", "complete"): "completed",
    ("running", "fail"): "failed",
    ("running", "cancel"): "cancelled",
    ("waiting", "start"): "running",
    ("waiting", "retry"): "waiting",
    ("waiting", "skip"): "skipped",
    ("waiting", "cancel"): "cancelled",
    ("pending", "wait"): "waiting",
    ("running", "wait"): "waiting",
    ("gate", "wait"): "waiting",
    ("gate", "complete"): "completed",
    ("gate", "fail"): "failed",
    ("gate", "cancel"): "cancelled",
    ("gate", "invalidate"): "pending",
    ("gate", "approve"): "completed",
    ("gate", "reject"): "failed",
    ("failed", "retry"): "waiting",
    ("failed", "skip"): "skipped",
    ("failed", "cancel"): "cancelled",
    ("completed", "invalidate"): "pending",
    ("completed", "reuse"): "completed",
    ("skipped", "skip"): "skipped",
    ("skipped", "invalidate"): "pending",
    ("cancelled", "cancel"): "cancelled",
    ("cancelled", "invalidate"): "pending",
}
OTHER_CONTENT = {("completed", "complete"), ("waiting", "wait")}
"""Refused for what they say, not for what they are."""
PAIRS = [(status, command) for status in REACH for command in COMMANDS]


@pytest.mark.parametrize(("status", "command"), [pair for pair in PAIRS if pair in BECOMES])
def test_an_allowed_command_takes_the_task_where_it_should(store: Store, status: str, command: str) -> None:
    run_of(store, "a")
    REACH[status](store)
    COMMANDS[command](store)
    task = store.get_task_run("run", "a")
    assert task is not None
    assert task.status == BECOMES[status, command]
    assert (store.get_output("run", "a") is not None) == (task.status == "completed")


@pytest.mark.parametrize(("status", "command"), [p for p in PAIRS if p not in BECOMES and p not in OTHER_CONTENT])
def test_a_forbidden_command_says_what_is_allowed_and_changes_nothing(store: Store, status: str, command: str) -> None:
    run_of(store, "a")
    REACH[status](store)
    before = store.log.version("run"), store.get_task_run("run", "a"), store.list_attempts("run")
    with pytest.raises(InvalidTransition) as caught:
        COMMANDS[command](store)
    assert caught.value.current == ("waiting" if status == "gate" else status)
    assert caught.value.wanted
    assert caught.value.allowed == tuple(sorted(OPEN_WAIT_STEPS if status == "gate" else TASK_STEPS[status]))
    assert (store.log.version("run"), store.get_task_run("run", "a"), store.list_attempts("run")) == before


def test_a_completion_with_another_output_is_a_conflict(store: Store) -> None:
    run_of(store, "a")
    complete(store)
    before = store.log.head()
    with pytest.raises(Conflict, match="with another output"):
        store.complete_task("run", "a", "other")
    assert (store.log.head(), store.get_result("run", "a")) == (before, "done")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_on_a_task_there_is_not_is_refused(store: Store, command: Command) -> None:
    run_of(store)
    with pytest.raises(NotFound, match="task of run 'run' named 'a'"):
        command(store)
    assert store.log.head() == 2


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_on_a_task_of_a_run_there_is_not_is_refused(store: Store, command: Command) -> None:
    with pytest.raises(NotFound, match="no run 'run'"):
        command(store)
    assert store.log.head() == 0


END: dict[str, Command] = {
    "completed": lambda store: store.complete_run("run"),
    "failed": lambda store: store.fail_run("run", "broken"),
    "cancelled": lambda store: store.cancel_run("run"),
}
CHANGES: dict[str, Command] = {"schedule": lambda store: store.schedule_task("run", "new"), **COMMANDS}


MAY_CHANGE = {
    ("failed", "invalidate", "completed"),
    ("failed", "invalidate", "gate"),
    ("failed", "approve", "gate"),
    ("failed", "reject", "gate"),
}
"""What a failed run resumes from may change."""
ENDED = [
    case
    for case in product(END, CHANGES, ("pending", "failed", "completed", "gate"))
    if case not in MAY_CHANGE and (case[0], case[2]) != ("completed", "gate")  # no run is completed with an open gate
]


@pytest.mark.parametrize(("end", "command", "status"), ENDED)
def test_nothing_changes_in_a_run_that_has_ended(store: Store, end: str, command: str, status: str) -> None:
    run_of(store, "a")
    REACH[status](store)
    END[end](store)
    before = store.log.version("run"), store.list_task_runs("run")
    with suppress(Conflict):  # some would change nothing anyway
        CHANGES[command](store)
    assert (store.log.version("run"), store.list_task_runs("run")) == before


@pytest.mark.parametrize("status", ["pending", "waiting"])
def test_a_task_starts_only_while_its_run_is_running(store: Store, status: str) -> None:
    store.create_run("flow", run_id="run")
    store.schedule_task("run", "a")
    if status == "waiting":
        store.start_run("run")
        store.wait_run("run", "approval")
    before = store.log.head()
    with pytest.raises(InvalidTransition) as caught:
        store.start_task("run", "a")
    assert (caught.value.current, store.log.head()) == (status, before)


def test_what_is_under_way_can_end_while_the_run_waits(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.wait_run("run", "approval")
    assert store.complete_task("run", "a", 1).status == "completed"


def test_every_status_is_reached_and_the_table_names_no_other() -> None:
    assert REACH.keys() - {"gate"} == set(TASK_STEPS) == set().union(*TASK_STEPS.values())


def test_a_completed_task_may_start_again_once_its_input_has_changed(store: Store) -> None:
    run_of(store, "a")
    store.schedule_task("run", "b", depends_on=["a"])
    complete(store)
    store.start_task("run", "b")
    store.complete_task("run", "b", "made from done")
    with pytest.raises(InvalidTransition):
        store.start_task("run", "b")
    store.invalidate_task("run", "a")
    store.start_task("run", "a")
    store.complete_task("run", "a", "changed")
    assert store.start_task("run", "b").attempt == 2
    assert store.get_output("run", "b") is None


def test_a_task_that_is_running_is_invalidated_only_after_it_has_ended(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    with pytest.raises(InvalidTransition, match="running and cannot become invalidated"):
        store.invalidate_task("run", "a")


@pytest.mark.parametrize("status", ["pending", "waiting"])
def test_an_output_from_elsewhere_completes_a_task_that_was_never_started(store: Store, status: str) -> None:
    run_of(store, "a")
    REACH[status](store)
    version = store.log.version("run")
    number = 1 if status == "pending" else 2
    task = store.complete_task("run", "a", "cached", attempt=number, implicit_start=True)
    assert (task.status, task.attempt, store.get_result("run", "a")) == ("completed", number, "cached")
    events = list(store.log.read("run", after=version))
    assert [event.type for event in events] == ["taskRunStarted", "taskRunCompleted"]
    assert events[0].commit == events[1].commit
    assert store.complete_task("run", "a", "cached", attempt=number, implicit_start=True) == task
    assert store.log.version("run") == version + 2


def test_an_output_from_elsewhere_counts_as_made_from_the_outputs_there_are(store: Store) -> None:
    run_of(store, "a")
    store.schedule_task("run", "b", depends_on=["a"])
    complete(store)
    store.complete_task("run", "b", "cached", implicit_start=True)
    assert [task.task_id for task in store.resume_plan("run").reusable] == ["a", "b"]
    store.invalidate_task("run", "a")
    assert [stale.task_id for stale in store.resume_plan("run").stale] == ["b"]


def test_a_task_that_runs_is_completed_as_ever_though_an_implicit_start_is_allowed(store: Store) -> None:
    run_of(store, "a")
    attempt = store.start_task("run", "a", worker="w")
    store.complete_task("run", "a", 1, implicit_start=True)
    assert [(a.attempt, a.worker, a.status) for a in store.list_attempts("run")] == [
        (attempt.attempt, "w", "completed")
    ]


@pytest.mark.parametrize("status", ["failed", "skipped", "cancelled"])
def test_no_implicit_start_goes_where_no_start_does(store: Store, status: str) -> None:
    run_of(store, "a")
    REACH[status](store)
    version = store.log.version("run")
    with pytest.raises(InvalidTransition):
        store.complete_task("run", "a", "cached", implicit_start=True)
    store.wait_run("run", "approval")
    store.schedule_task("run", "b")
    with pytest.raises(InvalidTransition, match="run 'run' is waiting"):
        store.complete_task("run", "b", "cached", implicit_start=True)
    assert store.log.version("run") == version + 2


def test_a_retry_is_not_started_before_it_is_due(store: Store, clock: Clock) -> None:
    run_of(store, "a")
    fail(store)
    due = store.retry_task("run", "a", delay=60).due
    assert due is not None
    version = store.log.version("run")
    with pytest.raises(Conflict, match="not to start before"):
        store.start_task("run", "a")
    assert store.log.version("run") == version
    clock.time = due
    assert store.start_task("run", "a").attempt == 2


def test_what_was_said_last_of_a_retry_counts(store: Store) -> None:
    run_of(store, "a")
    fail(store)
    store.retry_task("run", "a", delay=60)
    assert store.retry_task("run", "a", reason="now").due is None
    assert store.start_task("run", "a").attempt == 2
