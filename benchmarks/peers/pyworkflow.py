"""pyworkflow-engine: its storage in SQLite, without the engine that writes to it. Its Postgres storage is like it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import count
from typing import Any

from loguru import logger
from pyworkflow.engine.events import Event, EventType
from pyworkflow.storage.schemas import RunStatus, WorkflowRun
from pyworkflow.storage.sqlite import SQLiteStorageBackend

from benchmarks.bench import Bench, sqlite_settings
from benchmarks.payload import OUTPUT, STREAMS
from benchmarks.peers import Open, Peer, Work
from benchmarks.rows import Medium

logger.disable("pyworkflow")

UNLIKE = "one event per commit, no expected version; turns data into JSON and back in the measured time"


def peer(storage: Any, runner: asyncio.Runner, settings: str) -> Peer:
    numbers = count()

    def event(streams: int) -> Any:
        number = next(numbers)
        data = {"step_id": f"task-{number}", "attempt": 1, "result": OUTPUT}
        return Event(run_id=f"run-{number % streams}", type=EventType.STEP_COMPLETED, data=data)

    def appends(commits: int, of: int, streams: int) -> Work:
        made = [event(streams) for _ in range(commits * of)]

        async def all_of_them() -> None:
            for each in made:
                await storage.record_event(each)

        return lambda: runner.run(all_of_them())

    async def number_in_stream() -> int:
        return len(await storage.get_events("run-0"))

    return Peer(settings, appends, batches=False, read_stream=lambda: runner.run(number_in_stream()), unlike=UNLIKE)


@contextmanager
def on_sqlite(bench: Bench) -> Iterator[Peer]:
    path = f"{bench.path()}.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # stays with the file; it sets nothing itself
    storage = SQLiteStorageBackend(path)
    with asyncio.Runner() as runner:
        runner.run(storage.connect())
        try:
            runner.run(_create_runs(storage))
            yield peer(storage, runner, runner.run(_settings(storage)))
        finally:
            runner.run(storage.disconnect())


async def _create_runs(storage: Any) -> None:
    for number in range(STREAMS):
        await storage.create_run(WorkflowRun(f"run-{number}", "nightly", RunStatus.RUNNING))


async def _settings(storage: Any) -> str:
    answers = []
    for name in ("journal_mode", "synchronous"):
        cursor = await storage._db.execute(f"PRAGMA {name}")  # there is no other way to what it has set
        answers.append((await cursor.fetchone())[0])
    return sqlite_settings(*answers)


OPENERS: Mapping[Medium, Open] = {"SQLite": on_sqlite}
