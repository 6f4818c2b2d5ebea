"""The seam to the operating system: private files, no links, whole writes, replacement in one step."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from eventstore.disk import APPEND, READ, REPLACE, Disk, read_whole, replace, unavailable, write_whole

PATIENCE = 30.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "root")
    yield disk
    with suppress(OSError):
        disk.release()


def put(disk: Disk, path: str, data: bytes) -> None:
    replace(disk, path, data, durable=False)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_root_is_made_private_with_its_parents(tmp_path: Path) -> None:
    Disk(tmp_path / "a" / "b").release()
    assert mode(tmp_path / "a" / "b") == 0o700


def test_a_root_that_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    Disk(tmp_path).release()
    assert mode(tmp_path) == 0o750


def test_a_root_is_not_made_unless_it_is_to_be(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Disk(tmp_path / "root", create=False)
    assert not (tmp_path / "root").exists()


def test_new_files_and_folders_are_private(disk: Disk) -> None:
    disk.make_directory("folder")
    disk.close(disk.open("folder/file", APPEND))
    disk.database("folder/index.db")
    assert mode(disk.root / "folder") == 0o700
    assert mode(disk.root / "folder" / "file") == 0o600
    assert mode(disk.root / "folder" / "index.db") == 0o600


def test_making_a_folder_that_is_there_changes_nothing(disk: Disk) -> None:
    disk.make_directory("folder")
    put(disk, "folder/file", b"data")
    disk.make_directory("folder")
    assert read_whole(disk, "folder/file") == b"data"


def test_descriptors_are_not_inherited_by_programs_that_are_started(disk: Disk) -> None:
    file = disk.open("file", APPEND)
    assert not os.get_inheritable(file)
    disk.close(file)


def test_names_are_sorted_and_none_are_in_a_folder_that_is_not_there(disk: Disk) -> None:
    for name in ("b", "a", "C"):
        put(disk, name, b"")
    assert disk.names("") == ["C", "a", "b"]
    assert disk.names("nowhere/inside") == []


@pytest.mark.parametrize(
    "use",
    [
        lambda disk, path: disk.open(path, READ),
        lambda disk, path: disk.open(path, APPEND),
        lambda disk, path: disk.open(path, REPLACE),
        lambda disk, path: disk.database(path),
    ],
    ids=["read", "append", "replace", "database"],
)
def test_a_link_in_a_files_place_is_refused(disk: Disk, tmp_path: Path, use: Callable[[Disk, str], object]) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (disk.root / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic link") as caught:
        use(disk, "link")
    assert caught.value.errno == errno.ELOOP
    assert (tmp_path / "target").read_bytes() == b"precious"


@pytest.mark.parametrize(
    "use",
    [
        lambda disk: disk.open("a/link/file", READ),
        lambda disk: disk.open("a/link/new", APPEND),
        lambda disk: disk.keep("a/link"),
        lambda disk: disk.names("a/link"),
        lambda disk: disk.exists("a/link/file"),
        lambda disk: disk.remove("a/link/file"),
        lambda disk: disk.rename("a/link/file", "a/stolen"),
        lambda disk: disk.status("a/link/file"),
        lambda disk: disk.set_time("a/link/file", 0),
        lambda disk: disk.make_directory("a/link/new"),
        lambda disk: disk.remove_directory("a/link/folder"),
        lambda disk: disk.sync_directory("a/link"),
    ],
    ids=[
        "open",
        "create",
        "keep",
        "names",
        "exists",
        "remove",
        "rename",
        "status",
        "set_time",
        "make_directory",
        "remove_directory",
        "sync_directory",
    ],
)
def test_a_link_in_a_folders_place_is_refused(disk: Disk, tmp_path: Path, use: Callable[[Disk], object]) -> None:
    target = tmp_path / "target"
    (target / "folder").mkdir(parents=True)
    (target / "file").write_bytes(b"precious")
    disk.make_directory("a")
    (disk.root / "a" / "link").symlink_to(target)
    with pytest.raises(OSError, match="link") as caught:
        use(disk)
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)
    assert {path.name for path in target.iterdir()} == {"file", "folder"}


def test_a_folder_that_is_kept_has_what_came_into_it_since(disk: Disk) -> None:
    disk.make_directory("folder")
    disk.keep("folder")
    disk.keep("folder")
    assert not disk.exists("folder/file")
    put(disk, "folder/file", b"data")
    assert disk.exists("folder/file")
    disk.release()
    with pytest.raises(OSError, match="descriptor"):
        disk.exists("folder/file")


def test_a_folder_inside_neither_has_nor_releases_what_is_kept(disk: Disk) -> None:
    disk.make_directory("kept")
    disk.make_directory("other")
    disk.keep("kept")
    put(disk, "kept/file", b"data")
    with disk.inside("other") as inner:
        assert not inner.exists("kept/file")
    assert disk.exists("kept/file")


def test_a_link_that_leads_nowhere_counts_as_there(disk: Disk) -> None:
    (disk.root / "link").symlink_to(disk.root / "nowhere")
    assert disk.exists("link")
    assert not disk.exists("nowhere")
    assert not disk.exists("nowhere/inside")


def test_a_file_has_the_time_that_it_was_given(disk: Disk) -> None:
    put(disk, "file", b"data")
    disk.set_time("file", 1_000_000_000.25)
    assert disk.status("file") == (4, 1_000_000_000.25)
    with pytest.raises(FileNotFoundError):
        disk.status("none")
    with pytest.raises(FileNotFoundError):
        disk.set_time("none", 0)


def test_a_link_has_a_time_of_its_own(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    before = (tmp_path / "target").stat()
    (disk.root / "link").symlink_to(tmp_path / "target")
    disk.set_time("link", 0)
    assert disk.status("link")[1] == 0
    assert (tmp_path / "target").stat().st_mtime == before.st_mtime


def test_a_link_is_removed_and_replaced_itself(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    for name in ("removed", "replaced"):
        (disk.root / name).symlink_to(tmp_path / "target")
    disk.remove("removed")
    put(disk, "replaced", b"new")
    assert not disk.exists("removed")
    assert read_whole(disk, "replaced") == b"new"
    assert (tmp_path / "target").read_bytes() == b"precious"


def test_appending_goes_to_the_end_wherever_that_is(disk: Disk) -> None:
    one, other = disk.open("file", APPEND), disk.open("file", APPEND)
    disk.write(one, b"a")
    disk.write(other, b"b")
    disk.write(one, b"c")
    assert disk.read(one, 10, 0) == b"abc"
    assert disk.read(one, 1, 1) == b"b"
    assert disk.read(one, 1, 3) == b""
    disk.truncate(other, 1)
    disk.write(one, b"d")
    assert disk.read(one, 10, 0) == b"ad"
    assert disk.size(one) == 2
    disk.close(one)
    disk.close(other)


class ShortDisk(Disk):
    """Writes one byte of what it is given, or fails once it has written so many."""

    room = 1_000

    def write(self, file: int, data: bytes | memoryview) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= 1
        return super().write(file, data[:1])


def test_a_write_that_stops_short_is_finished(tmp_path: Path) -> None:
    disk = ShortDisk(tmp_path)
    file = disk.open("file", APPEND)
    write_whole(disk, file, b"all of it")
    assert disk.read(file, 100, 0) == b"all of it"
    disk.close(file)
    disk.release()


@pytest.mark.parametrize("durable", [True, False])
def test_a_replacement_that_fails_leaves_the_old_file_as_it_was(tmp_path: Path, durable: bool) -> None:
    disk = ShortDisk(tmp_path)
    disk.make_directory("folder")
    replace(disk, "folder/file", b"old", durable=durable)
    disk.room = 2
    with pytest.raises(OSError, match="No space left"):
        replace(disk, "folder/file", b"new", durable=durable)
    assert read_whole(disk, "folder/file") == b"old"
    disk.release()


def test_a_file_being_replaced_is_never_seen_half_written(disk: Disk) -> None:
    versions = [bytes([number]) * 50_000 for number in range(20)]
    put(disk, "file", versions[0])

    def replace_it() -> None:
        for version in versions:
            put(disk, "file", version)

    thread = threading.Thread(target=replace_it)
    thread.start()
    while thread.is_alive():
        assert read_whole(disk, "file") in versions
    thread.join()
    assert read_whole(disk, "file") == versions[-1]
    assert disk.names("") == ["file"]


def test_a_lock_keeps_out_every_other_descriptor_until_it_is_released(disk: Disk) -> None:
    one, other = disk.open("lock", APPEND), disk.open("lock", APPEND)
    locked = threading.Event()

    def lock_other() -> None:
        disk.lock(other)
        locked.set()

    disk.lock(one)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    thread = threading.Thread(target=lock_other)
    thread.start()
    disk.unlock(one)
    assert locked.wait(PATIENCE)
    thread.join()
    disk.close(one)
    disk.close(other)


def test_a_lock_is_let_go_when_its_descriptor_is_closed(disk: Disk) -> None:
    one, other = disk.open("lock", APPEND), disk.open("lock", APPEND)
    disk.lock(one)
    disk.close(one)
    disk.lock(other)
    disk.close(other)


def test_nothing_is_reached_through_a_disk_that_was_released(disk: Disk, tmp_path: Path) -> None:
    put(disk, "file", b"data")
    disk.release()
    stranger = os.open(tmp_path, os.O_RDONLY)  # takes the number that the root had
    (tmp_path / "file").write_bytes(b"somebody else's")
    for use in (lambda: disk.open("file", READ), lambda: disk.names(""), lambda: disk.exists("file")):
        with pytest.raises(OSError, match="Bad file descriptor"):
            use()
    os.close(stranger)


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "read-only"),
        (errno.ELOOP, "symbolic link"),
        (errno.ENOTDIR, "stands where the store keeps a folder"),
        (errno.EIO, ""),
    ],
)
def test_errors_of_the_system_say_what_was_being_done_and_what_to_do(number: int, hint: str) -> None:
    error = unavailable(OSError(number, os.strerror(number)), "the commit was not written")
    assert str(error) == f"the commit was not written: {os.strerror(number)}"
    assert hint in error.hint
    assert bool(hint) == bool(error.hint)


def test_a_folder_is_a_disk_of_its_own(disk: Disk) -> None:
    disk.make_directory("folder")
    with disk.inside("folder") as inner:
        put(inner, "file", b"content")
        assert inner.root == disk.root / "folder"
        assert read_whole(inner, "file") == b"content"
    assert read_whole(disk, "folder/file") == b"content"
    with pytest.raises(OSError, match="Bad file descriptor"):
        inner.open("file", READ)


def test_no_link_leads_into_a_folder_elsewhere(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (disk.root / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError), disk.inside("link"):
        pass


def test_entries_say_which_of_them_are_folders(disk: Disk, tmp_path: Path) -> None:
    disk.make_directory("folder")
    disk.make_directory("folder/inner")
    put(disk, "folder/file", b"")
    (disk.root / "folder" / "link").symlink_to(tmp_path)
    assert disk.entries("folder") == [("file", False), ("inner", True), ("link", False)]
    assert disk.entries("missing") == []
