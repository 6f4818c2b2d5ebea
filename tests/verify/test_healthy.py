"""Stores with nothing wrong: verification says so, changes nothing, and costs little memory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from eventstore.codec import Codec
from eventstore.errors import Unavailable
from eventstore.events import RunCreated, TaskRunCompleted, TaskRunScheduled, TaskRunStarted
from eventstore.log import Append, Purged
from projections import Store, open_store
from projections.verify_files import bytes_to_verify, verify_files
from tests.stores import BACKENDS, address_of

from .example import check, codes, contents, fill


def test_a_healthy_store_is_clean_and_nothing_in_it_is_touched(healthy: Path) -> None:
    before = contents(healthy)
    report = check(healthy)
    assert report.findings == ()
    assert (report.events, report.streams, report.runs, report.blobs) == (33, 7, 4, 2)
    assert contents(healthy) == before


def test_an_empty_store_is_clean(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    assert check(tmp_path).findings == ()


def test_a_store_is_found_whatever_its_folder_is_called(healthy: Path, tmp_path: Path) -> None:
    for name in ("a b", "?mode=rw#%41&é", "jsonl:"):
        assert check(Path(shutil.copytree(healthy, tmp_path / name))).findings == ()


def test_a_store_that_is_open_is_clean(tmp_path: Path) -> None:
    with open_store(tmp_path, threshold=200) as store:
        fill(store)
        store.list_runs()  # brings the tables up to date
        assert check(tmp_path).findings == ()


def test_a_store_whose_process_was_killed_is_clean_and_nothing_in_it_is_touched(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from projections import open_store
from tests.verify.example import fill
store = open_store(sys.argv[1], threshold=200)
fill(store)
store.list_runs()  # brings the tables up to date
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=Path(__file__).parents[2])
    assert ended.returncode == -signal.SIGKILL
    before = {name: state for name, state in contents(tmp_path).items() if not name.endswith("-shm")}
    assert "_views.db-wal" in before
    report = check(tmp_path)
    assert (report.findings, report.events) == ((), 33)
    assert {name: state for name, state in contents(tmp_path).items() if not name.endswith("-shm")} == before


def test_a_store_that_was_rebuilt_is_clean(folder: Path) -> None:
    with open_store(folder) as store:
        store.rebuild()
    assert check(folder).findings == ()


def test_a_run_made_anew_after_its_purge_is_clean(folder: Path) -> None:
    with open_store(folder) as store:
        store.create_run("letters", run_id="purged")
        store.log.purge("done")
        store.create_run("letters", run_id="done")
    assert codes(check(folder)) == {"info blob-unreferenced"}


@pytest.mark.parametrize("kind", BACKENDS)
def test_an_open_store_verifies_itself(tmp_path: Path, kind: str) -> None:
    with open_store(address_of(kind, tmp_path), durability="none", threshold=200) as store:
        fill(store)
        report = store.verify()
        assert report.findings == ()
        assert (report.events, report.streams, report.runs, report.blobs) == (33, 7, 4, 2)


def test_an_open_store_finds_what_is_wrong_with_itself() -> None:
    with open_store("memory:") as store:
        store.log.append([Append("ghost", [store.codec.encode(TaskRunStarted("t", 1))])])
        with store.views.at_once() as session:
            session.rows("UPDATE main.attempts SET worker = 'somebody'")
        assert codes(store.verify()) == {"error orphan-task", "warning view-drift"}


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_record_of_a_purge_that_the_log_has_not_made_means_nothing(tmp_path: Path, kind: str) -> None:
    with open_store(address_of(kind, tmp_path), durability="none") as store:
        store.create_run("letters", run_id="there")
        store.log.append([Append("x", [store.codec.encode(Purged("there", 1))])])
        assert store.get_run("there") is not None
        assert store.verify().findings == ()


def test_all_bytes_are_told_of_as_they_are_verified(healthy: Path) -> None:
    told: list[int] = []
    verify_files(healthy, Codec(), told.append)
    assert sum(told) == bytes_to_verify(healthy)
    assert len(told) > 30


def test_where_there_is_no_store_nothing_is_made(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a store")
    for path in (tmp_path, tmp_path / "absent", file):
        with pytest.raises(Unavailable):
            verify_files(path, Codec())
    assert os.listdir(tmp_path) == ["file"]


def test_memory_does_not_grow_with_the_store(tmp_path: Path) -> None:
    with open_store(tmp_path, durability="none") as store:
        for number in range(40):
            append_tasks(store, f"run {number}", tasks=10, size=40_000)
    assert bytes_to_verify(tmp_path) > 16_000_000
    tracemalloc.start()
    try:
        assert check(tmp_path).findings == ()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000


def append_tasks(store: Store, run_id: str, tasks: int, size: int) -> None:
    happened: list[RunCreated | TaskRunScheduled | TaskRunStarted | TaskRunCompleted] = [RunCreated("flow")]
    for number in range(tasks):
        task_id, output = f"task {number}", store.values.keep("x" * size)
        happened += [TaskRunScheduled(task_id), TaskRunStarted(task_id, 1), TaskRunCompleted(task_id, 1, output)]
    store.log.append([Append(run_id, [store.codec.encode(event) for event in happened])])
