"""Opens a store: the one place that knows which parts belong together."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from eventstore.blobs import Blobs, FileBlobs, MemoryBlobs
from eventstore.codec import Codec
from eventstore.disk import Disk, unavailable
from eventstore.errors import InvalidInput, Unavailable
from eventstore.follow import Follower, follow
from eventstore.jsonl import JsonlLog
from eventstore.log import Durability, Log, now
from eventstore.memory import MemoryLog
from eventstore.payload import THRESHOLD, Value, Values
from eventstore.sql_blobs import SqlBlobs
from eventstore.sql_log import SqlLog
from eventstore.sqlite import SqliteLog
from projections.addresses import Address, parse_address
from projections.board import Board
from projections.finalize import FinalizeCommands
from projections.following_views import FollowingViews
from projections.fork_commands import ForkCommands
from projections.inline_views import InlineViews
from projections.occurrence import Occurring
from projections.recovery import RecoveryCommands
from projections.repair import Repairs
from projections.rerun import RerunCommands
from projections.run_events import RunEvents
from projections.snapshot import EVERY
from projections.task_queries import TaskQueries
from projections.upkeep import Upkeep
from projections.verify import Report, verify_open
from projections.views import Views
from projections.wait_commands import WaitCommands
from projections.workflow_commands import WorkflowCommands


class Store(
    RecoveryCommands,
    WaitCommands,
    RerunCommands,
    RunEvents,
    WorkflowCommands,
    FinalizeCommands,
    Occurring,
    Upkeep,
    Repairs,
    ForkCommands,
    TaskQueries,
):
    """A log with its views: commands that append, and queries that read. Made by `open_store`.

    Safe for threads. Several processes may open the same folder at once.
    """

    def __init__(
        self,
        address: str,
        log: Log,
        views: Views,
        codec: Codec,
        values: Values,
        clock: Callable[[], datetime],
        snapshot_every: int = EVERY,
    ) -> None:
        TaskQueries.__init__(self, views, values, clock)
        RecoveryCommands.__init__(self, log, codec, values, self, clock)
        self._snapshot_every = snapshot_every
        self._board = Board(views, log, codec, values, self, clock)
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

    @property
    def board(self) -> Board:
        """The task board that is kept in this store, beside its runs."""
        return self._board.acting(**self._meta)

    def follow(
        self, *, after: int = 0, types: Collection[str] | None = None, streams: Collection[str] | None = None
    ) -> Follower:
        """All events after a position, then all that come; see `eventstore.follow.follow`. A run's stream is its id.

        `store.codec.decode` gives the typed form of each.
        """
        return follow(self.log, after=after, types=types, streams=streams)

    def verify(self, progress: Callable[[int], None] = lambda _: None) -> Report:
        """Check the log against itself and the views against the log, and report what is found. Changes nothing.
        `progress` is told of numbers of events.

        A store of files that may be damaged is better not opened at all: see `verify_files`.
        """
        if not callable(progress):
            raise InvalidInput(f"progress is {type(progress).__name__}", "Give a function of a number.")
        return verify_open(self.views, self.codec, self.values.blobs, progress)

    def rebuild(self, progress: Callable[[int], None] | None = None) -> None:
        """Make all views again from the log; `progress` is told of numbers of events."""
        self.views.rebuild(progress)

    def write_folders(self) -> None:
        """Bring the run folders of a store of files up to date, and its tables, for programs that read them there. By
        themselves they are so about a tenth of a second after a commit, and when the store is closed. Other stores have
        no folders.
        """
        self.views.write_folders()

    def close(self) -> None:
        """Bring tables and run folders up to date, and release everything. Repeated calls do nothing."""
        self.views.close()
        self.log.close()


def open_store(
    address: str | Path,
    *,
    durability: Durability = "full",
    codec: Codec | None = None,
    create: bool = True,
    threshold: int = THRESHOLD,
    snapshot_every: int = EVERY,
    clock: Callable[[], datetime] = now,
) -> Store:
    """Open the store at an address, and create it if there is none, unless told not to.

    Addresses are `jsonl:PATH`, `sqlite:PATH`, `postgresql://…?schema=NAME` and `memory:`; of a bare path is guessed
    which. Values of more than `threshold` bytes of JSON go to blobs. Whoever asks about a run's past leaves a snapshot
    if that took going over more than `snapshot_every` events. Give a `codec` with your own event types
    registered. Raises `InvalidInput` for an address that means nothing, `Unavailable` if the system or the server
    refuses, `LogCorrupt` if what is there is damaged.
    """
    codec = codec or Codec()
    parsed = parse_address(str(address))
    match parsed.scheme:
        case "memory":
            parts = _following(MemoryLog(clock=clock), codec, clock)
        case "jsonl":
            parts = _open_files(parsed.path, durability, codec, clock, create=create)
        case "sqlite":
            parts = _inline(SqliteLog(parsed.path, durability=durability, clock=clock, create=create), codec, clock)
        case "postgresql":
            parts = _inline(_postgres_log(parsed, durability, clock, create=create), codec, clock)
    log, views, blobs = parts
    return Store(parsed.shown, log, views, codec, Values(blobs, threshold=threshold), clock, snapshot_every)


_Parts = tuple[Log, Views, Blobs]


def _following(log: MemoryLog, codec: Codec, clock: Callable[[], datetime]) -> _Parts:
    log.hook = views = FollowingViews(":memory:", log, codec)
    return log, views, MemoryBlobs(clock)


def _open_files(
    path: Path, durability: Durability, codec: Codec, clock: Callable[[], datetime], *, create: bool
) -> _Parts:
    if not create and not _is_store(path):
        raise Unavailable(f"there is no store in {path}", "Give the folder of a store with --store.")
    with ExitStack() as undo:
        disk = _open_disk(path)
        log = JsonlLog(path, durability=durability, clock=clock, disk=disk)
        undo.callback(log.close)
        log.hook = views = FollowingViews(disk.database("_views.db"), log, codec, disk)
        undo.pop_all()
    return log, views, FileBlobs(disk, clock)


def _postgres_log(address: Address, durability: Durability, clock: Callable[[], datetime], *, create: bool) -> SqlLog:
    try:
        from eventstore.postgres import PostgresLog
    except ImportError as error:
        hint = "Install the client with it: pip install 'flowledger[postgres]'."
        raise Unavailable(f"stores in Postgres need a package that cannot be imported: {error}", hint) from error
    return PostgresLog(address.dsn, durability=durability, clock=clock, create=create, **address.options)


def _inline(log: SqlLog, codec: Codec, clock: Callable[[], datetime]) -> _Parts:
    with ExitStack() as undo:
        undo.callback(log.close)
        log.inline = views = InlineViews(log, codec)
        undo.pop_all()
    return log, views, SqlBlobs(log.database, clock)


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
