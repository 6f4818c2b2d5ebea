"""What the SQL logs cost, measured against the least a durable insert could cost.

The floors insert the same rows into tables of the same shape with the same indexes: one prepared INSERT and commit for
each event, `executemany` and, on Postgres, COPY for batches. Log and floor take turns in small blocks, and the figures
are medians over the blocks. "With views" appends completions of tasks, which change three tables each.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from importlib.resources import files as package_files
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import click
import msgspec
import psycopg

from eventstore.blobs import MemoryBlobs
from eventstore.codec import Codec
from eventstore.events import TaskRunCompleted
from eventstore.log import Append, NewEvent, new_id
from eventstore.memory import MemoryLog
from eventstore.payload import Values
from eventstore.postgres import PostgresLog
from eventstore.sql_events import WRITTEN, rows_of
from eventstore.sql_log import SqlLog
from eventstore.sqlite import SqliteLog
from projections.inline_views import InlineViews
from tests.postgres import VERSIONS, binaries
from tests.postgres_server import Server

BLOCKS = 11
SINGLES = 200
BATCH = 1_000
STREAMS = 100
OUTPUT = {"rows": 1024, "checksum": "8c7dd922ad47494fc02c388e12c00eac", "part": "2026-01-31"}
COLUMNS = ", ".join(WRITTEN)

Row = tuple[Any, ...]
Insert = Callable[[Sequence[Row]], None]


class Figure(msgspec.Struct, frozen=True):
    """One result; `ratio` is what it is of its floor."""

    name: str
    value: float
    ratio: float | None = None


def events(number: int) -> list[NewEvent]:
    """Completions of tasks, about 200 bytes of data each."""
    codec, values = Codec(), Values(MemoryBlobs())
    return [codec.encode(TaskRunCompleted(f"task-{n}", 1, values.keep(OUTPUT))) for n in range(number)]


def batches(of: int, number: int) -> list[list[Append]]:
    """Commits that nobody has made yet."""
    made = events(of)
    return [
        [Append(f"run-{n % STREAMS}", [msgspec.structs.replace(event, id=new_id()) for event in made])]
        for n in range(number)
    ]


def rows(commits: Sequence[Sequence[Append]]) -> list[list[Row]]:
    """The rows of the floor for such commits, each in a stream of its own."""
    with closing(MemoryLog()) as log:
        return [
            list(rows_of(log.append([Append(str(uuid4()), entry.events)]).events, projected=False))
            for (entry,) in commits
        ]


def append_all(log: SqlLog, commits: Sequence[Sequence[Append]]) -> None:
    for commit in commits:
        log.append(commit)


def insert_all(insert: Insert, commits: Sequence[Sequence[Row]]) -> None:
    for commit in commits:
        insert(commit)


def sqlite_floor(path: Path) -> tuple[Insert, Insert]:
    """One row, or many at once; each is a transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    connection.executescript(package_files("eventstore.schema").joinpath("sqlite/0001.sql").read_text())
    text = f"INSERT INTO workflow_events ({COLUMNS}) VALUES ({', '.join('?' * len(WRITTEN))})"

    def many(new: Sequence[Row]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(text, new)
        connection.execute("COMMIT")

    return many, many


def postgres_floor(dsn: str) -> tuple[Insert, Insert, Insert]:
    """One row; many by `executemany`; many by COPY."""
    connection = psycopg.connect(dsn, autocommit=True, prepare_threshold=0)
    connection.execute("CREATE SCHEMA floor")
    connection.execute("SET search_path TO floor")
    connection.execute(package_files("eventstore.schema").joinpath("postgres/0001.sql").read_bytes(), prepare=False)
    places = ", ".join(["nextval('workflow_positions')", *["%s"] * len(WRITTEN)])
    text = f"INSERT INTO workflow_events (position, {COLUMNS}) VALUES ({places})"
    connection.execute("ALTER TABLE workflow_events ALTER position SET DEFAULT nextval('workflow_positions')")
    cursor = connection.cursor()

    def one(new: Sequence[Row]) -> None:
        cursor.execute(text, new[0])

    def many(new: Sequence[Row]) -> None:
        with connection.transaction():
            cursor.executemany(text, new)

    def copy(new: Sequence[Row]) -> None:
        with cursor.copy(f"COPY workflow_events ({COLUMNS}) FROM STDIN") as target:
            for row in new:
                target.write_row(row)

    return one, many, copy


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(logs: dict[str, SqlLog], floors: dict[str, Insert], of: int, number: int) -> Iterator[Figure]:
    """Blocks of commits into each log and each floor in turn. Ratios are to the first floor, block by block."""
    costs: dict[str, list[float]] = {name: [] for name in (*floors, *logs)}
    for _ in range(BLOCKS):
        for name, insert in floors.items():
            made = rows(batches(of, number))
            costs[name].append(timed(partial(insert_all, insert, made)))
        for name, log in logs.items():
            commits = batches(of, number)
            costs[name].append(timed(partial(append_all, log, commits)))
    for name, each in costs.items():
        ratios = {f: median(a / b for a, b in zip(costs[f], each, strict=True)) for f in floors}
        note = ", ".join(f"{ratio:.2f} of {floor}" for floor, ratio in ratios.items() if floor != name)
        yield Figure(f"{name}: {note}", of * number / median(each), ratios[next(iter(floors))])


def measure_sqlite(folder: Path) -> Iterator[Figure]:
    with ExitStack() as stack:
        bare = stack.enter_context(closing(SqliteLog(folder / "bare.db")))
        viewed = stack.enter_context(closing(SqliteLog(folder / "viewed.db")))
        viewed.inline = InlineViews(viewed, Codec())
        one, many = sqlite_floor(folder / "floor.db")
        logs: dict[str, SqlLog] = {"SQLite": bare, "SQLite with views": viewed}
        yield from compare(logs, {"INSERT and commit": one}, 1, SINGLES)
        yield from compare(logs, {"executemany": many}, BATCH, 3)


def measure_postgres(dsn: str) -> Iterator[Figure]:
    one, many, copy = postgres_floor(dsn)
    with ExitStack() as stack:
        logs: dict[str, SqlLog] = {}
        for ordering in ("concurrent", "strict"):
            for views in (False, True):
                name = f"Postgres, {ordering}{' with views' if views else ''}"
                schema = f"{ordering}_{'views' if views else 'bare'}"
                log = stack.enter_context(closing(PostgresLog(dsn, schema=schema, ordering=ordering)))
                log.inline = InlineViews(log, Codec()) if views else None
                logs[name] = log
        yield from compare(logs, {"INSERT and commit": one}, 1, SINGLES)
        yield from compare(logs, {"executemany": many, "COPY": copy}, BATCH, 3)


def measure(folder: Path) -> Iterator[Figure]:
    yield from measure_sqlite(folder)
    for version in VERSIONS:
        with Server(binaries(version)) as server:
            click.echo(f"{version}:", err=True)
            yield from measure_postgres(server.dsn)


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per figure.")
def main(as_json: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="eventstore-bench-") as folder:
        for figure in measure(Path(folder)):
            text = f"{figure.value:>10,.0f} events/s  {figure.name}"
            click.echo(json.dumps(msgspec.to_builtins(figure)) if as_json else text)


if __name__ == "__main__":
    main()
