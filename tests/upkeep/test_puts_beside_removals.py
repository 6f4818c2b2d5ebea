"""Whatever a removal of a blob and a put of the same bytes come between: when the put returns, the blob is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow

from eventstore.blobs import FileBlobs, blob_path, digest_of
from eventstore.disk import Disk
from eventstore.sql_blobs import PUT, REMOVE, SqlBlobs
from eventstore.testing.opening import PATIENCE
from projections import open_store
from tests.postgres import SERVERS
from tests.sql_stores import in_schema, sql_log
from tests.stores import address_of

DATA = b"0123456789" * 200
DIGEST = digest_of(DATA)
OLD, NEW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


class InterruptedDisk(Disk):
    """Has something else happen just before the next call of a name."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.before: dict[str, Callable[[], object]] = {}

    def _interrupt(self, call: str) -> None:
        self.before.pop(call, lambda: None)()

    def status(self, path: str) -> tuple[int, float]:
        self._interrupt("status")
        return super().status(path)

    def set_time(self, path: str, time: float) -> None:
        self._interrupt("set_time")
        super().set_time(path, time)

    def rename(self, old: str, new: str) -> None:
        self._interrupt("rename")
        super().rename(old, new)

    def remove(self, path: str) -> None:
        self._interrupt("remove")
        super().remove(path)

    def lock(self, file: int) -> None:
        self._interrupt("lock")
        super().lock(file)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[InterruptedDisk]:
    """A disk with a blob on it that was put long ago."""
    disk = InterruptedDisk(tmp_path)
    FileBlobs(disk, lambda: OLD).put(DATA)
    yield disk
    disk.release()


def collect(root: Path) -> int:
    """What another process does that removes old blobs."""
    disk = Disk(root)
    try:
        return FileBlobs(disk).remove(DIGEST, kept_before=NEW)
    finally:
        disk.release()


@pytest.mark.parametrize("call", ["status", "lock"])
def test_a_put_that_is_overtaken_by_a_removal_writes_the_blob_again(disk: InterruptedDisk, call: str) -> None:
    freed: list[int] = []
    blobs = FileBlobs(disk, lambda: NEW)
    disk.before[call] = lambda: freed.append(collect(disk.root))
    blobs.put(DATA)
    assert blobs.get(DIGEST) == DATA
    assert freed == [len(DATA)]


@pytest.mark.parametrize("damaged", [False, True])
def test_a_put_waits_for_a_removal_that_has_looked_at_the_time(disk: InterruptedDisk, damaged: bool) -> None:
    """And so does the naming of a new file in the place of a damaged one."""
    if damaged:
        (disk.root / blob_path(DIGEST)).write_bytes(b"rubbish")
        disk.set_time(blob_path(DIGEST), OLD.timestamp())
    other = InterruptedDisk(disk.root)
    waiting = threading.Event()
    other.before["lock"] = waiting.set
    with ThreadPoolExecutor(1) as pool:

        def put_meanwhile() -> None:
            puts.append(pool.submit(FileBlobs(other, lambda: NEW).put, DATA))
            assert waiting.wait(PATIENCE)

        puts: list[Future[str]] = []
        disk.before["remove"] = put_meanwhile
        assert FileBlobs(disk).remove(DIGEST, kept_before=NEW) > 0
        assert [put.result(PATIENCE) for put in puts] == [DIGEST]
    assert FileBlobs(disk).get(DIGEST) == DATA
    other.release()


def test_a_removal_waits_for_a_put_that_renews_the_time(disk: InterruptedDisk) -> None:
    other = InterruptedDisk(disk.root)
    waiting = threading.Event()
    other.before["lock"] = waiting.set
    with ThreadPoolExecutor(1) as pool:

        def remove_meanwhile() -> None:
            removals.append(pool.submit(FileBlobs(other).remove, DIGEST, kept_before=NEW))
            assert waiting.wait(PATIENCE)

        removals: list[Future[int]] = []
        disk.before["set_time"] = remove_meanwhile
        FileBlobs(disk, lambda: NEW).put(DATA)
        assert [removal.result(PATIENCE) for removal in removals] == [0]
    assert FileBlobs(disk).get(DIGEST) == DATA
    other.release()


WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"


@pytest.fixture(params=SERVERS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store on a server of each version."""
    return address_of(request.param, tmp_path / "store")


def run(connection: psycopg.Connection[TupleRow], text: str, *arguments: object) -> None:
    psycopg.RawCursor(connection).execute(text.replace("main.", "").encode(), arguments)


def wait_for_a_waiter(connection: psycopg.Connection[TupleRow]) -> None:
    while connection.execute(WAITING).fetchall() == [(0,)]:
        pass


def test_on_postgres_a_removal_that_waited_for_a_put_sees_its_time(place: str) -> None:
    with open_store(place) as store, in_schema(place) as other, ThreadPoolExecutor(1) as pool:
        blobs = SqlBlobs(sql_log(store).database, lambda: OLD)
        blobs.put(DATA)
        run(other, PUT, DIGEST, DATA, "2026-02-01T00:00:00.000000Z")
        removal = pool.submit(blobs.remove, DIGEST, kept_before=NEW)
        wait_for_a_waiter(other)
        other.commit()
        assert removal.result(PATIENCE) == 0
        assert blobs.get(DIGEST) == DATA


def test_on_postgres_a_put_that_waited_for_a_removal_writes_the_blob_again(place: str) -> None:
    with open_store(place) as store, in_schema(place) as other, ThreadPoolExecutor(1) as pool:
        blobs = SqlBlobs(sql_log(store).database, lambda: OLD)
        blobs.put(DATA)
        run(other, REMOVE, DIGEST, "2026-02-01T00:00:00.000000Z")
        put = pool.submit(SqlBlobs(sql_log(store).database, lambda: NEW).put, DATA)
        wait_for_a_waiter(other)
        other.commit()
        assert put.result(PATIENCE) == DIGEST
        assert blobs.get(DIGEST) == DATA
