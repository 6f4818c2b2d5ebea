"""Large values as files of their own, under the SHA-256 of their bytes: the same bytes are kept once.

A blob is put before the event that refers to it, so for a moment nothing refers to a blob that is about to be needed.
Every put therefore renews the time at which the blob was kept, and only blobs that were kept long ago are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from eventstore.disk import APPEND, Disk, read_whole, unavailable, write_draft
from eventstore.errors import BlobCorrupt, BlobMissing
from eventstore.log import now

FOLDER = "_blobs"
RENEWAL = timedelta(minutes=1)
"""A put leaves a time that is not older than this as it is: the same large value over and over costs a look each time,
and no write. So a blob may have been put by so much later than its time says, and whoever removes blobs allows for it.
"""

_LOCK = f"{FOLDER}/lock"
_FOLDER_NAME = re.compile("[0-9a-f]{2}")
_DIGEST = re.compile("[0-9a-f]{64}")
_DRAFT = re.compile(r"_.*\.new")


class Kept(msgspec.Struct, frozen=True):
    """A blob that is there: its size in bytes, and when it was put last, give or take `RENEWAL`."""

    digest: str
    size: int
    kept_at: datetime


class Blobs(Protocol):
    """Bytes kept outside the log."""

    def put(self, data: bytes) -> str:
        """Keep these bytes, durably, and return their digest. Bytes that are there already are not written again,
        unless they are damaged; that they were put is noted.
        """

    def get(self, digest: str) -> bytes:
        """The bytes with this digest, verified. Raises `BlobMissing` or `BlobCorrupt`."""

    def digests(self) -> Iterator[str]:
        """The digests of all blobs there are, ascending."""

    def look(self, digest: str) -> Kept | None:
        """What is known of the blob without reading it; None if it is not there."""

    def remove(self, digest: str, *, kept_before: datetime) -> int:
        """Remove the blob unless it was put since, and return how many bytes that frees: 0 if it stays, or is not
        there. Safe beside any put of the same bytes: when that returns, they are there.
        """

    def remove_drafts(self, *, kept_before: datetime) -> None:
        """Remove what puts have left that were begun before then, and cut off."""


class MemoryBlobs:
    """Blobs that live as long as their process."""

    def __init__(self, clock: Callable[[], datetime] = now) -> None:
        self._blobs: dict[str, tuple[bytes, datetime]] = {}
        self._changing = threading.Lock()
        self._clock = clock

    def put(self, data: bytes) -> str:
        digest = digest_of(data)
        with self._changing:
            self._blobs[digest] = data, self._clock()
        return digest

    def get(self, digest: str) -> bytes:
        try:
            return self._blobs[digest][0]
        except KeyError:
            raise BlobMissing(digest) from None

    def digests(self) -> Iterator[str]:
        return iter(sorted(self._blobs))

    def look(self, digest: str) -> Kept | None:
        data, kept_at = self._blobs.get(digest, (None, None))
        return None if data is None or kept_at is None else Kept(digest, len(data), kept_at)

    def remove(self, digest: str, *, kept_before: datetime) -> int:
        with self._changing:
            kept = self.look(digest)
            if kept is None or kept.kept_at >= kept_before:
                return 0
            del self._blobs[digest]
            return kept.size

    def remove_drafts(self, *, kept_before: datetime) -> None:
        """There are none."""


class FileBlobs:
    """Blobs as files: `_blobs/ab/cdef…`. Written, synced and named before `put` returns, so an event can refer to them.

    A crash in between leaves at most a blob nothing refers to, or a draft without a name.

    A file's time is when it was put. It need not be durable: if the power goes between a put and its event, there will
    be no such event. Who removes a file looks at its time and unlinks it under a lock; who renews the time, or names a
    new file, does so under the same lock. So a put is either before both, and the time says so, or after both: then it
    finds no file, and writes one. A put that renews nothing needs no lock: that the file is too young to be removed is
    what it has seen. A killed process lets go of the lock, and has left all as it was or all done.
    """

    def __init__(self, disk: Disk, clock: Callable[[], datetime] = now) -> None:
        self._disk, self._clock = disk, clock
        self._named: set[str] = set()

    def put(self, data: bytes) -> str:
        digest = digest_of(data)
        folder, path = f"{FOLDER}/{digest[:2]}", blob_path(digest)
        try:
            self._make_folder("", FOLDER)
            self._make_folder(FOLDER, folder)
            if not self._holds(path, data) or not self._renew(path):
                draft = write_draft(self._disk, folder, data, durable=True)
                self._disk.set_time(draft, self._clock().timestamp())
                with self._alone():
                    self._disk.rename(draft, path)
            self._disk.sync_directory(folder)  # whoever named it may not have come to this
        except OSError as error:
            raise unavailable(error, "the value was not written") from error
        return digest

    def _make_folder(self, parent: str, new: str) -> None:
        """Make a folder durable once, even if it is there: whoever made it may not have come to that."""
        if new not in self._named:
            self._disk.make_directory(new)
            self._disk.sync_directory(parent)
            self._named.add(new)

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            return read_whole(self._disk, path) == data
        except FileNotFoundError:
            return False

    def _renew(self, path: str) -> bool:
        """Have a file count as put now. False if it has been removed since it was read."""
        time = self._clock()
        try:
            if self._status(path)[1] < time - RENEWAL:
                with self._alone():
                    self._disk.set_time(path, time.timestamp())
        except FileNotFoundError:
            return False
        return True

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep out who else removes, renews or names a blob, in this process or another."""
        file = self._disk.open(_LOCK, APPEND)
        try:
            self._disk.lock(file)
            yield
        finally:
            self._disk.close(file)

    def get(self, digest: str) -> bytes:
        if _DIGEST.fullmatch(digest) is None:
            raise BlobMissing(digest)
        try:
            data = read_whole(self._disk, blob_path(digest))
        except FileNotFoundError:
            raise BlobMissing(digest) from None
        except OSError as error:
            raise unavailable(error, f"cannot read blob {digest}") from error
        if digest_of(data) != digest:
            raise BlobCorrupt(digest)
        return data

    def digests(self) -> Iterator[str]:
        try:
            for folder in filter(_FOLDER_NAME.fullmatch, self._disk.names(FOLDER)):
                names = (folder + name for name in self._disk.names(f"{FOLDER}/{folder}"))
                yield from filter(_DIGEST.fullmatch, names)
        except OSError as error:
            raise unavailable(error, "cannot list the blobs") from error

    def look(self, digest: str) -> Kept | None:
        if _DIGEST.fullmatch(digest) is None:
            return None
        try:
            return Kept(digest, *self._status(blob_path(digest)))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unavailable(error, f"cannot look at blob {digest}") from error

    def remove(self, digest: str, *, kept_before: datetime) -> int:
        if _DIGEST.fullmatch(digest) is None:
            return 0
        try:
            with self._alone():
                size, kept_at = self._status(blob_path(digest))
                if kept_at >= kept_before:
                    return 0
                self._disk.remove(blob_path(digest))
                return size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise unavailable(error, f"cannot remove blob {digest}") from error

    def remove_drafts(self, *, kept_before: datetime) -> None:
        try:
            for folder in filter(_FOLDER_NAME.fullmatch, self._disk.names(FOLDER)):
                for name in filter(_DRAFT.fullmatch, self._disk.names(f"{FOLDER}/{folder}")):
                    with contextlib.suppress(FileNotFoundError):
                        if self._status(f"{FOLDER}/{folder}/{name}")[1] < kept_before:
                            self._disk.remove(f"{FOLDER}/{folder}/{name}")
        except OSError as error:
            raise unavailable(error, "cannot remove drafts of blobs") from error

    def _status(self, path: str) -> tuple[int, datetime]:
        size, seconds = self._disk.status(path)
        return size, datetime.fromtimestamp(seconds, UTC)


def digest_of(data: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(data).hexdigest()


def blob_path(digest: str) -> str:
    """Where the blob stands, relative to the store."""
    return f"{FOLDER}/{digest[:2]}/{digest[2:]}"
