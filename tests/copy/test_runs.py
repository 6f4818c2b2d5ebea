"""One run as one file: whole, checked before anything is written, and the same wherever it is."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventstore.codec import Codec
from eventstore.errors import BlobCorrupt, BlobMissing, Conflict, NotFound
from eventstore.events import RunCreated
from eventstore.log import PURGES, Append, NewEvent, RecordedEvent
from projections import Store, open_store
from projections.transfer import ImportedRun, check_run, export_run, import_run
from tests.verify.example import complete, fill

from .comparing import blobs_of, bring_in, exported, said, views_of


def told(events: list[RecordedEvent]) -> list[RecordedEvent]:
    return [msgspec.structs.replace(event, position=0, commit=0) for event in events]


def of_run(store: Store, run_id: str) -> dict[str, Any]:
    """All rows of the views that are the run's."""
    return {
        table: {key: row for key, row in rows.items() if key[0] == run_id} for table, rows in views_of(store).items()
    }


@pytest.mark.parametrize("run_id", ["done", "failed", "going on", "gone"])
def test_a_run_says_the_same_in_another_store(source: Store, target: Store, run_id: str) -> None:
    """One of these is deleted: it can be moved, and stays deleted."""
    fill(source)
    target.create_run("other", run_id="there before")

    imported = bring_in(target, exported(source, run_id))

    events = list(source.log.read(run_id))
    assert told(list(target.log.read(run_id))) == told(events)
    assert imported == ImportedRun(run_id, len(events), len(events), imported.blobs)
    assert of_run(target, run_id) == of_run(source, run_id)
    assert target.verify().clean
    assert exported(target, run_id) == exported(source, run_id)


def test_large_values_come_with_the_run(original: Store, target: Store) -> None:
    fill(original)
    assert bring_in(target, exported(original)).blobs == 1
    assert target.get_result("done", "write") == "Dear everybody, " * 40
    assert len(blobs_of(target)) == 1


def test_a_large_value_of_several_events_is_there_once(original: Store) -> None:
    original.create_run("flow", run_id="run", input="x" * 1000)
    original.start_run("run")
    original.complete_run("run", "x" * 1000)
    kinds = [json.loads(line).get("file") for line in exported(original, "run").splitlines()]
    assert kinds == ["run", "blob", None, None, None, "end"]


def test_importing_again_changes_nothing(original: Store, target: Store) -> None:
    fill(original)
    file = exported(original)
    bring_in(target, file)
    before = (list(target.log.read_all()), views_of(target))
    assert bring_in(target, file) == ImportedRun("done", 15, 0, 1)
    assert (list(target.log.read_all()), views_of(target)) == before


def test_importing_into_the_store_it_comes_from_changes_nothing(source: Store) -> None:
    fill(source)
    before = list(source.log.read_all())
    for run_id in ("done", "failed", "going on", "gone"):
        assert bring_in(source, exported(source, run_id)).new_events == 0
    assert list(source.log.read_all()) == before


def test_what_a_run_has_more_is_added(original: Store, target: Store) -> None:
    fill(original)
    early = exported(original, "going on")
    bring_in(target, early)
    original.resume("going on", worker="three", force=True)
    original.schedule_task("going on", "sign")
    complete(original, "going on", "sign", "Yours, " * 40)

    late = exported(original, "going on")
    assert bring_in(target, late).new_events == 4
    assert bring_in(target, early).new_events == 0

    assert exported(target, "going on") == late
    assert target.get_result("going on", "sign") == "Yours, " * 40


def test_an_imported_run_can_be_gone_on_with(original: Store, target: Store) -> None:
    fill(original)
    bring_in(target, exported(original, "going on"))
    resumption = target.resume("going on", worker="three", force=True)
    assert [each.task_id for each in resumption.plan.reusable] == ["write"]
    target.complete_run("going on")
    assert target.verify().clean


def test_a_fork_is_only_what_is_its_own(original: Store, target: Store) -> None:
    fill(original)
    original.create_run("letters", run_id="fork", parent_run_id="done")
    bring_in(target, exported(original, "fork"))
    fork = target.get_run("fork")
    assert fork is not None
    assert (fork.parent_run_id, target.get_run("done")) == ("done", None)


def test_of_a_commit_only_the_runs_part_is_taken(original: Store, target: Store) -> None:
    created = [original.codec.encode(RunCreated(name)) for name in ("one", "two")]
    note = NewEvent(type="notes.taken", data=b"\xff\n", content_type="text/plain")
    again = NewEvent(type="notes.taken", data=b"again")
    original.log.append([Append("one", [created[0], note]), Append("two", [created[1]]), Append("one", [again])])

    file = exported(original, "one")
    bring_in(target, file)

    assert [len(commit) for commit in said(target)] == [3]
    assert exported(target, "one") == file
    assert target.log.version("two") == 0


@pytest.mark.parametrize("run_id", ["unknown", "purged", "$workflow/letters", "$notes", PURGES])
def test_what_is_no_run_cannot_be_exported(source: Store, run_id: str) -> None:
    fill(source)
    with pytest.raises(NotFound):
        export_run(source, run_id)


def test_a_run_that_is_purged_meanwhile_gets_no_last_line(source: Store) -> None:
    fill(source)
    lines = export_run(source, "done")
    next(lines)
    source.log.purge("done")
    with pytest.raises(NotFound):
        list(lines)


def test_a_run_with_a_lost_or_damaged_value_cannot_be_exported(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", durability="none", threshold=200) as store:
        fill(store)
        (file,) = (path for path in tmp_path.glob("store/_blobs/*/*") if b"everybody" in path.read_bytes())
        file.write_bytes(b"damaged")
        with pytest.raises(BlobCorrupt):
            exported(store)
        file.unlink()
        with pytest.raises(BlobMissing):
            exported(store)


@pytest.mark.parametrize("there", ["shorter", "as long", "longer"])
def test_a_run_that_is_here_with_other_events_is_refused_and_nothing_is_written(
    original: Store, target: Store, there: str
) -> None:
    fill(original)
    target.create_run("letters", run_id="done")
    for number in range({"shorter": 0, "as long": 14, "longer": 20}[there]):
        target.schedule_task("done", f"task {number}")
    before = list(target.log.read_all())
    with pytest.raises(Conflict, match="'done' is here already") as caught:
        bring_in(target, exported(original))
    assert caught.value.hint
    assert (list(target.log.read_all()), blobs_of(target)) == (before, {})


def test_a_run_that_went_on_differently_is_refused(original: Store, target: Store) -> None:
    fill(original)
    bring_in(target, exported(original, "going on"))
    for store in (original, target):
        store.resume("going on", worker="three", force=True)
    with pytest.raises(Conflict):
        bring_in(target, exported(original, "going on"))


def test_a_long_run_needs_no_more_memory_than_a_part_of_it(tmp_path: Path) -> None:
    count, data = 3_000, b'"' + b"x" * 10_000 + b'"'
    path = tmp_path / "run.jsonl"
    with open_store(tmp_path / "one", durability="none") as one, open_store(tmp_path / "two", durability="none") as two:
        one.create_run("flow", run_id="long")
        for _ in range(count // 100):
            one.log.append([Append("long", [NewEvent(type="notes.taken", data=data) for _ in range(100)])])
        one.write_folders()  # neither folders nor views are what is measured here
        two.log.hook = None
        tracemalloc.start()
        with path.open("wb") as file:
            file.writelines(export_run(one, "long"))
        with path.open("rb") as file:
            assert import_run(two, check_run(file, str(path), Codec())).new_events == count + 1
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < count * len(data) / 1.2
