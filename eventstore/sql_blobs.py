"""Large values as rows of the table `blobs`, beside the events that refer to them.

A blob is committed before its event is, in the same write-ahead log: whatever keeps the event has kept the blob.
"""

from __future__ import annotations

from collections.abc import Iterator

from eventstore.blobs import digest_of
from eventstore.errors import BlobCorrupt, BlobMissing
from eventstore.session import Database

PUT = """INSERT INTO main.blobs AS kept VALUES ($1, $2)
    ON CONFLICT (digest) DO UPDATE SET data = excluded.data WHERE kept.data <> excluded.data"""
HAS = "SELECT 1 FROM main.blobs WHERE digest = $1 AND data = $2"
GET = "SELECT data FROM main.blobs WHERE digest = $1"
DIGESTS = "SELECT digest FROM main.blobs WHERE digest > $1 ORDER BY digest LIMIT 1000"


class SqlBlobs:
    """The blobs of a SQL store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, data: bytes) -> str:
        digest = digest_of(data)
        if not self._database.rows(HAS, (digest, data)):
            self._database.write(PUT, (digest, data))
        return digest

    def get(self, digest: str) -> bytes:
        for (data,) in self._database.rows(GET, (digest,)):
            if digest_of(data) != digest:
                raise BlobCorrupt(digest)
            return bytes(data)
        raise BlobMissing(digest)

    def digests(self) -> Iterator[str]:
        last = ""
        while page := self._database.rows(DIGESTS, (last,)):
            for (last,) in page:
                yield last
