"""eventsource-py: its event stores, which are asynchronous, and encode and decode typed events themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any
from uuid import uuid4

import psycopg
from eventsource import DomainEvent, ExpectedVersion, StreamId, create_async_engine, register_event
from eventsource.adapters.postgresql import PostgreSQLEventStore
from eventsource.adapters.sqlite import SQLiteEventStore

from benchmarks.bench import Bench, postgres_settings, sqlite_settings
from benchmarks.payload import OUTPUT, STREAMS
from benchmarks.peers import Open, Peer, Work
from benchmarks.rows import Medium

KIND = "TaskRun"
UNLIKE = "encodes and decodes typed events in the measured time; the others take and give bytes"


class TaskRunCompleted(DomainEvent):
    """The payload, typed in its way."""

    aggregate_type: str = KIND
    task_id: str
    attempt: int
    output: dict[str, Any]


register_event(TaskRunCompleted)


class Appending:
    """Events of streams, without expectations."""

    def __init__(self, store: Any, runner: asyncio.Runner) -> None:
        self._store, self._runner = store, runner
        self._streams = [StreamId(uuid4(), KIND) for _ in range(STREAMS)]
        self._next = count()

    def appends(self, commits: int, of: int, streams: int) -> Work:
        made = [self._commit(of, streams) for _ in range(commits)]

        async def all_of_them() -> None:
            for stream, events in made:
                await self._store.append(stream, events, ExpectedVersion.any_())

        return lambda: self._runner.run(all_of_them())

    def _commit(self, of: int, streams: int) -> tuple[Any, list[Any]]:
        stream = self._streams[next(self._next) % streams]
        return stream, [
            TaskRunCompleted(aggregate_id=stream.aggregate_id, task_id=f"task-{n}", attempt=1, output=OUTPUT)
            for n in range(of)
        ]

    def read_stream(self) -> int:
        return self._runner.run(_number(self._store.read_stream(self._streams[0])))

    def read_all(self) -> int:
        return self._runner.run(_number(self._store.read_all()))


async def _number(events: AsyncIterator[object]) -> int:
    return len([event async for event in events])


def peer(store: Any, runner: asyncio.Runner, settings: str) -> Peer:
    appending = Appending(store, runner)
    return Peer(
        settings,
        appending.appends,
        read_stream=appending.read_stream,
        read_all=appending.read_all,
        unlike=UNLIKE,
    )


@contextmanager
def on_sqlite(bench: Bench) -> Iterator[Peer]:
    store = SQLiteEventStore(f"{bench.path()}.db")
    with asyncio.Runner() as runner:
        try:
            yield peer(store, runner, runner.run(_settings(store)))
        finally:
            runner.run(store.close())


async def _settings(store: Any) -> str:
    connection = await store._conn()  # there is no other way to what it has set
    answers = []
    for name in ("journal_mode", "synchronous"):
        cursor = await connection.execute(f"PRAGMA {name}")
        answers.append((await cursor.fetchone())[0])
    return sqlite_settings(*answers)


@contextmanager
def on_postgres(bench: Bench) -> Iterator[Peer]:
    address = bench.dsn.replace("postgresql://", "postgresql+asyncpg://", 1)
    inside = {"server_settings": {"search_path": bench.schema()}}
    engine = create_async_engine(address, connect_args=inside)
    store = PostgreSQLEventStore(engine, create_schema=True, owns_engine=True)
    with asyncio.Runner() as runner, psycopg.connect(bench.dsn) as connection:
        try:
            yield peer(store, runner, postgres_settings(connection))
        finally:
            runner.run(store.close())


OPENERS: Mapping[Medium, Open] = {"SQLite": on_sqlite, "Postgres": on_postgres}
