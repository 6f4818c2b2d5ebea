"""The least that the same could cost: the same bytes and rows written and read, with nothing around them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
import psycopg

from benchmarks.bench import Bench, postgres_settings, sqlite_settings
from benchmarks.rows import Medium
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, now
from eventstore.memory import MemoryLog
from eventstore.segments import FOLDER
from eventstore.sql_events import WRITTEN, rows_of

COLUMNS = ", ".join(WRITTEN)

Row = tuple[Any, ...]
Insert = Callable[[Sequence[Row]], None]
Select = Callable[[str, Sequence[object]], list[Row]]
fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class Event(msgspec.Struct, frozen=True):
    """What an event of the log is made of; the rest of its line is passed over."""

    stream: str
    version: int
    id: UUID
    type: str
    time: datetime
    hash: str
    data: msgspec.Raw


class Line(msgspec.Struct, frozen=True):
    """A line of the log."""

    commit: int
    position: int
    recorded_at: datetime
    events: list[Event]


_encoder = msgspec.json.Encoder()


def encoded(commit: Sequence[Append]) -> bytes:
    """The least that makes a line of a commit: nothing is checked, and there are no hashes."""
    events = [
        Event(entry.stream, version, event.id, event.type, event.time, "", msgspec.Raw(event.data))
        for entry in commit
        for version, event in enumerate(entry.events, 1)
    ]
    return _encoder.encode(Line(1, 1, now(), events)) + b"\n"


def line_of(commit: Sequence[Append], folder: Path) -> bytes:
    """The bytes that a commit is in a log of files."""
    with closing(JsonlLog(folder, durability="none")) as log:
        log.append(commit)
        (segment,) = (log.root / FOLDER).glob("*.jsonl")
    return segment.read_bytes().splitlines(keepends=True)[-1]


def rows(commits: Sequence[Sequence[Append]]) -> list[list[Row]]:
    """The rows that such commits are in a database, each in a stream of its own."""
    with closing(MemoryLog()) as log:
        return [
            list(rows_of(log.append([Append(str(uuid4()), entry.events)]).events, projected=False))
            for (entry,) in commits
        ]


@contextmanager
def file_floor(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Writes and syncs bytes at the end of a file."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:

        def commit(data: bytes) -> None:
            os.write(file, data)
            fdatasync(file)

        yield commit
    finally:
        os.close(file)


class SqlFloor(NamedTuple):
    """Ways to insert rows into a table of the log's shape, with its indexes. Each call is a transaction."""

    settings: str
    one: Insert
    many: Insert
    copy: Insert | None = None


@contextmanager
def sqlite_floor(path: Path) -> Iterator[SqlFloor]:
    """One prepared INSERT for each row, or `executemany`."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        connection.executescript(package_files("eventstore.schema").joinpath("sqlite/0001.sql").read_text())
        (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
        (level,) = connection.execute("PRAGMA synchronous").fetchone()
        text = f"INSERT INTO workflow_events ({COLUMNS}) VALUES ({', '.join('?' * len(WRITTEN))})"

        def one(new: Sequence[Row]) -> None:
            connection.execute(text, new[0])

        def many(new: Sequence[Row]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(text, new)
            connection.execute("COMMIT")

        yield SqlFloor(sqlite_settings(journal, level), one, many)


@contextmanager
def postgres_floor(bench: Bench) -> Iterator[SqlFloor]:
    """One prepared INSERT for each row, `executemany` in a pipeline, or COPY."""
    with psycopg.connect(
        bench.with_options(f"-c search_path={bench.schema()}"), autocommit=True, prepare_threshold=0
    ) as connection:
        schema = package_files("eventstore.schema").joinpath("postgres/0001.sql").read_bytes()
        connection.execute(schema, prepare=False)
        connection.execute("ALTER TABLE workflow_events ALTER position SET DEFAULT nextval('workflow_positions')")
        places = ", ".join(["%s"] * len(WRITTEN))
        text = f"INSERT INTO workflow_events ({COLUMNS}) VALUES ({places})".encode()
        cursor = connection.cursor()

        def one(new: Sequence[Row]) -> None:
            cursor.execute(text, new[0])

        def many(new: Sequence[Row]) -> None:
            with connection.transaction():
                cursor.executemany(text, new)

        def copy(new: Sequence[Row]) -> None:
            with cursor.copy(f"COPY workflow_events ({COLUMNS}) FROM STDIN".encode()) as target:
                for row in new:
                    target.write_row(row)

        yield SqlFloor(postgres_settings(connection), one, many, copy)


@contextmanager
def selecting(medium: Medium, address: str, bench: Bench) -> Iterator[Select]:
    """Asks the database a store's views are in, on a bare connection."""
    if medium == "Postgres":
        schema = address.rpartition("=")[2]
        with psycopg.connect(
            bench.with_options(f"-c search_path={schema}"), autocommit=True, cursor_factory=psycopg.RawCursor
        ) as server:
            cursor = server.cursor(binary=True)
            yield lambda text, arguments: cursor.execute(text.encode(), arguments, prepare=True).fetchall()
        return
    path = address.removeprefix("sqlite:")
    if medium == "files":
        path = str(Path(address.removeprefix("jsonl:")) / "_views.db")
    with closing(sqlite3.connect(path)) as file:
        yield lambda text, arguments: file.execute(text.replace("$", "?"), arguments).fetchall()
