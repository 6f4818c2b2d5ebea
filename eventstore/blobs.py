"""Large values as files of their own, under the SHA-256 of their bytes: the same bytes are kept once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Protocol

from eventstore.disk import Disk, read_whole, replace, unavailable
from eventstore.errors import BlobCorrupt, BlobMissing

FOLDER = "_blobs"
_FOLDER_NAME = re.compile("[0-9a-f]{2}")
_DIGEST = re.compile("[0-9a-f]{64}")


class Blobs(Protocol):
    """Bytes kept outside the log."""

    def put(self, data: bytes) -> str:
        """Keep these bytes, durably, and return their digest. Bytes that are there already are not written again,
        unless they are damaged.
        """

    def get(self, digest: str) -> bytes:
        """The bytes with this digest, verified. Raises `BlobMissing` or `BlobCorrupt`."""

    def digests(self) -> Iterator[str]:
        """The digests of all blobs there are, ascending."""


class MemoryBlobs:
    """Blobs that live as long as their process."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        digest = digest_of(data)
        self._blobs[digest] = data
        return digest

    def get(self, digest: str) -> bytes:
        try:
            return self._blobs[digest]
        except KeyError:
            raise BlobMissing(digest) from None

    def digests(self) -> Iterator[str]:
        return iter(sorted(self._blobs))


class FileBlobs:
    """Blobs as files: `_blobs/ab/cdef…`. Written, synced and named before `put` returns, so an event can refer to them.

    A crash in between leaves at most a blob nothing refers to, or a draft without a name.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._named: set[str] = set()

    def put(self, data: bytes) -> str:
        digest = digest_of(data)
        folder, path = f"{FOLDER}/{digest[:2]}", blob_path(digest)
        try:
            self._make_folder("", FOLDER)
            self._make_folder(FOLDER, folder)
            if self._holds(path, data):
                self._disk.sync_directory(folder)  # whoever named it may not have come to this
            else:
                replace(self._disk, path, data, durable=True)
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


def digest_of(data: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(data).hexdigest()


def blob_path(digest: str) -> str:
    """Where the blob stands, relative to the store."""
    return f"{FOLDER}/{digest[:2]}/{digest[2:]}"
