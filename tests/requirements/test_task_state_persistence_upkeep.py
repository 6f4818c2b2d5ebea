"""Task state persistence: runs are deleted and purged with all that is theirs, and what belongs to nothing is found."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from eventstore.errors import Conflict, EventStoreError
from eventstore.events import RunStarted, TaskRunScheduled, TaskRunStarted
from projections import Run, Store, TaskRun
from projections.addresses import parse_address
from tests.cli.conftest import Run as Command
from tests.cli.conftest import run
from tests.sql_stores import in_schema
from tests.stores import Clock, check_views, completed, folded, open_again, run_of, tables_of, verify_at
from tests.verify.example import append as append_behind
from tests.verify.example import codes
from tests.verify.test_orphans import append

from .damage import damage_blob, damage_event, lose_row, remove_blob, tear

__all__ = ["run"]

SECRET = "the word is swordfish"


def filled(store: Store, run_id: str = "run", output: object = SECRET) -> str:
    """A run that goes on, with a completed task, a failed one, and one that has not begun."""
    run_of(store, "done", "failed", "pending", run_id=run_id)
    completed(store, run_id, "done", output)
    store.start_task(run_id, "failed")
    store.fail_task(run_id, "failed", SECRET)
    return run_id


def shown(store: Store, run_id: str = "run") -> list[object]:
    """All that queries show of a run."""
    return [
        *filter(None, [store.get_run(run_id), store.get_task_run(run_id, "done"), store.get_output(run_id, "done")]),
        *(each for each in store.list_runs() if each.id == run_id),
        *store.list_task_runs(run_id),
        *store.list_attempts(run_id),
        *store.list_outputs(run_id),
    ]


def test_s0_14_delete_workflow_cascades_to_tasks_attempts_and_outputs_at_once(store: Store) -> None:
    filled(store)
    head = store.log.head()
    store.delete_run("run", "no longer needed", force=True)
    assert shown(store) == []
    assert len({event.commit for event in store.log.read_all(after=head)}) == 1
    assert store.get_run("run", include_deleted=True) is not None
    check_views(store)


def test_s0_14_child_runs_are_deleted_with_their_parent_if_asked_for(store: Store) -> None:
    for run_id, parent in (("run", None), ("child", "run"), ("grandchild", "child"), ("other", None)):
        store.create_run("flow", run_id=run_id, parent_run_id=parent)
    with pytest.raises(Conflict):
        store.delete_run("run", cascade=True)
    assert len(store.list_runs()) == 4
    store.delete_run("run", force=True, cascade=True)
    assert [each.id for each in store.list_runs()] == ["other"]


def test_s0_14_a_run_that_goes_on_is_deleted_only_by_force_which_cancels_it_first(store: Store) -> None:
    filled(store)
    head = store.log.head()
    with pytest.raises(Conflict) as refused:
        store.delete_run("run")
    assert "Cancel it first" in refused.value.hint
    assert store.log.head() == head
    assert store.delete_run("run", force=True).status == "cancelled"
    assert [event.type for event in store.log.read_all(after=head)][-2:] == ["runCancelled", "runDeleted"]


def test_s0_14_deleting_again_changes_nothing(store: Store) -> None:
    filled(store)
    first = store.delete_run("run", force=True)
    head = store.log.head()
    assert store.delete_run("run", force=True) == store.delete_run("run") == first
    assert store.log.head() == head


def test_s0_14_a_deleted_id_is_free_again_only_after_a_purge(store: Store) -> None:
    filled(store)
    store.delete_run("run", force=True)
    with pytest.raises(Conflict, match="was deleted"):
        store.create_run("flow", run_id="run")
    store.purge_run("run")
    assert store.create_run("flow", run_id="run").version == 1
    assert store.list_task_runs("run") == []


def test_s0_14_time_travel_to_before_the_deletion_still_shows_everything(store: Store, clock: Clock) -> None:
    filled(store)
    before, tasks, version, then = (
        store.get_run("run"),
        store.list_task_runs("run"),
        store.log.version("run"),
        clock.time,
    )
    store.delete_run("run", force=True)
    for past in (store.as_of("run", version=version), store.as_of("run", time=then)):
        assert past.row(Run, "run") == before
        assert [past.row(TaskRun, "run", task.task_id) for task in tasks] == tasks


def test_s0_14_whoever_follows_the_log_learns_of_the_deletion_and_of_the_purge(store: Store) -> None:
    filled(store)
    head = store.log.head()
    store.delete_run("run", force=True)
    assert store.log.wait(head, timeout=0)
    assert [event.type for event in store.log.read_all(after=head)][-1] == "runDeleted"
    head = store.log.head()
    store.purge_run("run")
    assert [event.type for event in store.log.read_all(after=head)] == ["streamPurged"]


def test_s0_14_a_purge_removes_every_byte_that_nothing_else_needs(lasting: str, folder: Path, clock: Clock) -> None:
    with open_again(lasting, clock, threshold=1_000) as store:
        filled(store)
        large = run_of(store, "done", run_id="large")
        completed(store, large, "done", SECRET * 100)
        for run_id in ("run", "large"):
            store.cancel_run(run_id)
            store.delete_run(run_id)
            store.purge_run(run_id)
        clock.time += timedelta(hours=2)
        store.collect_blobs()
        assert list(store.values.blobs.digests()) == []
    assert not found_in(lasting, folder)
    assert verify_at(lasting).findings == ()


def found_in(address: str, folder: Path) -> bool:
    """Whether the secret is still anywhere in the store."""
    if parse_address(address).scheme == "postgresql":
        with in_schema(address) as connection:
            tables = ("workflow_events", "blobs", "workflow_runs", "task_runs", "attempts", "node_outputs")
            dumps = [connection.execute(f"SELECT t::text FROM {table} AS t".encode()).fetchall() for table in tables]
        return any("swordfish" in str(dump) or SECRET.encode().hex() in str(dump) for dump in dumps)
    return any(b"swordfish" in path.read_bytes() for path in folder.parent.rglob("*") if path.is_file())


def test_s0_14_rebuilding_after_a_deletion_and_a_purge_gives_the_same_views(store: Store) -> None:
    for run_id in ("run", "kept", "purged"):
        filled(store, run_id)
    store.delete_run("run", force=True)
    store.delete_run("purged", force=True)
    store.purge_run("purged")
    before = tables_of(store)
    store.rebuild()
    assert tables_of(store) == before == folded(store)
    assert [each.id for each in store.list_runs()] == ["kept"]


def test_s0_15_orphaned_task_detection_reports_what_belongs_to_nothing_and_what_to_do(store: Store) -> None:
    filled(store)
    assert store.verify().findings == ()
    append(store, "never created", RunStarted("worker"))
    append(store, "ghost", TaskRunScheduled("a"))
    append(store, "run", TaskRunStarted("never scheduled", 1))
    head = store.log.head()
    found = store.orphans()
    assert [(finding.severity, finding.code) for finding in found] == [
        ("error", "orphan-run"),
        ("error", "orphan-task"),
        ("error", "orphan-task"),
    ]
    assert all(finding.where and finding.message and finding.action for finding in found)
    assert set(found) <= set(store.verify().findings)
    assert store.log.head() == head  # a report changes nothing


def test_s0_15_blobs_that_nothing_refers_to_are_reported(store: Store) -> None:
    store.values.blobs.put(b"left over")
    report = store.verify()
    assert (codes(report), report.clean) == ({"info blob-unreferenced"}, True)


def test_s0_15_large_results_that_are_not_what_their_digest_says_are_reported(lasting: str, folder: Path) -> None:
    with open_again(lasting, threshold=1_000) as store:
        filled(store, output=SECRET * 100)
        (digest,) = store.values.blobs.digests()
    damage_blob(digest, lasting, folder)
    assert codes(verify_at(lasting)) == {"error blob-corrupt"}
    remove_blob(digest, lasting, folder)
    assert codes(verify_at(lasting)) == {"error blob-missing"}


def test_s0_15_events_that_were_changed_or_lost_are_reported(lasting: str, folder: Path) -> None:
    with open_again(lasting) as store:
        filled(store)
    damage_event(lasting, folder, version=2)
    report = verify_at(lasting)
    assert not report.clean
    assert {"error log-corrupt", "error version-gap"} & codes(report)


def test_s0_15_a_torn_store_is_reported_or_refused_and_never_taken_for_an_empty_one(lasting: str, folder: Path) -> None:
    with open_again(lasting) as store:
        filled(store)
    tear(lasting, folder)
    try:
        report = verify_at(lasting)
    except EventStoreError:
        return
    assert not report.clean
    assert "error" in {finding.severity for finding in report.findings}


def test_s0_15_views_that_are_not_what_the_log_says_are_reported_and_mended(lasting: str, folder: Path) -> None:
    with open_again(lasting) as store:
        filled(store)
    lose_row(lasting, folder)
    assert codes(verify_at(lasting)) == {"warning view-drift"}
    with open_again(lasting) as store:
        assert [remedy.name for remedy in store.repair(dry_run=False).remedies] == ["rebuild"]
    assert verify_at(lasting).findings == ()


def test_s0_15_files_are_checked_against_the_events(file_store: Store, folder: Path) -> None:
    filled(file_store)
    file_store.write_folders()
    (folder / "run" / "outputs" / "stray.json").write_text("{}")
    (folder / "run" / "run.json").write_text("{}")
    file_store.close()
    assert codes(verify_at(f"jsonl:{folder}")) == {"warning file-stray", "warning file-drift"}


def test_s0_15_views_behind_the_log_and_ahead_of_it_are_reported(file_store: Store, folder: Path) -> None:
    filled(file_store)
    file_store.close()
    append_behind(folder, "run", TaskRunScheduled("later"))
    assert codes(verify_at(f"jsonl:{folder}")) == {"info view-behind"}
    open_again(folder).close()
    (segment,) = (folder / "_log").glob("*.jsonl")
    *lines, last = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines))
    assert {"error log-behind-index", "warning view-ahead"} <= codes(verify_at(f"jsonl:{folder}"))
    segment.write_bytes(b"".join([*lines, last, last[:9]]))
    assert codes(verify_at(f"jsonl:{folder}")) == {"info unfinished-write"}


def test_s0_15_the_command_line_says_by_its_exit_code_whether_all_is_well(lasting: str, run: Command) -> None:
    with open_again(lasting) as store:
        filled(store)
    assert [run(command, "-s", lasting).code for command in ("verify", "orphans", "repair")] == [0, 0, 0]
    with open_again(lasting) as store:
        append(store, "ghost", TaskRunScheduled("a"))
        head = store.log.head()
    assert [run(command, "-s", lasting).code for command in ("verify", "orphans", "repair")] == [5, 5, 5]
    assert run("repair", "--purge", "-s", lasting).code == 0
    with open_again(lasting) as store:
        assert store.log.head() == head  # it was not told to
    assert run("repair", "--purge", "--yes", "-s", lasting).code == 0
    assert [run(command, "-s", lasting).code for command in ("verify", "orphans", "repair")] == [0, 0, 0]
