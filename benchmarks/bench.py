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

POSTGRES_SETTINGS = ("fsync", "synchronous_commit", "wal_sync_method", "full_page_writes")


class Bench:
    """Gives out empty places of every kind, and removes them at the end. `durable=False` is for tests of all this."""

    def __init__(self, folder: Path, scale: Scale, *, durable: bool = True) -> None:
        self.folder, self.scale, self.durable = folder, scale, durable
        self._stack, self._numbers = ExitStack(), count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @cached_property
    def dsn(self) -> str:
        """A server in use by nobody else: the one that is named in the environment, or one of our own."""
        given = os.environ.get(DSN_VARIABLE)
        if given is not None:
            return given
        return self._stack.enter_context(Server(binaries(VERSIONS[0]), durable=self.durable)).dsn

    def path(self) -> Path:
        """Where there is nothing yet."""
        return self.folder / f"place-{next(self._numbers)}"

    def schema(self) -> str:
        """The name of an empty schema, which is there."""
        name = f"bench_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        self._stack.callback(self._drop, name)
        return name

    def _drop(self, schema: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))

    def dsn_in(self, schema: str, options: str = "") -> str:
        """The server's address with this schema as the one that is looked in, and other options of the session."""
        joint = "&" if "?" in self.dsn else "?"
        return f"{self.dsn}{joint}options={quote(f'-c search_path={schema} {options}'.strip())}"

    def address(self, medium: Medium) -> str:
        """Where a new store can be made."""
        match medium:
            case "files":
                return f"jsonl:{self.path()}"
            case "SQLite":
                return f"sqlite:{self.path()}.db"
            case "Postgres":
                return f"{self.dsn}{'&' if '?' in self.dsn else '?'}schema={self.schema()}"
            case "memory":
                return "memory:"

    @contextmanager
    def store(self, medium: Medium, durability: Durability = "full") -> Iterator[Store]:
        """A new store, with its views."""
        with open_store(self.address(medium), durability=durability) as opened:
            yield opened

    @contextmanager
    def log(self, medium: Medium, durability: Durability = "full") -> Iterator[Log]:
        """A new log, without views."""
        opened: Log
        match medium:
            case "files":
                opened = JsonlLog(self.path(), durability=durability)
            case "SQLite":
                opened = SqliteLog(f"{self.path()}.db", durability=durability)
            case "Postgres":
                opened = PostgresLog(self.dsn, schema=self.schema(), durability=durability)
            case "memory":
                raise ValueError("a log in memory is not durable, and nothing is measured on it")
        with closing(opened):
            yield opened


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
            texts = (log.database.rows(f"SHOW {name}") for name in POSTGRES_SETTINGS)
            return ", ".join(f"{name}={text}" for name, ((text,),) in zip(POSTGRES_SETTINGS, texts, strict=True))
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
