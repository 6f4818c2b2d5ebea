"""Forks in other stores: exported with what they need, imported, copied."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventstore.copying import copy_log
from eventstore.errors import Conflict, InvalidInput
from projections import Store, open_store
from projections.tables import Contents
from projections.transfer import ImportedRun, check_run, export_run, import_run
from tests.fork.origins import known, origin_of, rows_of
from tests.stores import check_views, completed


@pytest.fixture
def source() -> Iterator[Store]:
    """A store with a fork of a fork; the first was forked in the middle of a commit."""
    with open_store("memory:") as store:
        origin_of(store)
        store.resume("origin", worker="second", force=True)  # which also closes the attempt that was running
        completed(store, "origin", "d")
        store.fork_run("origin", version=12, fork_id="fork")
        store.start_run("fork")
        completed(store, "fork", "c", "of c")
        store.fork_run("fork", fork_id="fork of it")
        completed(store, "fork", "d", "of d")
        yield store


def exported(store: Store, run_id: str) -> bytes:
    return b"".join(export_run(store, run_id))


def bring_in(store: Store, file: bytes) -> ImportedRun:
    return import_run(store, check_run(io.BytesIO(file), "run.jsonl", store.codec))


def shown(store: Store, run_id: str) -> Contents:
    """The run's rows, without the positions in them."""
    return {
        table: {key: {n: v for n, v in row.items() if n != "position"} for key, row in rows.items()}
        for table, rows in rows_of(store, run_id).items()
    }


def test_a_fork_comes_with_what_it_needs_of_its_origins(source: Store, store: Store) -> None:
    file = exported(source, "fork of it")
    parts = [line["run"] for line in map(json.loads, file.splitlines()) if line.get("file") == "part"]
    assert parts == ["origin", "fork", "fork of it"]
    imported = bring_in(store, file)
    assert shown(store, "fork of it") == shown(source, "fork of it")
    assert store.get_completed_node_outputs("fork of it") == source.get_completed_node_outputs("fork of it")
    assert store.log.version("origin") == 13  # to the end of the commit in which it was forked
    assert imported.run_id == "fork of it"
    assert imported.events == imported.new_events == sum(map(store.log.version, parts))
    assert store.verify().clean
    check_views(store)
    assert exported(store, "fork of it") == file


def test_importing_a_fork_again_changes_nothing(source: Store, store: Store) -> None:
    file = exported(source, "fork of it")
    bring_in(store, file)
    before = list(store.log.read_all())
    assert bring_in(store, file).new_events == 0
    assert list(store.log.read_all()) == before


def test_a_fork_goes_to_where_its_origin_is_whole(source: Store, store: Store) -> None:
    bring_in(store, exported(source, "origin"))
    origin = shown(store, "origin")
    assert bring_in(store, exported(source, "fork")).new_events == source.log.version("fork")
    assert shown(store, "fork") == shown(source, "fork")
    assert shown(store, "origin") == origin
    assert store.verify().clean


def test_the_rest_of_the_origin_can_follow_its_fork(source: Store, store: Store) -> None:
    bring_in(store, exported(source, "fork"))
    bring_in(store, exported(source, "origin"))
    for run_id in ("origin", "fork"):
        assert shown(store, run_id) == shown(source, run_id)
    assert store.verify().clean


def test_a_fork_is_not_imported_beside_another_origin(source: Store, store: Store) -> None:
    store.create_run("another flow", run_id="origin")
    head = store.log.head()
    with pytest.raises(Conflict, match="'origin' is here already"):
        bring_in(store, exported(source, "fork"))
    assert store.log.head() == head


def test_the_file_of_a_fork_without_its_origin_is_refused(source: Store) -> None:
    lines = exported(source, "fork").splitlines(keepends=True)
    own = next(place for place, line in enumerate(lines) if json.loads(line) == {"file": "part", "run": "fork"})
    with pytest.raises(InvalidInput, match="which does not stand before it"):
        check_run(io.BytesIO(b"".join([lines[0], *lines[own:]])), "run.jsonl", source.codec)
    doubled = b"".join([*lines[:-1], *lines[own:]])
    with pytest.raises(InvalidInput, match="two parts"):
        check_run(io.BytesIO(doubled), "run.jsonl", source.codec)


def test_a_deleted_origin_goes_with_its_fork(source: Store, store: Store) -> None:
    source.delete_run("origin", force=True)
    bring_in(store, exported(source, "fork"))
    assert shown(store, "fork") == shown(source, "fork")
    assert known(store.get_run("origin")).status == "running"  # as it was when it was forked


def test_a_copy_has_the_forks_of_the_original(source: Store, store: Store) -> None:
    for _ in range(2):
        copy_log(source.log, source.values.blobs, store.log, store.values.blobs)
        for run_id in ("origin", "fork", "fork of it"):
            assert shown(store, run_id) == shown(source, run_id)
        assert store.verify().clean
        check_views(store)


def test_the_folder_of_a_fork_tells_where_it_comes_from(file_store: Store, folder: Path) -> None:
    origin_of(file_store)
    file_store.fork_run("origin", fork_id="fork")
    file_store.write_folders()
    run = json.loads((folder / "fork/run.json").read_text())
    assert (run["forked_from"], run["forked_version"]) == ("origin", 11)
    assert sorted(file.name for file in (folder / "fork/outputs").iterdir()) == ["a.json", "b.json"]
    events = [json.loads(line)["type"] for line in (folder / "fork/events.jsonl").read_text().splitlines()]
    assert events == ["runForked", "taskRunInterrupted"]
    check_views(file_store)


def test_a_forks_folder_is_made_again(file_store: Store, folder: Path) -> None:
    origin_of(file_store)
    file_store.fork_run("origin", fork_id="fork")
    file_store.write_folders()
    (folder / "fork/outputs/a.json").unlink()
    file_store.start_run("fork")
    check_views(file_store)
