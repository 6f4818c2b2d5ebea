"""An append leaves the tables alone: readers, the thread that writes folders, a purge and closing bring them up."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest

from eventstore.codec import Codec
from eventstore.errors import InvalidValue
from eventstore.events import RunCreated
from eventstore.log import Append, NewEvent
from projections import Store, open_store
from projections.following_folders import FollowingFolders
from projections.following_views import CHECKPOINT
from projections.verify_files import verify_files
from tests.stores import check_views, files_due, files_in, folded, following, open_again, tables_of

PATIENCE = 60.0
"""Seconds after which a thread counts as stuck."""

UNREADABLE = NewEvent(type="runCreated", data=b'{"workflow_name":7}')


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread writes folders by itself."""
    monkeypatch.setattr(FollowingFolders, "soon", lambda _: None)


@pytest.fixture(params=["memory", "jsonl"])
def store(request: pytest.FixtureRequest, folder: Path, idle: None) -> Iterator[Store]:
    with open_store("memory:") if request.param == "memory" else open_again(folder) as store:
        yield store


def create(store: Store, *run_ids: str) -> None:
    """By the log alone, so that nothing is read."""
    for run_id in run_ids:
        store.log.append([Append(run_id, [store.codec.encode(RunCreated("flow"))])])


def position(store: Store) -> int:
    """Where the tables stand."""
    return following(store)._standing()[0]


def test_an_append_leaves_the_tables_to_the_next_reading(store: Store) -> None:
    create(store, "one", "two")
    assert (position(store), store.log.head()) == (0, 2)
    assert [run.id for run in store.list_runs()] == ["one", "two"]
    assert position(store) == 2


def test_whatever_a_thread_has_appended_it_reads(store: Store) -> None:
    missed: list[str] = []

    def append_and_read(thread: int) -> None:
        for number in range(20):
            create(store, f"run {thread}.{number}")
            if store.get_run(f"run {thread}.{number}") is None:
                missed.append(f"run {thread}.{number}")

    threads = [threading.Thread(target=append_and_read, args=(thread,), daemon=True) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert missed == []
    assert len(store.list_runs()) == 80


def test_what_others_have_appended_between_is_read_in_the_log(folder: Path, idle: None) -> None:
    with open_again(folder) as store, open_again(folder) as other:
        create(store, "one")
        create(other, "two")
        create(store, "three")
        assert [run.id for run in store.list_runs()] == ["one", "two", "three"]
        check_views(other)


def test_a_reading_that_finds_what_a_program_without_views_has_appended_has_its_folder_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_again(folder) as store:
        store.log.hook = None
        create(store, "one")
        due = threading.Event()
        monkeypatch.setattr(FollowingFolders, "soon", lambda _: due.set())
        assert store.get_run("one") is not None
        assert due.is_set()


def test_a_purge_is_gone_from_tables_and_folders_when_it_returns(store: Store, folder: Path) -> None:
    create(store, "one", "two")
    store.write_folders()
    create(store, "three")
    store.log.purge("two")
    assert position(store) == store.log.head()
    assert not (folder / "two").exists()
    assert [run.id for run in store.list_runs()] == ["one", "three"]


def test_a_purge_of_what_cannot_be_read_is_taken_though_nobody_has_tried_to_read_it(store: Store) -> None:
    store.log.append([Append("bad", [UNREADABLE])])
    store.log.purge("bad")
    assert position(store) == store.log.head()
    assert tables_of(store) == folded(store)


def test_what_comes_before_an_event_that_cannot_be_read_is_in_tables_and_folders(folder: Path, idle: None) -> None:
    with open_again(folder) as store:
        create(store, "one", "two", "three")
        store.log.append([Append("bad", [UNREADABLE])])
        create(store, "four")
        with pytest.raises(InvalidValue, match="runCreated"):
            store.list_runs()
        with pytest.raises(InvalidValue, match="runCreated"):
            store.write_folders()
        assert position(store) == 3
        assert {path.partition("/")[0] for path in files_in(folder)} == {"one", "two", "three"}


def test_what_the_thread_cannot_read_is_logged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged = SimpleQueue[str]()
    monkeypatch.setattr(logging.getLogger("eventstore"), "warning", lambda text, *_, **__: logged.put(text))
    with open_again(folder) as store:
        store.log.append([Append("bad", [UNREADABLE])])
        assert "views could not follow" in logged.get(timeout=PATIENCE)


def test_closing_leaves_no_table_behind(folder: Path, idle: None) -> None:
    with open_again(folder) as store:
        create(store, "one")
        head = store.log.head()
    with closing(sqlite3.connect(folder / "_views.db")) as views:
        assert views.execute(CHECKPOINT).fetchone()[0] == head


def test_what_a_killed_program_has_not_put_into_its_tables_is_no_damage_and_is_there_for_the_next(
    folder: Path, idle: None
) -> None:
    with open_again(folder) as store:
        create(store, "one", "two")
        killed = Path(shutil.copytree(folder, folder.with_name("killed")))
        report = verify_files(killed, Codec())
        assert [(finding.severity, finding.code) for finding in report.findings] == [("info", "view-behind")]
        with open_again(killed) as restarted:
            assert tables_of(restarted) == folded(restarted) == folded(store)
            assert files_in(killed) == files_due(restarted, killed)
