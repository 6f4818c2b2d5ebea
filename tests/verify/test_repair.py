"""Repair mends what has a remedy, only if it is told to, and keeps its hands off a log that may be damaged."""

from __future__ import annotations

import pickle

import msgspec
import pytest

from eventstore.board_events import BOARD_STREAM, TaskMoved
from eventstore.errors import InvalidInput, LogCorrupt, UnsupportedSchema
from eventstore.events import RunCreated, RunStarted, TaskRunCompleted, TaskRunScheduled, TaskRunStarted
from eventstore.log import PURGES, NewEvent
from eventstore.payload import Value
from eventstore.session import Statement
from projections import Store, open_store
from projections.addresses import parse_address
from projections.findings import Finding, Severity
from projections.repair import LogInDoubt, Remedy, plan_repair
from projections.tables import Columns
from projections.verify import Report
from tests.sql_stores import change, change_event
from tests.stores import backend, check_views, clock, folder, lasting, open_again, run_of, store, tables_of, verify_at

from .example import change_views, segments
from .test_orphans import append

__all__ = ["backend", "clock", "folder", "lasting", "store"]

NOTHING = Value("0" * 64, 4, json=msgspec.Raw(b"null"))
NEVER_SCHEDULED = [TaskRunStarted("stray", 1), TaskRunCompleted("a", 7, NOTHING)]


def fill_with_orphans(store: Store) -> None:
    """A good run; two that were never created, one of them with nothing but tasks; and a task of a board."""
    run_of(store, "a")
    append(store, "odd", RunStarted("worker"), TaskRunScheduled("write"))
    append(store, "ghost", TaskRunScheduled("write"), TaskRunScheduled("send"))
    append(store, f"{BOARD_STREAM}plan", TaskMoved("plan", "ready", "working", assignee="ada", claim=1))


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(store: Store) -> None:
    fill_with_orphans(store)
    head, tables = store.log.head(), tables_of(store)
    for _ in range(2):
        assert store.repair(purge=True).remedies == (
            Remedy("purge", "odd"),
            Remedy("purge", "ghost"),
            Remedy("purge", f"{BOARD_STREAM}plan"),
        )
    assert (store.log.head(), tables_of(store)) == (head, tables)


def test_nobody_decides_on_orphans_but_the_caller(store: Store) -> None:
    fill_with_orphans(store)
    head = store.log.head()
    repair = store.repair(dry_run=False)
    assert repair.remedies == ()
    assert repair.left == store.orphans()
    assert store.log.head() == head


def test_an_adopted_run_is_a_run_like_any_other(store: Store) -> None:
    fill_with_orphans(store)
    repair = store.repair(adopt=True, workflow_name="letters", dry_run=False)
    assert repair.done
    assert repair.remedies == (Remedy("adopt", "odd"), Remedy("adopt", "ghost"))
    assert [finding.code for finding in repair.left] == ["orphan-board-task"]
    for run_id, status in (("odd", "running"), ("ghost", "pending")):
        adopted = store.get_run(run_id)
        assert adopted is not None
        assert (adopted.workflow_name, adopted.metadata, adopted.status) == ("letters", {"adopted": True}, status)
        assert store.cancel_run(run_id).status == "cancelled"
        assert {task.status for task in store.list_task_runs(run_id)} == {"cancelled"}
        store.delete_run(run_id)
    assert [run.id for run in store.list_runs()] == ["run"]
    check_views(store)


def test_an_adopted_run_is_of_an_unknown_workflow_unless_somebody_knows_it(store: Store) -> None:
    append(store, "odd", RunStarted("worker"))
    store.acting(actor="ada").repair(adopt=True, dry_run=False)
    assert [run.workflow_name for run in store.list_runs()] == ["unknown"]
    assert [event.meta for event in store.log.read("odd")] == [{}, {"actor": "ada"}]


def test_a_purged_orphan_leaves_only_the_record_of_its_purge(store: Store) -> None:
    fill_with_orphans(store)
    repair = store.acting(actor="ada").repair(purge=True, dry_run=False)
    assert repair.left == ()
    assert [event.meta for event in store.log.read(PURGES)] == [{"actor": "ada", "reason": "it was never created"}] * 3
    for stream in ("odd", "ghost", f"{BOARD_STREAM}plan"):
        assert store.log.version(stream) == 0
    assert store.orphans() == ()
    assert [run.id for run in store.list_runs()] == ["run"]
    check_views(store)


@pytest.mark.parametrize("choice", ["adopt", "purge"])
def test_repair_leaves_a_clean_store_and_does_nothing_more_when_repeated(store: Store, choice: str) -> None:
    run_of(store, "a")
    append(store, "odd", RunStarted("worker"))
    append(store, "ghost", TaskRunScheduled("write"))
    store.repair(adopt=choice == "adopt", purge=choice == "purge", dry_run=False)
    assert store.verify().findings == ()
    head = store.log.head()
    again = store.repair(adopt=choice == "adopt", purge=choice == "purge", dry_run=False)
    assert (again.remedies, again.left) == ((), ())
    assert store.log.head() == head


def test_a_task_that_was_never_scheduled_cannot_be_mended_and_it_is_said_so(store: Store) -> None:
    run_of(store, "a")
    append(store, "run", *NEVER_SCHEDULED)
    for choice in ("adopt", "purge"):
        repair = store.repair(adopt=choice == "adopt", purge=choice == "purge", dry_run=False)
        assert repair.remedies == ()
        assert [finding.code for finding in repair.left] == ["orphan-task", "orphan-attempt"]
        assert all("cannot be mended" in finding.action for finding in repair.left)
    assert store.log.version("run") == 5


def test_a_run_cannot_be_adopted_and_purged(store: Store) -> None:
    with pytest.raises(InvalidInput, match="adopted and purged"):
        store.repair(adopt=True, purge=True)


@pytest.mark.parametrize("choice", ["adopt", "purge"])
def test_a_run_that_was_created_after_all_is_left_alone(store: Store, choice: str) -> None:
    append(store, "late", TaskRunScheduled("write"))
    report = store.verify()
    append(store, "late", RunCreated("flow"))
    store.repair(report, adopt=choice == "adopt", purge=choice == "purge", dry_run=False)
    assert store.log.version("late") == 2
    assert store.orphans() == ()


@pytest.mark.parametrize("choice", ["adopt", "purge"])
def test_whoever_creates_the_run_at_the_last_moment_wins(
    store: Store, choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(store, "late", TaskRunScheduled("write"))
    report = store.verify()
    ask = store.views.ask

    def created_right_after(*queries: Statement) -> list[list[Columns]]:
        monkeypatch.setattr(store.views, "ask", ask)
        answers = ask(*queries)
        append(store, "late", RunCreated("flow"))
        return answers

    monkeypatch.setattr(store.views, "ask", created_right_after)
    store.repair(report, adopt=choice == "adopt", purge=choice == "purge", dry_run=False)
    assert [run.workflow_name for run in store.list_runs()] == ["flow"]
    assert store.log.version("late") == 2


def lose_a_row(place: str) -> None:
    """The views lose a task, and a store of files a file besides."""
    statement = "DELETE FROM task_runs WHERE task_id = 'a'"
    if place.startswith("jsonl:"):
        change_views(parse_address(place).path, statement)
        (parse_address(place).path / "run" / "run.json").unlink()
    else:
        change(place, statement)


def test_views_and_run_folders_that_differ_are_made_again(lasting: str) -> None:
    with open_again(lasting) as store:
        fill_with_orphans(store)
    lose_a_row(lasting)
    with open_again(lasting) as store:
        repair = store.repair(verify_at(lasting), purge=True, dry_run=False)
        assert repair.remedies[0] == Remedy("rebuild")
        assert [remedy.name for remedy in repair.remedies[1:]] == ["purge"] * 3
        check_views(store)
    assert verify_at(lasting).findings == ()


def damage_the_log(place: str) -> None:
    """The first event of a run is not what it was."""
    if place.startswith("jsonl:"):
        *_, segment = segments(parse_address(place).path)
        segment.write_bytes(segment.read_bytes().replace(b'"flow"', b'"glow"', 1))
    else:
        change_event(place, "UPDATE workflow_events SET payload = ? WHERE run_id = 'run' AND sequence = 1", b"{}")


@pytest.mark.parametrize("choice", ["adopt", "purge", "neither"])
def test_nothing_is_repaired_while_the_log_may_be_damaged(lasting: str, choice: str) -> None:
    with open_again(lasting) as store:
        fill_with_orphans(store)
        head = store.log.head()
    lose_a_row(lasting)
    damage_the_log(lasting)
    with pytest.raises(LogInDoubt) as refused:
        plan_repair(verify_at(lasting), adopt=choice == "adopt", purge=choice == "purge")
    assert isinstance(refused.value, LogCorrupt)
    assert "restore it from a backup" in refused.value.hint
    if not lasting.startswith("jsonl:"):  # which would not even be opened
        with open_again(lasting) as store:
            with pytest.raises(LogInDoubt):
                store.repair(adopt=choice == "adopt", purge=choice == "purge", dry_run=False)
            assert store.log.head() == head


def test_nobody_is_told_to_remove_the_rest_of_what_the_log_has_lost(lasting: str) -> None:
    with open_again(lasting) as store:
        fill_with_orphans(store)
    damage_the_log(lasting)
    orphans = [finding for finding in verify_at(lasting).findings if finding.stream]
    assert {finding.action for finding in orphans} <= {"Restore the log first: this may be the rest of something."}


DOUBTS: list[tuple[Severity, str]] = [
    ("error", "log-behind-index"),
    ("error", "events-missing"),
    ("warning", "view-ahead"),
    ("warning", "newer-schema"),
]


@pytest.mark.parametrize(("severity", "code"), DOUBTS)
def test_what_leaves_the_log_in_doubt_stops_everything(severity: Severity, code: str) -> None:
    doubt = Finding(severity, code, "here", "there was more", "Restore it.")
    with pytest.raises(LogInDoubt) as refused:
        plan_repair(Report(1, 1, 1, 0, (doubt,)))
    error = pickle.loads(pickle.dumps(refused.value))
    assert str(error) == str(refused.value) == "nothing was repaired, for the log is in doubt: here: there was more"


def test_an_event_of_a_newer_program_stops_everything(store: Store) -> None:
    append(store, "odd", NewEvent(type="runStarted", schema=99, data=b"{}"))
    append(store, "ghost", TaskRunScheduled("write"))
    with pytest.raises(UnsupportedSchema):
        store.repair(purge=True, dry_run=False)
    assert store.log.version("ghost") == 1


def test_a_blob_that_is_missing_is_left_and_told() -> None:
    with open_store("memory:") as store:
        append(store, "run", RunCreated("flow", input=Value("0" * 64, 70_000, preview="Dear")))
        assert [finding.code for finding in store.repair(dry_run=False).left] == ["blob-missing"]
