"""Large values as files of their own, under the SHA-256 of their bytes: the same bytes are kept once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

from eventstore.disk import Disk, read_whole, replace, unavailable
from eventstore.errors import BlobCorrupt, BlobMissing

FOLDER = "_blobs"


class Blobs(Protocol):
    """Bytes kept outside the log."""

    def put(self, data: bytes) -> str:
        """Keep these bytes, durably, and return their digest. Bytes that are there already are not written again."""

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

    def put(self, data: bytes) -> str:
        digest = digest_of(data)
        folder, path = f"{FOLDER}/{digest[:2]}", blob_path(digest)
        try:
            if self._disk.exists(path):
                self._disk.sync_directory(folder)  # whoever named it may not have come to this
                return digest
            for parent, new in (("", FOLDER), (FOLDER, folder)):
                if not self._disk.exists(new):
                    self._disk.make_directory(new)
                    self._disk.sync_directory(parent)
            replace(self._disk, path, data, durable=True)
        except OSError as error:
            raise unavailable(error, "the value was not written") from error
        return digest

    def get(self, digest: str) -> bytes:
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
        for folder in self._disk.names(FOLDER):
            for name in self._disk.names(f"{FOLDER}/{folder}"):
                if not name.startswith("_"):
                    yield folder + name


def digest_of(data: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(data).hexdigest()


def blob_path(digest: str) -> str:
    """Where the blob stands, relative to the store."""
    return f"{FOLDER}/{digest[:2]}/{digest[2:]}"
