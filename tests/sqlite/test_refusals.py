"""Files that are no store, or none that can be used: each a clear error with its exit code, and nothing is changed."""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from eventstore.errors import EventStoreError, InvalidInput, RowCorrupt, Unavailable, UnsupportedStore
from eventstore.log import Append
from eventstore.sqlite import SqliteLog
from eventstore.sqlite_database import translated
from projections import open_store
from projections.cli import main
from tests.crash.children import Children
from tests.verify.example import fill

from .writer_process import hold_the_lock, open_as_nobody, written

PATIENCE = 30.0


def make_store(path: Path) -> None:
    with open_store(f"sqlite:{path}", durability="none", threshold=200) as store:
        fill(store)


def overwrite(path: Path, start: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[start : start + len(data)] = data
    path.write_bytes(content)


def text(path: Path) -> None:
    path.write_text("Dear diary, " * 1_000)


def a_word(path: Path) -> None:
    path.write_text("hello")


def noise(path: Path) -> None:
    path.write_bytes(random.Random(7).randbytes(20_000))


def something_else(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (text)")


def marked_by_another(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 12345")


def emptied_by_another(path: Path) -> None:
    something_else(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE notes")


def cut(size: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        make_store(path)
        path.write_bytes(path.read_bytes()[:size])

    damage.__name__ = f"cut_to_{size}_bytes"
    return damage


def cut_by_a_page(path: Path) -> None:
    make_store(path)
    path.write_bytes(path.read_bytes()[:-4096])


def first_page_gone(path: Path) -> None:
    make_store(path)
    overwrite(path, 0, bytes(4096))


def first_bytes_gone(path: Path) -> None:
    make_store(path)
    overwrite(path, 0, bytes(16))


def first_page_without_tables(path: Path) -> None:
    make_store(path)
    overwrite(path, 103, bytes(2))  # the number of cells on the page


def first_page_scribbled(path: Path) -> None:
    make_store(path)
    overwrite(path, 100, b"\xa5" * 3_996)


def empty_beside_its_write_ahead_log(path: Path) -> None:
    other = path.with_name("other.db")
    with closing(SqliteLog(other)) as log:
        log.append([Append("stream", [written()])])
        shutil.copy(f"{other}-wal", f"{path}-wal")
    path.touch()
    other.unlink()


def newer(path: Path) -> None:
    make_of_version("99", path)


def version_that_is_text(path: Path) -> None:
    make_of_version("'done'", path)


def make_of_version(version: str, path: Path) -> None:
    make_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE schema_versions SET version = {version}")
        connection.commit()


NO_STORE = (text, a_word, noise, something_else, marked_by_another, emptied_by_another, first_page_gone)
DAMAGED = (
    cut(100),
    cut(1_000),
    cut(4096),
    cut(10_000),
    cut_by_a_page,
    first_bytes_gone,
    first_page_without_tables,
    first_page_scribbled,
    empty_beside_its_write_ahead_log,
    version_that_is_text,
)
KINDS: list[tuple[Callable[[Path], None], type[EventStoreError]]] = [
    *((make, InvalidInput) for make in NO_STORE),
    *((make, RowCorrupt) for make in DAMAGED),
    (newer, UnsupportedStore),
]
CODES: dict[type[EventStoreError], int] = {InvalidInput: 2, RowCorrupt: 5}


@pytest.mark.parametrize(("make", "kind"), KINDS, ids=lambda value: value.__name__)
def test_what_cannot_be_a_store_is_refused_and_not_a_byte_of_it_changes(
    path: Path, make: Callable[[Path], None], kind: type[EventStoreError]
) -> None:
    make(path)
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    for create in (True, False):
        with pytest.raises(kind) as caught:
            open_store(f"sqlite:{path}", create=create)
        assert caught.value.hint
        assert {file: file.read_bytes() for file in path.parent.iterdir()} == before


@pytest.mark.parametrize("command", ["runs", "verify"])
@pytest.mark.parametrize(("make", "kind"), KINDS[:-1], ids=lambda value: value.__name__)
def test_the_command_ends_with_the_code_and_a_hint(
    path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Callable[[Path], None],
    kind: type[EventStoreError],
    command: str,
) -> None:
    make(path)
    with pytest.raises(SystemExit) as ended:
        main([command, "--store", f"sqlite:{path}"])
    shown = capsys.readouterr()
    assert (ended.value.code, shown.out) == (CODES[kind], "")
    assert "error: " in shown.err
    assert "hint: " in shown.err


def test_a_store_without_its_table_of_events_is_never_taken_for_an_empty_one(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE workflow_events")
    with closing(SqliteLog(path)) as log:
        for use in (log.head, lambda: list(log.read_all()), lambda: log.append([Append("a", [written()])])):
            with pytest.raises(RowCorrupt, match="no such table"):
                use()
    with pytest.raises(SystemExit) as ended:
        main(["verify", "--store", f"sqlite:{path}"])
    assert ended.value.code == 5
    assert "error file-unreadable" in capsys.readouterr().out


def test_an_empty_file_becomes_a_store_where_one_may_be_made(path: Path) -> None:
    path.touch()
    with pytest.raises(Unavailable, match="there is no store"):
        SqliteLog(path, create=False)
    assert path.read_bytes() == b""
    with closing(SqliteLog(path)) as log:
        log.append([Append("stream", [written()])])
    with closing(SqliteLog(path, create=False)) as log:
        assert log.head() == 1


def test_where_there_is_no_file_none_is_made(tmp_path: Path) -> None:
    for path in (tmp_path / "store.db", tmp_path / "folder" / "store.db"):
        with pytest.raises(Unavailable, match="there is no store") as caught:
            SqliteLog(path, create=False)
        assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_a_store_nor_is_there_one_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "file" / "store.db"):
        with pytest.raises(Unavailable) as caught:
            SqliteLog(path)
        assert caught.value.hint or "file" in str(caught.value)
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "mode"), [("store.db", 0o000), ("store.db", 0o444), (".", 0o555), (".", 0o000)], ids=str
)
def test_without_the_right_to_write_a_store_is_refused_with_a_hint(
    tmp_path: Path, children: Children, name: str, mode: int
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "store.db"
    make_store(path)
    folder.chmod(0o777)
    path.chmod(0o666)
    before = path.read_bytes()
    (folder / name).chmod(mode)
    code, hint = children.start(open_as_nobody, tmp_path, "folder/store.db").result()
    folder.chmod(0o700)
    assert (code, bool(hint)) == ("unavailable", True)
    path.chmod(0o600)
    assert path.read_bytes() == before
    with open_store(f"sqlite:{path}") as store:
        assert store.verify().clean


def test_a_store_that_can_only_be_read_is_told_to_be_copied(tmp_path: Path) -> None:
    make_store(tmp_path / "store.db")
    with (
        closing(sqlite3.connect(f"file:{tmp_path}/store.db?mode=ro", uri=True)) as connection,
        pytest.raises(sqlite3.OperationalError) as caught,
    ):
        connection.execute("PRAGMA user_version = 1")
    refused = translated(caught.value, tmp_path / "store.db")
    assert isinstance(refused, Unavailable)
    assert "copy the file" in refused.hint


def test_a_locked_file_is_told_to_be_tried_again_and_readers_do_not_wait(log: SqliteLog, children: Children) -> None:
    log.append([Append("stream", [written()])])
    other = children.start(hold_the_lock, log.database.path)
    assert other.receive() == "writing"
    with pytest.raises(Unavailable, match="locked") as caught:
        log.append([Append("stream", [written()])])
    assert caught.value.retriable
    assert "try again" in caught.value.hint
    assert [event.version for event in log.read_all()] == [1]
    other.send("done")
    other.result()
    assert log.append([Append("stream", [written()])]).versions == {"stream": 2}


def test_readers_do_not_wait_for_a_writer_that_waits_for_another_process(path: Path, children: Children) -> None:
    with closing(SqliteLog(path)) as log:
        log.append([Append("stream", [written()])])
        other = children.start(hold_the_lock, path)
        assert other.receive() == "writing"
        writer = threading.Thread(target=log.append, args=([Append("stream", [written()])],))
        writer.start()
        while log.database._writing.acquire(blocking=False):  # until the writer has it
            log.database._writing.release()
        assert log.version("stream") == log.head() == 1
        other.send("done")
        other.result()
        writer.join(PATIENCE)
        assert log.version("stream") == 2


def test_a_reader_that_stays_keeps_nobody_from_writing_or_purging(log: SqliteLog) -> None:
    log.append([Append("stream", [written()])])
    with log.database.reading() as session:
        before = session.rows("SELECT count(*) FROM main.workflow_events")
        for version in range(2, 20):
            assert log.append([Append("stream", [written()])]).versions == {"stream": version}
        assert log.purge("stream").events == 19
        assert session.rows("SELECT count(*) FROM main.workflow_events") == before == [(1,)]
