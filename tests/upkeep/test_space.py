"""What was removed gives its space back."""

from __future__ import annotations

import os
import time
from contextlib import closing
from hashlib import shake_256
from pathlib import Path

import pytest

from eventstore.sqlite import SqliteLog
from eventstore.sqlite_session import connect
from eventstore.testing.opening import PATIENCE
from projections import Store, open_store
from tests.postgres import SERVERS
from tests.sql_stores import in_schema
from tests.stores import Clock, address_of, check_views, run_of

from .test_purge_run import DAY

TOTAL = """SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"""
TEXT_BYTES, LARGE_BYTES = 5_000, 100_000


def text_of(size: int, *names: object) -> str:
    """So much text, always the same for these names, that no database makes smaller."""
    return shake_256(repr(names).encode()).hexdigest(size // 2)


def fill(store: Store, count: int = 20) -> None:
    """Runs that have ended, with events of several kilobytes and a blob each."""
    for number in range(count):
        run_of(store, "a", "b", run_id=f"run-{number}")
        for task_id, size in (("a", TEXT_BYTES), ("b", LARGE_BYTES)):
            store.start_task(f"run-{number}", task_id)
            store.complete_task(f"run-{number}", task_id, text_of(size, number))
        store.complete_run(f"run-{number}")


def size_of(folder: Path) -> int:
    """Of all the files in and beside it."""
    return sum(os.path.getsize(Path(path) / name) for path, _, names in os.walk(folder.parent) for name in names)


@pytest.mark.parametrize("backend", ["jsonl", "sqlite"], indirect=True)
def test_a_purge_shrinks_the_files_at_once(store: Store, folder: Path, clock: Clock) -> None:
    fill(store)
    clock.time += DAY
    store.reclaim()
    before = size_of(folder)
    purged = store.purge_runs(ended_before=clock.time)
    assert (len(purged.runs), purged.blobs) == (20, 20)
    assert before - size_of(folder) > 20 * (TEXT_BYTES + LARGE_BYTES)
    assert size_of(folder) < before / 3
    check_views(store)
    assert store.verify().clean


@pytest.mark.parametrize("backend", ["jsonl", "sqlite"], indirect=True)
def test_a_collection_shrinks_the_files_at_once(store: Store, folder: Path, clock: Clock) -> None:
    fill(store, 1)
    store.reclaim()
    empty = size_of(folder)
    for number in range(20):
        store.values.keep(text_of(LARGE_BYTES, "more", number))
    clock.time += DAY
    assert store.collect_blobs().blobs == 20
    assert size_of(folder) < empty + LARGE_BYTES


def test_a_run_folder_goes_with_its_run(file_store: Store, folder: Path) -> None:
    fill(file_store, 2)
    file_store.purge_run("run-0")
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith("_")) == ["run-1"]


def test_a_sqlite_file_of_an_earlier_program_shrinks_too(tmp_path: Path, clock: Clock) -> None:
    """It was made without the setting that lets it: once, all of it is written anew."""
    path = tmp_path / "store.db"
    with open_store(f"sqlite:{path}", durability="none", clock=clock) as store:
        fill(store)
    with closing(connect(str(path))) as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    before = path.stat().st_size
    clock.time += DAY
    with open_store(f"sqlite:{path}", durability="none", clock=clock) as store:
        store.purge_runs(ended_before=clock.time)
        assert store.verify().clean
    assert path.stat().st_size < before / 3


def test_a_sqlite_file_shrinks_a_bit_at_a_time_beside_a_reader(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader sees the store as it was; once it is done, the next call gets the file as small as it is to be."""
    monkeypatch.setattr("eventstore.sqlite_database._PAGES_AT_ONCE", 7)
    monkeypatch.setattr("eventstore.sqlite_database._READER_MILLISECONDS", 1)
    path = tmp_path / "store.db"
    with open_store(f"sqlite:{path}", durability="none", clock=clock) as store, closing(SqliteLog(path)) as other:
        fill(store)
        store.reclaim()
        before = path.stat().st_size
        clock.time += DAY
        with other.database.reading() as session:
            seen = session.rows("SELECT count(*) FROM main.workflow_events")
            store.purge_runs(ended_before=clock.time)
            assert session.rows("SELECT count(*) FROM main.workflow_events") == seen
        store.reclaim()
        assert path.stat().st_size < before / 3


@pytest.mark.parametrize("server", SERVERS)
def test_on_postgres_the_space_of_large_values_is_given_back_and_that_of_events_used_again(
    server: str, tmp_path: Path, clock: Clock
) -> None:
    address = address_of(server, tmp_path / "store")

    def size() -> int:
        with in_schema(address) as other:
            ((total,),) = other.execute(TOTAL).fetchall()
        return int(total)

    with open_store(address, durability="none", clock=clock) as store:
        fill(store)
        clock.time += DAY
        before = size()
        store.purge_runs(ended_before=clock.time)
        deadline = time.monotonic() + PATIENCE
        while size() > before / 2:  # another test's transaction may keep the server from forgetting
            assert time.monotonic() < deadline
            store.reclaim()
        fill(store)
        assert size() < before * 1.2
