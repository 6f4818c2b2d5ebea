"""The file log on the real file system: permissions, planted links, limits, a damaged index, and what it syncs when."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eventstore.errors import Unavailable
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, Durability, NewEvent, RecordedEvent
from eventstore.segments import FOLDER, segment_path

from .children import Children
from .disks import CountingDisk, FullDisk
from .oracle import check_streams, mentions
from .writer_process import append_at_every_size_limit, first_attempts, open_unprivileged, use_without_descriptors

PATIENCE = 30.0


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    with Children() as children:
        yield children


def append_one(log: JsonlLog, stream: str = "stream") -> None:
    log.append([Append(stream, [NewEvent(type="written", data=b"{}")])])


def fill(root: Path) -> list[RecordedEvent]:
    """A closed store with some events in several segments."""
    with closing(JsonlLog(root, segment_bytes=4_000)) as log:
        for commit in first_attempts("writer", 20):
            log.append(commit)
        return list(log.read_all())


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_and_folders_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        root = tmp_path / "new" / "store"
        fill(root)
        with closing(JsonlLog(root)) as log:
            log.purge("shared/0")
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]}
    finally:
        os.umask(before)
    assert {path.name for path in modes} >= {"store", "_log", "lock", "index.db", "index.db-wal", "index.db-shm"}
    assert modes == {path: 0o700 if path.is_dir() else 0o600 for path in modes}


@pytest.mark.parametrize("name", ["_log", "_log/lock", "_log/index.db", "_log/index.db-wal", segment_path(1)])
@pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
def test_a_planted_link_is_refused_and_nothing_is_written_through_it(tmp_path: Path, name: str, there: bool) -> None:
    link, target = tmp_path / "store" / name, tmp_path / "target"
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    if there and name == "_log":
        target.mkdir()
    elif there:
        target.touch()
    with pytest.raises(Unavailable):
        JsonlLog(tmp_path / "store")
    assert target.exists() == there
    assert not there or not list(target.iterdir() if name == "_log" else target.read_bytes())


def test_a_link_planted_where_the_next_segment_goes_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch()
    with closing(JsonlLog(tmp_path / "store", segment_bytes=1)) as log:
        append_one(log)
        link = log.root / segment_path(2)
        link.symlink_to(target)
        with pytest.raises(Unavailable):
            append_one(log)
        assert target.read_bytes() == b""
        link.unlink()
        append_one(log)
        assert log.head() == 2


def test_a_size_limit_inside_a_write_leaves_nothing_half_written(tmp_path: Path, children: Children) -> None:
    commit = [Append("stream", [NewEvent(type="written", data=b"{}")])]
    assert children.start(append_at_every_size_limit, tmp_path, commit).result() > 200
    with closing(JsonlLog(tmp_path)) as log:
        assert not log.repairs
        assert log.append(commit).repeated
        check_streams(log, list(log.read_all()))


def test_a_log_goes_on_once_its_process_may_open_files_again(tmp_path: Path, children: Children) -> None:
    assert children.start(use_without_descriptors, tmp_path).result() == ["none", *["unavailable"] * 3]


def test_a_purge_that_finds_the_disk_full_hides_the_stream_and_is_finished_by_the_next_one(
    tmp_path: Path,
) -> None:
    events = fill(tmp_path)
    stream = "shared/0"
    others = [event for event in events if event.stream != stream]
    disk = FullDisk(tmp_path)
    with closing(JsonlLog(tmp_path, disk=disk)) as log:
        disk.full = True
        with pytest.raises(Unavailable):
            log.purge(stream)
        assert list(log.read_all())[:-1] == others
        assert list(log.read_all(backward=True))[:0:-1] == others
        assert list(log.read(stream)) == []
        assert any(mentions(segment, stream) for segment in (tmp_path / FOLDER).glob("*.jsonl"))
        disk.full = False
        assert log.purge(stream).events == 0
        assert not any(mentions(segment, stream) for segment in (tmp_path / FOLDER).glob("*.jsonl"))
        check_streams(log, list(log.read_all()))


def test_a_full_disk_does_not_keep_others_from_going_on_past_an_unfinished_purge(tmp_path: Path) -> None:
    others = [event for event in fill(tmp_path) if event.stream != "shared/0"]
    disk, other_disk = FullDisk(tmp_path), FullDisk(tmp_path)
    with closing(JsonlLog(tmp_path, disk=disk)) as log, closing(JsonlLog(tmp_path, disk=other_disk)) as other:
        disk.full = other_disk.full = True
        with pytest.raises(Unavailable):
            log.purge("shared/0")
        append_one(other)
        assert list(other.read_all())[:-2] == others
        assert list(other.read_all()) == list(log.read_all())


def test_a_file_is_not_a_store(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"precious")
    for path in (file, file / "store"):
        with pytest.raises(Unavailable):
            JsonlLog(path)
    assert file.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("filled", "closed", "mode"),
    [(True, "store", 0o000), (True, "store", 0o444), (False, "store", 0o555), (True, "store/_log", 0o555)],
)
def test_a_folder_without_permission_is_refused_with_a_hint(
    tmp_path: Path, children: Children, filled: bool, closed: str, mode: int
) -> None:
    (tmp_path / "store").mkdir()
    if filled:
        fill(tmp_path / "store")
    for path in (tmp_path / "store").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o444)
    (tmp_path / "store").chmod(0o755)
    (tmp_path / closed).chmod(mode)
    code, hint = children.start(open_unprivileged, tmp_path, "store").result()
    (tmp_path / closed).chmod(0o700)
    assert code == "unavailable"
    assert "permissions" in hint


def delete(index: Path) -> None:
    index.unlink()


def empty(index: Path) -> None:
    index.write_bytes(b"")


def scribble(index: Path) -> None:
    index.write_bytes(b"rubbish " * 1_000)


def halve(index: Path) -> None:
    index.write_bytes(index.read_bytes()[: index.stat().st_size // 2])


def make_another_format(index: Path) -> None:
    index.unlink()
    with closing(sqlite3.connect(index)) as connection:
        connection.executescript("CREATE TABLE witness (other); PRAGMA user_version = 99;")


@pytest.mark.parametrize("damage", [delete, empty, scribble, halve, make_another_format])
def test_an_index_that_is_none_is_made_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    events = fill(tmp_path)
    damage(tmp_path / FOLDER / "index.db")
    for _ in range(2):
        with closing(JsonlLog(tmp_path)) as log:
            assert list(log.read_all()) == events
            check_streams(log, events)
            assert all(log.append(commit).repeated for commit in first_attempts("writer", 20))
    assert stat.S_IMODE((tmp_path / FOLDER / "index.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("page", [2, 4])  # page 1 only says which pages are free, and no reader looks at it
def test_an_index_with_a_damaged_page_is_refused_with_the_way_out(tmp_path: Path, page: int) -> None:
    events = fill(tmp_path)
    index = tmp_path / FOLDER / "index.db"
    pages = bytearray(index.read_bytes())
    pages[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
    index.write_bytes(pages)
    with pytest.raises(Unavailable, match="malformed") as caught, closing(JsonlLog(tmp_path)) as log:
        check_streams(log, list(log.read_all()))
    assert "remove _log/index.db" in caught.value.hint
    index.unlink()
    with closing(JsonlLog(tmp_path)) as log:
        check_streams(log, events)


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    events = fill(tmp_path)
    names = ("notes.txt", "1.jsonl", f"{1:020d}.jsonl.bak", f"{1:020d}.json", "x" * 20 + ".jsonl", ".hidden")
    for name in names:
        (tmp_path / FOLDER / name).write_text("notes")
    (tmp_path / "_other").mkdir()
    with closing(JsonlLog(tmp_path, segment_bytes=4_000)) as log:
        assert list(log.read_all()) == events
        for _ in range(20):
            append_one(log)
        log.purge("stream")
    assert all((tmp_path / FOLDER / name).read_text() == "notes" for name in names)


def test_closing_twice_is_like_closing_once(tmp_path: Path) -> None:
    for round in range(3):
        log = JsonlLog(tmp_path)
        assert log.head() == round
        append_one(log)
        log.close()
        log.close()


def test_two_logs_open_on_one_store_see_what_the_other_appends(tmp_path: Path) -> None:
    fill(tmp_path)
    with closing(JsonlLog(tmp_path)) as one, closing(JsonlLog(tmp_path)) as other:
        for _ in range(10):
            append_one(one)
            append_one(other)
            assert list(one.read_all()) == list(other.read_all())
        check_streams(one, list(other.read_all()))


def test_full_durability_syncs_every_append(tmp_path: Path) -> None:
    disk = CountingDisk(tmp_path)
    with closing(JsonlLog(tmp_path, disk=disk)) as log:
        before = disk.syncs
        for _ in range(20):
            append_one(log)
        assert disk.syncs == before + 20


def test_no_durability_syncs_nothing_until_the_log_is_closed(tmp_path: Path) -> None:
    disk = CountingDisk(tmp_path)
    log = JsonlLog(tmp_path, disk=disk, durability="none")
    before = disk.syncs
    for _ in range(20):
        append_one(log)
    assert disk.syncs == before
    log.close()
    assert disk.syncs > before


def test_batched_durability_syncs_soon_after_an_append_and_only_then(tmp_path: Path) -> None:
    disk = CountingDisk(tmp_path)
    with closing(JsonlLog(tmp_path, disk=disk, durability="batched")) as log:
        before = disk.syncs
        for number in range(3):
            append_one(log)
            assert disk.wait_for_sync(before + number, PATIENCE)
        assert disk.syncs == before + 3


def test_batched_durability_syncs_while_a_thread_appends_without_pause(tmp_path: Path) -> None:
    disk = CountingDisk(tmp_path)
    stop = threading.Event()
    with closing(JsonlLog(tmp_path, disk=disk, durability="batched")) as log:

        def append_until_stopped() -> None:
            while not stop.is_set():
                append_one(log)

        thread = threading.Thread(target=append_until_stopped)
        thread.start()
        try:
            for _ in range(5):
                assert disk.wait_for_sync(disk.syncs, PATIENCE)
        finally:
            stop.set()
            thread.join()
        assert disk.syncs < log.head() / 10


@pytest.mark.parametrize("durability", ["full", "batched", "none"])
def test_events_keep_their_order_when_the_clock_jumps_back(tmp_path: Path, durability: Durability) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(hours=hours) for hours in (5, 3, -1, 4, -10_000, 5)]
    with closing(JsonlLog(tmp_path, durability=durability, clock=iter(times).__next__)) as log:
        for number in range(len(times)):
            log.append([Append("stream", [NewEvent(type="written", data=b"%d" % number)], expected=number)])
    with closing(JsonlLog(tmp_path)) as log:
        events = list(log.read_all())
        assert [int(event.data) for event in events] == list(range(len(times)))
        assert [event.recorded_at for event in events] == times
        check_streams(log, events)
