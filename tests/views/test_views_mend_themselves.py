"""The views' database is disposable: lost, foreign, damaged or contradicting, it is made again from the log."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from eventstore.errors import InvalidValue, NotFound, Unavailable
from eventstore.log import Append, NewEvent
from projections import Store
from projections.tables import DamagedViews
from tests.stores import completed, files_due, files_in, folded, following, open_again, run_of, tables_of

VIEWS = "_views.db"


def foreign_tables(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA user_version = 99; CREATE TABLE workflow_runs (id, mood); CREATE TABLE x (y)")


def older_format(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA user_version = 0; ALTER TABLE workflow_runs DROP COLUMN user_message")


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 + 100 :] = b"\x5a" * (len(content) - 4096 - 100)
    path.write_bytes(content)


LOSSES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "rubbish": lambda path: path.write_bytes(b"rubbish " * 1000),
    "of another program": foreign_tables,
    "of another format": older_format,
    "damaged inside": damage,
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
}


@pytest.fixture
def closed(folder: Path) -> Path:
    """The folder of a store with two runs, which nobody has open."""
    with open_again(folder) as store:
        for run_id in ("one", "two"):
            run_of(store, "a", "b", run_id=run_id)
            completed(store, run_id, "a", {"of": run_id})
    return folder


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES.keys())
def test_a_database_that_is_lost_is_made_again_when_the_store_is_opened(
    closed: Path, lose: Callable[[Path], object]
) -> None:
    files = files_in(closed)
    lose(closed / VIEWS)
    with open_again(closed) as store:
        assert tables_of(store) == folded(store)
        assert store.get_result("two", "a") == {"of": "two"}
        assert files_in(closed) == files


def test_views_that_know_more_than_the_log_are_made_again(closed: Path) -> None:
    shutil.copytree(closed / "_log", closed.with_name("old log"))
    with open_again(closed) as store:
        completed(store, "one", "b", "lost with the newer log")
        run_of(store, "c", run_id="three")
    shutil.rmtree(closed / "_log")
    shutil.copytree(closed.with_name("old log"), closed / "_log")
    with open_again(closed) as store:
        assert tables_of(store) == folded(store)
        assert [run.id for run in store.list_runs()] == ["one", "two"]
        assert files_in(closed) == files_due(store, closed)


def test_views_of_another_log_are_made_again(closed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with open_again(other) as store:
        run_of(store, "x", "y", run_id="other")
    for path in closed.glob(f"{VIEWS}*"):
        path.unlink()
    shutil.copy(other / VIEWS, closed / VIEWS)
    with open_again(closed) as store:
        assert tables_of(store) == folded(store)
        assert [run.id for run in store.list_runs()] == ["one", "two"]
        assert files_in(closed) == files_due(store, closed)


def test_views_that_are_behind_catch_up_before_anything_is_read(closed: Path) -> None:
    with open_again(closed) as store:
        store.log.hook = None
        store.wait_run("one", "approval")
        store.log.hook = following(store)
        run = store.get_run("one")
        assert run is not None
        assert run.status == "waiting"


def test_a_program_that_died_before_its_views_followed_is_caught_up_with(closed: Path) -> None:
    with open_again(closed) as store:
        views = {path: path.read_bytes() for path in closed.glob(f"{VIEWS}*")}
        completed(store, "one", "b", 2)
        store.cancel_run("two")
        for path in closed.glob(f"{VIEWS}*"):
            path.unlink()
        for path, content in views.items():
            path.write_bytes(content)
        with open_again(closed) as restarted:
            assert tables_of(restarted) == folded(restarted)
            assert files_in(closed) == files_due(restarted, closed)


def test_damage_that_is_met_while_reading_is_an_error_that_says_what_to_do(closed: Path) -> None:
    with open_again(closed) as store:
        expected = tables_of(store)
    with open_again(closed) as store:
        store.get_run("one")
        with closing(sqlite3.connect(closed / VIEWS)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damage(closed / VIEWS)
        following(store)._connection.execute("PRAGMA shrink_memory")
        with pytest.raises(DamagedViews, match="damaged") as caught:
            tables_of(store)
        assert "eventstore rebuild" in caught.value.hint
        store.rebuild()
        assert tables_of(store) == expected


def test_rebuilding_tells_how_far_it_is(closed: Path) -> None:
    told: list[int] = []
    with open_again(closed) as store:
        store.rebuild(told.append)
        assert sum(told) == store.log.head()


def test_a_rebuilding_that_is_broken_off_changes_nothing(closed: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with open_again(closed) as store:
        before = tables_of(store)
        with pytest.raises(KeyboardInterrupt):
            store.rebuild(stop)
        assert tables_of(store) == before


def test_an_event_that_cannot_be_read_stops_the_views_rather_than_being_passed_over(closed: Path) -> None:
    with open_again(closed) as store:
        store.log.append([Append("bad", [NewEvent(type="runCreated", data=b'{"workflow_name":7}')])])
        with pytest.raises(InvalidValue, match="runCreated"):
            store.get_run("one")
        store.log.purge("bad")
        assert store.get_run("one") is not None
        assert tables_of(store) == folded(store)


def test_a_store_that_has_lost_its_log_knows_no_runs_and_says_so(closed: Path) -> None:
    shutil.rmtree(closed / "_log")
    with open_again(closed) as store:
        with pytest.raises(NotFound):
            store.get_completed_node_outputs("one")
        assert tables_of(store) == folded(store)
        assert files_in(closed) == {}


def test_closed_views_say_that_they_are_closed(file_store: Store) -> None:
    file_store.close()
    with pytest.raises(ValueError, match="closed"):
        file_store.get_run("one")


def test_a_database_that_cannot_be_opened_is_an_error_of_this_library(closed: Path) -> None:
    (closed / VIEWS).unlink()
    (closed / VIEWS).mkdir()
    with pytest.raises(Unavailable, match="views"):
        open_again(closed)
