"""What belongs to nothing is reported, with what to do about it; and nothing else is."""

from __future__ import annotations

import msgspec
import pytest

from eventstore.board_events import BOARD_STREAM, TaskChanges, TaskCreated, TaskDeleted, TaskMoved, TaskUpdated
from eventstore.events import RunCreated, RunStarted, TaskRunCompleted, TaskRunScheduled, TaskRunStarted
from eventstore.log import Append, NewEvent
from eventstore.payload import Value
from projections import Store
from projections.findings import Finding
from tests.stores import backend, clock, folder, run_of, store, tables_of

from .example import codes

__all__ = ["backend", "clock", "folder", "store"]

NOTHING = Value("0" * 64, 4, json=msgspec.Raw(b"null"))


def append(store: Store, stream: str, *events: msgspec.Struct | NewEvent) -> None:
    """Append as an import does, or a restore that was not complete: without asking whether it fits."""
    new = [event if isinstance(event, NewEvent) else store.codec.encode(event) for event in events]
    store.log.append([Append(stream, new)])


def told(findings: tuple[Finding, ...]) -> list[str]:
    return [f"{finding.severity} {finding.code}: {finding.where}: {finding.message}" for finding in findings]


def board_task(task_id: str, *depends_on: str) -> TaskCreated:
    return TaskCreated(task_id, "write", "blocked" if depends_on else "ready", depends_on=depends_on)


def test_what_commands_have_written_holds_no_orphans(store: Store) -> None:
    run_of(store, "a", "b")
    store.create_run("flow", run_id="child", parent_run_id="run")
    store.start_task("run", "a")
    store.delete_run("run", force=True)
    append(store, f"{BOARD_STREAM}first", board_task("first"))
    append(store, f"{BOARD_STREAM}second", board_task("second", "first"))
    assert store.orphans() == ()
    assert store.verify().findings == ()


ORPHANS: dict[str, tuple[str, list[msgspec.Struct], list[str]]] = {
    "a run that was never created": (
        "odd",
        [RunStarted("worker")],
        ["error orphan-run: run 'odd': it was never created"],
    ),
    "a task of a run that does not exist": (
        "ghost",
        [TaskRunScheduled("write"), TaskRunStarted("write", 1)],
        ["error orphan-task: task 'write' of run 'ghost': its run does not exist"],
    ),
    "a task that was never scheduled": (
        "run",
        [TaskRunStarted("write", 1)],
        ["error orphan-task: task 'write' of run 'run': it was never scheduled"],
    ),
    "an attempt that never started": (
        "run",
        [TaskRunCompleted("a", 7, NOTHING)],
        ["error orphan-attempt: attempt 7 of task 'a' of run 'run': it never started"],
    ),
    "a task of the board that was never created": (
        f"{BOARD_STREAM}write",
        [TaskMoved("write", "ready", "working", assignee="ada", claim=1)],
        ["error orphan-board-task: board task 'write': it was never created"],
    ),
    "a task of the board that waits for one that does not exist": (
        f"{BOARD_STREAM}write",
        [board_task("write", "think")],
        ["info dependency-missing: board task 'write': it waits for 'think', which does not exist"],
    ),
    "a task of the board that was never created and waits for one that was not, either": (
        f"{BOARD_STREAM}write",
        [TaskUpdated("write", TaskChanges(depends_on=((), ("think",))))],
        [
            "error orphan-board-task: board task 'write': it was never created",
            "info dependency-missing: board task 'write': it waits for 'think', which does not exist",
        ],
    ),
    "a run whose parent does not exist": (
        "child",
        [RunCreated("flow", parent_run_id="elsewhere")],
        ["info parent-missing: run 'child': its parent 'elsewhere' does not exist"],
    ),
}


@pytest.mark.parametrize(("stream", "events", "expected"), ORPHANS.values(), ids=ORPHANS.keys())
def test_an_orphan_is_reported(store: Store, stream: str, events: list[msgspec.Struct], expected: list[str]) -> None:
    run_of(store, "a")
    append(store, stream, *events)
    found = store.orphans()
    assert told(found) == expected
    assert sorted(store.verify().findings, key=str) == sorted(found, key=str)
    assert all(finding.action.endswith(".") for finding in found)


def test_a_report_changes_nothing(store: Store) -> None:
    append(store, "odd", RunStarted("worker"))
    head, tables = store.log.head(), tables_of(store)
    assert store.orphans() == store.orphans()
    assert (store.log.head(), tables_of(store)) == (head, tables)


def test_whatever_a_command_would_refuse_is_found_in_every_run_that_it_is_in(store: Store) -> None:
    for number in range(3):
        append(store, f"odd {number}", RunStarted("worker"))
        append(store, f"ghost {number}", TaskRunScheduled("write"))
    wheres = [finding.where for finding in store.orphans()]
    assert wheres == [
        *(f"run 'odd {number}'" for number in range(3)),
        *(f"task 'write' of run 'ghost {number}'" for number in range(3)),
    ]


def test_events_of_a_users_own_type_are_no_orphans(store: Store) -> None:
    append(store, "notes", NewEvent(type="notes.taken", data=b"{}"))
    assert store.orphans() == ()


def test_a_task_of_the_board_may_wait_for_one_that_comes_later(store: Store) -> None:
    append(store, f"{BOARD_STREAM}write", board_task("write", "think"))
    report = store.verify()
    assert (codes(report), report.clean) == ({"info dependency-missing"}, True)
    append(store, f"{BOARD_STREAM}think", board_task("think"))
    assert store.orphans() == ()


def test_nobody_minds_what_a_deleted_task_of_the_board_waits_for(store: Store) -> None:
    append(store, f"{BOARD_STREAM}write", board_task("write", "think"), TaskDeleted("write"))
    assert store.orphans() == ()
