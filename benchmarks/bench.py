"""Where the benchmarks run: a folder on the disk to measure, and a Postgres server that is durable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from benchmarks.rows import Medium, Scale
from benchmarks.sizes import folder_size, postgres_size, sqlite_size
from eventstore.jsonl import JsonlLog
from eventstore.log import Durability, Log
from eventstore.postgres import PostgresLog
from eventstore.sqlite import SqliteLog
from projections import Store, open_store
from tests.postgres import VERSIONS, binaries
from tests.postgres_programs import DSN_VARIABLE
from tests.postgres_server import Server

SLOW_FLUSH = "-c commit_delay=1000 -c commit_siblings=0"
"""Has every flush of a session's commits wait for a millisecond first, like a disk far away."""

POSTGRES_SETTINGS = ("fsync", "synchronous_commit", "wal_sync_method", "full_page_writes", "commit_delay")


class Bench:
    """Gives out empty places of every kind, and removes them at the end.

    `missing` says which other systems could not take part, and why. `stocks` are the filled stores, see `stocks.py`.
    """

    def __init__(self, folder: Path, scale: Scale, *, dsn: str | None = None, durability: Durability = "full") -> None:
        self.folder, self.scale, self._dsn, self._durability = folder, scale, dsn, durability
        self.missing: dict[str, str] = {}
        self.stocks: dict[tuple[Medium, int], str] = {}
        self._stack, self._numbers = ExitStack(), count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @cached_property
    def dsn(self) -> str:
        """The server that was given or that the environment names, for use by nobody else; or else one of our own."""
        given = self._dsn or os.environ.get(DSN_VARIABLE)
        return given or self._stack.enter_context(Server(binaries(VERSIONS[0]))).dsn

    def leave_out(self, who: str, error: Exception) -> None:
        """Note that another system does not take part."""
        self.missing[who] = f"{type(error).__name__}: {error}".partition("\n")[0]

    def path(self) -> Path:
        """Where there is nothing yet."""
        return self.folder / f"place-{next(self._numbers)}"

    def schema(self) -> str:
        """The name of an empty schema, which is there."""
        name = f"bench_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        if DSN_VARIABLE in os.environ:  # any other server goes, with all that is in it
            self._stack.callback(self._drop, name)
        return name

    def _drop(self, schema: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))

    def with_options(self, options: str) -> str:
        """The server's address with settings of the session, such as `-c search_path=here`."""
        return f"{self.dsn}{self._joint}options={quote(options)}"

    @property
    def _joint(self) -> str:
        return "&" if "?" in self.dsn else "?"

    def address(self, medium: Medium) -> str:
        """Where a new store can be made."""
        match medium:
            case "files":
                return f"jsonl:{self.path()}"
            case "SQLite":
                return f"sqlite:{self.path()}.db"
            case "Postgres":
                return f"{self.dsn}{self._joint}schema={self.schema()}"

    @contextmanager
    def opened(self, address: str, durability: Durability | None = None) -> Iterator[Store]:
        """The store there, with its views; a new one if there is none."""
        with open_store(address, durability=durability or self._durability) as store:
            yield store

    @contextmanager
    def store(self, medium: Medium) -> Iterator[Store]:
        """A new store, with its views."""
        with self.opened(self.address(medium)) as store:
            yield store

    @contextmanager
    def log(self, medium: Medium) -> Iterator[Log]:
        """A new log, without views."""
        with self.log_at(self.address(medium)) as log:
            yield log

    @contextmanager
    def log_at(self, address: str, durability: Durability | None = None) -> Iterator[Log]:
        """The log of the store there, without its views; a new one if there is none."""
        durability = durability or self._durability
        scheme, _, path = address.partition(":")
        log: Log
        match scheme:
            case "jsonl":
                log = JsonlLog(path, durability=durability)
            case "sqlite":
                log = SqliteLog(path, durability=durability)
            case _:
                log = PostgresLog(self.dsn, schema=address.rpartition("=")[2], durability=durability)
        with closing(log):
            yield log

    def size(self, address: str) -> int:
        """How many bytes the store there has. Nobody has it open."""
        scheme, _, path = address.partition(":")
        match scheme:
            case "jsonl":
                return folder_size(Path(path))
            case "sqlite":
                return sqlite_size(path)
        return postgres_size(self.dsn, address.rpartition("=")[2])


def settings_of(log: Log) -> str:
    """How durable a log is, as the system that does it says."""
    match log:
        case JsonlLog():
            return f"durability={log.durability}: fdatasync before an append returns"
        case SqliteLog():
            with log.database.writing() as session:
                ((journal,),), ((level,),) = session.rows("PRAGMA journal_mode"), session.rows("PRAGMA synchronous")
            return sqlite_settings(journal, level)
        case PostgresLog():
            with log.database.connection() as connection:
                return postgres_settings(connection)
    return ""


def sqlite_settings(journal: str, level: int) -> str:
    """The answers to two PRAGMAs as text."""
    return f"journal_mode={journal}, synchronous={('OFF', 'NORMAL', 'FULL', 'EXTRA')[level]}"


def postgres_settings(connection: psycopg.Connection[tuple[str, ...]]) -> str:
    """How durable what a connection commits is."""
    shown = []
    for name in POSTGRES_SETTINGS:
        row = connection.execute(f"SHOW {name}", prepare=False).fetchone()
        shown.append(f"{name}={row[0] if row else ''}")
    return ", ".join(shown)
