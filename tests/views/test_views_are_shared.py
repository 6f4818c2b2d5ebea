"""One address, several stores in several processes and threads: all see the same at once, and nobody waits for ever."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from eventstore.errors import Unavailable
from projections import Store
from projections.following_folders import FollowingFolders
from tests.crash.children import Children
from tests.stores import (
    LASTING,
    address_of,
    check_views,
    completed,
    files_due,
    files_in,
    folded,
    following,
    open_again,
    run_of,
    tables_of,
)

PATIENCE = 60.0
"""Seconds after which a thread counts as stuck."""


def test_two_stores_at_one_address_see_each_others_writes_at_once(lasting_store: Store, lasting: str) -> None:
    with open_again(lasting) as other:
        run_of(lasting_store, "a", "b")
        for writer, reader, task_id in ((lasting_store, other, "a"), (other, lasting_store, "b")):
            completed(writer, "run", task_id, f"output of {task_id}")
            assert reader.get_result("run", task_id) == f"output of {task_id}"
            assert tables_of(reader) == tables_of(writer) == folded(reader)
        check_views(other)


def test_a_store_sees_its_own_writes_after_another_has_made_the_views_again_from_a_log_without_them(
    file_store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(file_store, "a", "b")
    with open_again(folder) as other:
        without = list(other.log.read_all())
        completed(file_store, "run", "a")
        with monkeypatch.context() as patch:
            patch.setattr(other.log, "read_all", lambda **_: iter(without))
            other.rebuild()
    assert file_store.get_result("run", "a") is None
    assert tables_of(file_store) == folded(file_store)
    file_store.write_folders()
    assert files_in(folder) == files_due(file_store, folder)


def answer(test: Connection, address: str) -> None:
    """Complete whatever task it is told, and say what the outputs are then."""
    with open_again(address) as store:
        test.send("ready")
        while task_id := test.recv():
            completed(store, "run", task_id, f"output of {task_id}")
            test.send(store.get_completed_node_outputs("run"))


def test_two_processes_at_one_address_see_each_others_writes_at_once(
    lasting_store: Store, lasting: str, children: Children
) -> None:
    task_ids = [f"task {number}" for number in range(20)]
    run_of(lasting_store, *task_ids)
    child = children.start(answer, lasting)
    assert child.receive() == "ready"
    outputs: dict[str, str] = {}
    for ours, theirs in zip(task_ids[::2], task_ids[1::2], strict=True):
        completed(lasting_store, "run", ours, f"output of {ours}")
        child.send(theirs)
        outputs |= {ours: f"output of {ours}", theirs: f"output of {theirs}"}
        assert child.receive() == outputs
        assert lasting_store.get_completed_node_outputs("run") == outputs
    child.send("")
    assert child.result() is None
    check_views(lasting_store)


def close_forked(test: Connection, address: str) -> int:
    """Close a store in a process forked while another thread reads, and say how that process ended."""
    reading, closed = threading.Event(), threading.Event()

    def read(store: Store) -> None:
        with store.views.at_once():
            reading.set()
            closed.wait()

    with open_again(address) as store:
        reader = threading.Thread(target=read, args=(store,))
        reader.start()
        reading.wait()
        if os.fork() == 0:
            signal.alarm(20)
            store.close()
            os._exit(0)
        _, status = os.wait()
        closed.set()
        reader.join()
        store.create_run("flow", run_id="run")
    return status


def test_closing_in_a_forked_process_waits_for_none_of_the_threads_it_has_not_got(
    lasting: str, children: Children
) -> None:
    assert children.start(close_forked, lasting).result() == 0
    with open_again(lasting) as store:
        assert store.get_run("run") is not None
        check_views(store)


def test_whoever_closes_a_store_that_is_being_closed_waits_until_its_views_are_up_to_date(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_again(folder)
    store.create_run("flow", run_id="run")
    begun, go_on = threading.Event(), threading.Event()
    write_folders = FollowingFolders.catch_up

    def slowly(folders: FollowingFolders) -> None:
        begun.set()
        assert go_on.wait(PATIENCE)
        write_folders(folders)

    monkeypatch.setattr(FollowingFolders, "catch_up", slowly)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(store.close)
        assert begun.wait(PATIENCE)
        second = pool.submit(store.close)
        go_on.set()
        second.result(PATIENCE)
        assert {"run/events.jsonl", "run/run.json"} <= set(files_in(folder))
        first.result(PATIENCE)


def open_and_create(test: Connection, address: str, name: str) -> int:
    """Open a store as soon as it is told to, create a run, and say how many there are."""
    test.send("ready")
    test.recv()
    with open_again(address) as store:
        store.create_run("flow", run_id=name)
        return len(store.list_runs())


@pytest.mark.parametrize("kind", LASTING)
def test_processes_that_open_a_new_store_together_all_can(kind: str, folder: Path, children: Children) -> None:
    for attempt in range(5):
        address = address_of(kind, folder / str(attempt))
        opening = [children.start(open_and_create, address, f"run {number}") for number in range(4)]
        for child in opening:
            assert child.receive() == "ready"
        for child in opening:
            child.send("go")
        assert max(child.result() for child in opening) == 4


@contextmanager
def a_lock_held_by_another(folder: Path, store: Store) -> Iterator[None]:
    """Another program writes to the views and does not come to an end; the store does not wait long for it."""
    following(store)._connection.execute("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(folder / "_views.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def no_room_for_views(folder: Path, store: Store) -> Iterator[None]:
    """The database cannot grow."""
    connection = following(store)._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (before,) = connection.execute("PRAGMA max_page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    yield
    connection.execute(f"PRAGMA max_page_count = {before}")


@pytest.mark.parametrize("trouble", [a_lock_held_by_another, no_room_for_views])
def test_views_that_cannot_be_written_do_not_undo_an_append_and_catch_up_later(
    file_store: Store,
    folder: Path,
    trouble: Callable[[Path, Store], AbstractContextManager[None]],
) -> None:
    run_of(file_store, "a")
    attempt = file_store.start_task("run", "a").attempt
    output = "x" * 50_000
    with trouble(folder, file_store):
        with pytest.raises(Unavailable, match="views"):
            file_store.complete_task("run", "a", output, attempt=attempt)
        assert file_store.log.version("run") == 5
    assert file_store.get_result("run", "a") == output
    assert file_store.complete_task("run", "a", output, attempt=attempt).status == "completed"
    assert file_store.log.version("run") == 5
    assert tables_of(file_store) == folded(file_store)
    file_store.write_folders()
    assert files_in(folder) == files_due(file_store, folder)


def work(store: Store, run_id: str) -> None:
    """Some runs, one after the other, each of them purged at the end but for the last."""
    for round_ in range(6):
        run_of(store, "a", "b", run_id=run_id)
        for task_id in ("a", "b"):
            completed(store, run_id, task_id, round_)
        store.complete_run(run_id, round_)
        if round_ < 5:
            store.log.purge(run_id)


def look(store: Store, run_id: str) -> None:
    for _ in range(60):
        run = store.get_run(run_id)
        outputs = store.list_outputs(run_id)
        assert run is None or len(outputs) <= 2
        store.log.wait(0, timeout=0)


def make_again(store: Store, run_id: str) -> None:
    for _ in range(12):
        store.rebuild()


@pytest.mark.parametrize(("kind", "many"), [("memory", False), *product(LASTING, [False, True])])
def test_threads_that_write_read_rebuild_and_purge_all_come_to_an_end(kind: str, folder: Path, many: bool) -> None:
    jobs: list[tuple[Callable[[Store, str], None], str]] = [
        *((work, f"run {number}") for number in range(3)),
        *((look, f"run {number}") for number in range(2)),
        (make_again, ""),
    ]
    address = address_of(kind, folder)
    first = open_again(address)
    stores = [open_again(address) if many else first for _ in jobs]
    errors: list[BaseException] = []

    def run(job: Callable[[Store, str], None], store: Store, run_id: str) -> None:
        try:
            job(store, run_id)
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=(job, store, run_id), daemon=True)
        for store, (job, run_id) in zip(stores, jobs, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert [thread.name for thread in threads if thread.is_alive()] == []
    assert errors == []
    check_views(first)
    assert [run.output.size for run in first.list_runs() if run.output] == [1, 1, 1]
    for store in {id(store): store for store in (first, *stores)}.values():
        store.close()
