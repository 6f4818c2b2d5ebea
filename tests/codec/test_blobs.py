"""Blobs are durable when `put` returns, kept once, verified when read, and stay inside their folder."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.blobs import FileBlobs, MemoryBlobs, blob_path, digest_of
from eventstore.disk import Disk
from eventstore.errors import BlobCorrupt, BlobMissing, Unavailable
from eventstore.testing.opening import in_threads


class RecordingDisk(Disk):
    """Notes the calls that change something or make it durable, in order, and fails the ones it is told to."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.calls: list[tuple[str, str]] = []
        self.failing: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def _note(self, call: str, path: str) -> None:
        self.calls.append((call, path))
        if call in self.failing:
            raise OSError(self.failing[call], os.strerror(self.failing[call]))

    def open(self, path: str, flags: int) -> int:
        if flags & os.O_CREAT:
            self._note("create", path)
        file = super().open(path, flags)
        self._names[file] = path
        return file

    def write(self, file: int, data: bytes | memoryview) -> int:
        self._note("write", self._names[file])
        return super().write(file, data[:1000])

    def sync(self, file: int) -> None:
        self._note("sync", self._names[file])
        super().sync(file)

    def rename(self, old: str, new: str) -> None:
        self._note("rename", f"{old} {new}")
        super().rename(old, new)

    def make_directory(self, path: str) -> None:
        self._note("make_directory", path)
        super().make_directory(path)

    def sync_directory(self, path: str) -> None:
        self._note("sync_directory", path)
        super().sync_directory(path)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[RecordingDisk]:
    """A disk that notes what is done."""
    disk = RecordingDisk(tmp_path / "store")
    yield disk
    disk.release()


@pytest.fixture
def blobs(disk: RecordingDisk) -> FileBlobs:
    """Blobs on that disk."""
    return FileBlobs(disk)


DATA = b"0123456789" * 200
DIGEST = hashlib.sha256(DATA).hexdigest()
FOLDER = f"_blobs/{DIGEST[:2]}"
PATH = f"{FOLDER}/{DIGEST[2:]}"


def file_of(disk: Disk, digest: str) -> Path:
    return disk.root / "_blobs" / digest[:2] / digest[2:]


def test_the_first_blob_is_synced_then_named_then_its_folder_synced(disk: RecordingDisk, blobs: FileBlobs) -> None:
    assert blobs.put(DATA) == DIGEST

    draft = next(path for call, path in disk.calls if call == "create")
    assert draft.startswith(f"{FOLDER}/_")
    assert disk.calls == [
        ("make_directory", "_blobs"),
        ("sync_directory", ""),
        ("make_directory", FOLDER),
        ("sync_directory", "_blobs"),
        ("create", draft),
        ("write", draft),
        ("write", draft),
        ("sync", draft),
        ("create", "_blobs/lock"),
        ("rename", f"{draft} {PATH}"),
        ("sync_directory", FOLDER),
    ]
    assert blobs.get(DIGEST) == DATA


def test_the_same_bytes_are_stored_once(disk: RecordingDisk, blobs: FileBlobs) -> None:
    blobs.put(DATA)
    before = file_of(disk, DIGEST).stat()
    disk.calls.clear()

    assert blobs.put(DATA) == DIGEST

    assert disk.calls == [("sync_directory", FOLDER)], "another process may have named it and not come to that yet"
    assert file_of(disk, DIGEST).stat().st_ino == before.st_ino
    assert list(blobs.digests()) == [DIGEST]


def test_names_that_another_process_made_are_made_durable_before_put_returns(disk: RecordingDisk) -> None:
    """It may have been killed, or not have come to its syncs, when this one finds its folders and its blob."""
    FileBlobs(disk).put(DATA)
    disk.calls.clear()

    FileBlobs(disk).put(DATA)

    synced = [path for call, path in disk.calls if call == "sync_directory"]
    assert synced == ["", "_blobs", FOLDER]


def test_a_damaged_blob_is_written_again(disk: RecordingDisk, blobs: FileBlobs) -> None:
    """So the advice of `BlobCorrupt`, to run the task again that made it, helps."""
    blobs.put(DATA)
    file_of(disk, DIGEST).write_bytes(DATA[:-1])
    with pytest.raises(BlobCorrupt) as caught:
        blobs.get(DIGEST)
    assert caught.value.digest == DIGEST

    blobs.put(DATA)

    assert blobs.get(DIGEST) == DATA


@pytest.mark.parametrize("damage", [b"", DATA[:-1], DATA + b"\n", DATA.replace(b"5", b"6", 1)], ids=len)
def test_a_blob_that_does_not_match_its_digest_is_corrupt(disk: Disk, blobs: FileBlobs, damage: bytes) -> None:
    blobs.put(DATA)
    file_of(disk, DIGEST).write_bytes(damage)

    with pytest.raises(BlobCorrupt, match=DIGEST):
        blobs.get(DIGEST)


def test_a_blob_that_is_gone_is_missing(disk: Disk, blobs: FileBlobs) -> None:
    with pytest.raises(BlobMissing, match=DIGEST):
        blobs.get(DIGEST)
    blobs.put(DATA)
    file_of(disk, DIGEST).unlink()

    with pytest.raises(BlobMissing) as caught:
        blobs.get(DIGEST)

    assert (caught.value.digest, list(blobs.digests())) == (DIGEST, [])


NOT_DIGESTS = [
    "",
    "x",
    "..",
    "../../secret",
    "../secret",
    "/etc/passwd",
    "_log/lock",
    DIGEST[:-1],
    DIGEST + "0",
    DIGEST.upper(),
    f"{DIGEST}\n",
    f"{DIGEST[:2]}/{DIGEST[3:]}",
    DIGEST[:-1] + "\0",
    DIGEST[:-1] + "\ud800",
    "é" * 64,
    "．" * 64,
]


@pytest.mark.parametrize("digest", NOT_DIGESTS, ids=ascii)
def test_what_is_not_a_digest_is_a_missing_blob_and_leads_nowhere(disk: Disk, tmp_path: Path, digest: str) -> None:
    blobs = FileBlobs(disk)
    blobs.put(DATA)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "store" / "secret").write_bytes(b"secret")

    for kind in (blobs, MemoryBlobs()):
        with pytest.raises(BlobMissing):
            kind.get(digest)


@given(st.text())
def test_any_text_is_a_missing_blob(digest: str) -> None:
    with pytest.raises(BlobMissing):
        MemoryBlobs().get(digest)


def test_a_link_in_a_blobs_place_is_not_followed(disk: Disk, blobs: FileBlobs, tmp_path: Path) -> None:
    blobs.put(DATA)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(DATA)
    file_of(disk, DIGEST).unlink()
    file_of(disk, DIGEST).symlink_to(elsewhere)

    with pytest.raises(Unavailable, match="cannot read blob") as caught:
        blobs.get(DIGEST)

    assert "symbolic link" in caught.value.hint


def test_files_and_folders_are_private(disk: Disk, blobs: FileBlobs) -> None:
    before = os.umask(0)
    try:
        blobs.put(DATA)
    finally:
        os.umask(before)

    paths = ("_blobs", "_blobs/lock", FOLDER, PATH)
    modes = {path: stat.S_IMODE((disk.root / path).stat().st_mode) for path in paths}
    assert modes == {"_blobs": 0o700, "_blobs/lock": 0o600, FOLDER: 0o700, PATH: 0o600}


def test_what_is_not_a_blob_is_not_listed(disk: Disk, blobs: FileBlobs) -> None:
    """Drafts of a crash, and what people and their file browsers leave in a folder."""
    assert list(blobs.digests()) == []
    blobs.put(DATA)
    other = blobs.put(b"other")
    (disk.root / FOLDER / "_0197.new").write_bytes(DATA[:100])
    (disk.root / FOLDER / "notes.txt").write_bytes(b"")
    (disk.root / "_blobs" / ".DS_Store").write_bytes(b"")
    (disk.root / "_blobs" / "old").mkdir()

    assert list(blobs.digests()) == sorted([DIGEST, other])


@pytest.mark.parametrize("call", ["make_directory", "create", "write", "sync", "rename", "sync_directory"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=os.strerror)
def test_a_refusal_of_the_system_is_a_typed_error_and_the_next_put_succeeds(
    disk: RecordingDisk, blobs: FileBlobs, call: str, error: int
) -> None:
    disk.failing = {call: error}
    with pytest.raises(Unavailable, match=os.strerror(error)) as caught:
        blobs.put(DATA)
    assert (caught.value.retriable, isinstance(caught.value.__cause__, OSError)) == (True, True)
    disk.failing = {}

    assert blobs.put(DATA) == DIGEST

    assert (blobs.get(DIGEST), list(blobs.digests())) == (DATA, [DIGEST])


def test_after_a_failed_sync_of_a_folder_the_next_put_syncs_it_again(disk: RecordingDisk, blobs: FileBlobs) -> None:
    disk.failing = {"sync_directory": errno.EIO}
    for _ in range(2):
        with pytest.raises(Unavailable):
            blobs.put(DATA)
    assert disk.calls == [("make_directory", "_blobs"), ("sync_directory", "")] * 2


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    return path


IN_THE_WAY: dict[str, Callable[[Disk], object]] = {
    "a file for the folder of all": lambda disk: (disk.root / "_blobs").write_bytes(b""),
    "a file for a folder": lambda disk: _made(disk.root / FOLDER).write_bytes(b""),
    "a folder for a blob": lambda disk: _made(file_of(disk, DIGEST)).mkdir(),
}


@pytest.mark.parametrize("thing", IN_THE_WAY)
def test_what_stands_in_the_way_is_a_typed_error(disk: Disk, blobs: FileBlobs, thing: str) -> None:
    IN_THE_WAY[thing](disk)

    with pytest.raises(Unavailable, match="the value was not written"):
        blobs.put(DATA)
    with pytest.raises(Unavailable, match="cannot read blob"):
        blobs.get(DIGEST)


def test_the_folder_of_all_cannot_be_listed_if_it_is_a_file(disk: Disk, blobs: FileBlobs) -> None:
    (disk.root / "_blobs").write_bytes(b"")

    with pytest.raises(Unavailable, match="cannot list the blobs"):
        list(blobs.digests())


def test_many_threads_may_put_the_same_and_different_bytes_at_once(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    blobs = FileBlobs(disk)
    datas = [bytes([number]) * 5000 for number in range(5)]

    digests = in_threads(lambda thread: [blobs.put(data) for data in datas[thread % 5 :] + datas[: thread % 5]], 16)

    assert {digest for found in digests for digest in found} == set(map(digest_of, datas)) == set(blobs.digests())
    assert [blobs.get(digest_of(data)) for data in datas] == datas
    assert list(tmp_path.rglob("*.new")) == []
    disk.release()


@given(st.binary())
def test_any_bytes_come_back(data: bytes) -> None:
    blobs = MemoryBlobs()
    digest = blobs.put(data)

    assert (blobs.put(data), blobs.get(digest), list(blobs.digests())) == (digest, data, [digest])
    assert blob_path(digest) == f"_blobs/{digest[:2]}/{digest[2:]}"
