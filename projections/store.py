"""Opens a store: the one place that knows which parts belong together.

A store address is `jsonl:PATH` (or just a path) for files, or `memory:`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from datetime import datetime
from itertools import chain, takewhile
from pathlib import Path
from types import TracebackType
from typing import Self

from eventstore.blobs import Blobs, FileBlobs, MemoryBlobs
from eventstore.codec import Codec
from eventstore.disk import Disk, unavailable
from eventstore.errors import InvalidInput, Unavailable
from eventstore.jsonl import Durability, JsonlLog
from eventstore.log import Log, RecordedEvent, now
from eventstore.memory import MemoryLog
from eventstore.payload import THRESHOLD, Value, Values
from projections import tables
from projections.fold import Fold
from projections.queries import Queries
from projections.rows import BY_TABLE
from projections.run_commands import RunCommands
from projections.run_files import RunFiles
from projections.task_commands import TaskCommands
from projections.verify import Audit, Report
from projections.views import CHECKPOINT, Views


class Store(RunCommands, TaskCommands, Queries):
    """A log with its views: commands that append, and queries that read. Made by `open_store`.

    Safe for threads. Several processes may open the same folder at once.
    """

    def __init__(
        self, address: str, log: Log, views: Views, codec: Codec, values: Values, clock: Callable[[], datetime]
    ) -> None:
        Queries.__init__(self, views, values, clock)
        RunCommands.__init__(self, log, codec, values, self, clock)
        self.address, self.log, self.views, self.codec, self.values = address, log, views, codec, values

    def __repr__(self) -> str:
        return f"<Store {self.address} head={self.log.head()}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def load(self, value: Value) -> object:
        """The exact value of an input or output. Raises `BlobMissing` or `BlobCorrupt`."""
        return self._values.load(value)

    def as_of(self, run_id: str, *, version: int | None = None, time: datetime | None = None) -> Fold:
        """The run's views as they were at a version of its stream, or when no later event had been recorded.

        Folded from the log, so it works before and after a deletion. An unknown run gives empty views.
        """
        events: Iterable[RecordedEvent] = self.log.read(run_id, until=version)
        if time is not None:
            events = takewhile(lambda event: event.recorded_at <= time, events)
        return Fold.of(events, self.codec)

    def verify(self) -> Report:
        """Check the log against itself and the views against the log, and report what is found. Changes nothing.

        A store of files that may be damaged is better not opened at all: see `verify_files`.
        """
        with self.views.snapshot() as connection:
            position, _ = connection.execute(CHECKPOINT).fetchone() or (0, "")
            kept = {table: tables.contents(connection, table) for table in BY_TABLE}
        with closing(Audit(self.codec)) as audit:
            for event in self.log.read_all(until=position):
                audit.take(event)
            drift = (finding for table, rows in kept.items() for finding in audit.check_table(table, rows))
            return audit.report(chain(drift, audit.check_blobs(self.values.blobs)))

    def rebuild(self, progress: Callable[[int], None] | None = None) -> None:
        """Make all views again from the log; `progress` is told of numbers of events."""
        self.views.rebuild(progress)

    def close(self) -> None:
        """Release everything. Repeated calls do nothing."""
        self.views.close()
        self.log.close()


def open_store(
    address: str | Path,
    *,
    durability: Durability = "full",
    codec: Codec | None = None,
    create: bool = True,
    threshold: int = THRESHOLD,
    clock: Callable[[], datetime] = now,
) -> Store:
    """Open the store at an address, and create it if there is none, unless told not to.

    Values of more than `threshold` bytes of JSON go to blobs. Give a `codec` with your own event types registered.
    Raises `InvalidInput` for an address that means nothing, `Unavailable` if the system refuses, `LogCorrupt` if what
    is there is damaged.
    """
    codec = codec or Codec()
    scheme, path = parse_address(str(address))
    if scheme == "memory":
        log: Log = MemoryLog(clock=clock)
        blobs: Blobs = MemoryBlobs()
        views = Views(":memory:", log, codec)
    else:
        if not create and not _is_store(path):
            raise Unavailable(f"there is no store in {path}", "Give the folder of a store with --store.")
        with ExitStack() as undo:
            disk = _open_disk(path)
            log = JsonlLog(path, durability=durability, clock=clock, disk=disk)
            undo.callback(log.close)
            blobs = FileBlobs(disk)
            views = Views(disk.database("_views.db"), log, codec, RunFiles(disk, log.read))
            undo.pop_all()
    log.hook = views
    return Store(str(address), log, views, codec, Values(blobs, threshold=threshold), clock)


def parse_address(address: str) -> tuple[str, Path]:
    """The scheme, `jsonl` or `memory`, and the path. Raises `InvalidInput`."""
    scheme, colon, rest = address.partition(":")
    if not colon or scheme not in ("jsonl", "memory", "sqlite", "postgresql", "postgres"):
        scheme, rest = "jsonl", address
    if scheme in ("sqlite", "postgresql", "postgres") or rest.endswith(".db") or "://" in rest:
        raise InvalidInput("this version keeps stores in files only", "Use jsonl:PATH.")
    if scheme == "memory" and rest:
        raise InvalidInput(f"a memory store has no path, but {rest!r} was given", "Use memory: alone.")
    if scheme == "jsonl" and not rest:
        raise InvalidInput("the store address has no path", "Use jsonl:PATH.")
    return scheme, Path(rest)


def _is_store(path: Path) -> bool:
    try:
        return (path / "_log").is_dir()
    except OSError as error:
        raise unavailable(error, f"cannot open a store in {path}") from error


def _open_disk(path: Path) -> Disk:
    try:
        return Disk(path)
    except OSError as error:
        raise unavailable(error, f"cannot open a store in {path}") from error
