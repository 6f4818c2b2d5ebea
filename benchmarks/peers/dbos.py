"""DBOS: a workflow of steps, run by its engine in this process."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from dbos import DBOS

from benchmarks.bench import Bench, postgres_settings, sqlite_settings
from benchmarks.payload import OUTPUT
from benchmarks.peers import Open, Peer, Work
from benchmarks.rows import Medium
from benchmarks.sizes import postgres_size, sqlite_size

UNLIKE = "with its engine, and threads of its own; records no start of a step"


def step(number: int) -> dict[str, Any]:
    """The output of a step."""
    return OUTPUT | {"task": number}


@contextmanager
def launched(address: str, **config: object) -> Iterator[Any]:
    """DBOS with one workflow, a chain of as many steps as it is told."""
    app = DBOS(config={"name": "bench", "system_database_url": address, "log_level": "ERROR", **config})
    one = DBOS.step()(step)

    def chain(steps: int) -> None:
        for number in range(steps):
            one(number)

    workflow = DBOS.workflow(name="chain")(chain)
    DBOS.launch()
    try:
        yield app, workflow
    finally:
        DBOS.destroy(destroy_registry=True)


def peer(workflow: Callable[[int], None], settings: str, size: Callable[[], int]) -> Peer:
    def steps(number: int) -> Work:
        return lambda: workflow(number)

    return Peer(settings, steps=steps, size=size, unlike=UNLIKE)


@contextmanager
def on_sqlite(bench: Bench) -> Iterator[Peer]:
    path = f"{bench.path()}.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # stays with the file; its own choice is a rollback journal
    with launched(f"sqlite:///{path}") as (app, workflow):
        with app._sys_db.engine.connect() as its:  # there is no other way to what it has set
            journal = its.exec_driver_sql("PRAGMA journal_mode").scalar()
            level = its.exec_driver_sql("PRAGMA synchronous").scalar()
        yield peer(workflow, sqlite_settings(journal, level), lambda: sqlite_size(path))


@contextmanager
def on_postgres(bench: Bench) -> Iterator[Peer]:
    schema = bench.schema()
    with (
        launched(bench.dsn, dbos_system_schema=schema) as (_, workflow),
        psycopg.connect(bench.dsn) as connection,
    ):
        yield peer(workflow, postgres_settings(connection), lambda: postgres_size(bench.dsn, schema))


OPENERS: Mapping[Medium, Open] = {"SQLite": on_sqlite, "Postgres": on_postgres}
