"""stabilize: its event stores, without the engine that writes to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import count
from typing import Any

import psycopg
from stabilize.events.base import EntityType, Event, EventType
from stabilize.events.store.postgres import PostgresEventStore
from stabilize.events.store.postgres.schema import setup_ddl
from stabilize.events.store.sqlite import SqliteEventStore
from stabilize.persistence.connection import get_connection_manager

from benchmarks.bench import Bench, postgres_settings, sqlite_settings
from benchmarks.payload import OUTPUT
from benchmarks.peers import Open, Peer, Work
from benchmarks.rows import Medium

UNLIKE = "checks no expected version, and turns data into JSON and back in the measured time"


def peer(store: Any, settings: str) -> Peer:
    numbers = count()

    def commit(of: int, streams: int) -> list[Any]:
        run = f"run-{next(numbers) % streams}"
        return [
            Event(
                event_type=EventType.TASK_COMPLETED,
                entity_type=EntityType.TASK,
                entity_id=f"task-{n}",
                workflow_id=run,
                data={"task_id": f"task-{n}", "attempt": 1, "output": OUTPUT},
            )
            for n in range(of)
        ]

    def appends(commits: int, of: int, streams: int) -> Work:
        made = [commit(of, streams) for _ in range(commits)]

        def work() -> None:
            for events in made:
                store.append_batch(events)

        return work

    return Peer(
        settings,
        appends,
        read_stream=lambda: sum(1 for _ in store.get_events_for_workflow("run-0")),
        read_all=lambda: sum(1 for _ in store.get_events_since(0, limit=1_000_000_000)),
        unlike=UNLIKE,
    )


@contextmanager
def on_sqlite(bench: Bench) -> Iterator[Peer]:
    address = f"sqlite:///{bench.path()}.db"
    connection = get_connection_manager().get_sqlite_connection(address)
    try:
        # Its own choice is a rollback journal and NORMAL, which can lose what was committed last.
        (journal,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        (level,) = connection.execute("PRAGMA synchronous").fetchone()
        yield peer(SqliteEventStore(address), sqlite_settings(journal, level))
    finally:
        get_connection_manager().close_sqlite_connection(address)


@contextmanager
def on_postgres(bench: Bench) -> Iterator[Peer]:
    with psycopg.connect(bench.with_options(f"-c search_path={bench.schema()}"), autocommit=True) as connection:
        connection.execute(setup_ddl())
        with closing(PostgresEventStore(connection.info.dsn)) as store:
            yield peer(store, postgres_settings(connection))


OPENERS: Mapping[Medium, Open] = {"SQLite": on_sqlite, "Postgres": on_postgres}
