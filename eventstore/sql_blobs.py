"""Large values as rows of the table `blobs`, beside the events that refer to them.

A blob is committed before its event is, in the same write-ahead log: whatever keeps the event has kept the blob. The
statement that removes one looks at its time, and the one that puts it renews that, so whichever comes second sees what
the other has done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from eventstore.blobs import RENEWAL, Kept, digest_of
from eventstore.chain import timestamp
from eventstore.errors import BlobCorrupt, BlobMissing
from eventstore.log import now
from eventstore.session import Database

# The column is given its own value where that is right: Postgres then leaves a large one where it is.
PUT = """INSERT INTO main.blobs AS kept (digest, data, kept_at) VALUES ($1, $2, $3)
    ON CONFLICT (digest) DO UPDATE SET kept_at = excluded.kept_at,
        data = CASE WHEN kept.data = excluded.data THEN kept.data ELSE excluded.data END"""
HAS = "SELECT 1 FROM main.blobs WHERE digest = $1 AND data = $2 AND kept_at >= $3"
GET = "SELECT data FROM main.blobs WHERE digest = $1"
DIGESTS = "SELECT digest FROM main.blobs WHERE digest > $1 ORDER BY digest LIMIT 1000"
LOOK = "SELECT length(data), kept_at FROM main.blobs WHERE digest = $1"
REMOVE = "DELETE FROM main.blobs WHERE digest = $1 AND kept_at < $2 RETURNING length(data)"

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class SqlBlobs:
    """The blobs of a SQL store."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = now) -> None:
        self._database, self._clock = database, clock

    def put(self, data: bytes) -> str:
        digest, time = digest_of(data), self._clock()
        if not self._database.rows(HAS, (digest, data, timestamp(time - RENEWAL))):
            self._database.write(PUT, (digest, data, timestamp(time)))
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

    def look(self, digest: str) -> Kept | None:
        for size, kept_at in self._database.rows(LOOK, (digest,)):
            # Nothing was noted before there was such a column.
            return Kept(digest, size, datetime.fromisoformat(kept_at) if kept_at else _LONG_AGO)
        return None

    def remove(self, digest: str, *, kept_before: datetime) -> int:
        freed = self._database.write(REMOVE, (digest, timestamp(kept_before)))
        return sum(size for (size,) in freed)

    def remove_drafts(self, *, kept_before: datetime) -> None:
        """There are none: a transaction that is cut off leaves nothing."""
