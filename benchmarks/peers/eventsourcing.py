"""eventsourcing: its application recorders, which take and give events that are encoded already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import count
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from eventsourcing.persistence import ApplicationRecorder, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from benchmarks.bench import Bench, postgres_settings, sqlite_settings
from benchmarks.payload import DATA, STREAMS
from benchmarks.peers import Open, Peer, Work
from benchmarks.rows import Medium

PAGE = 1_000


class Recording:
    """Events of streams, each numbered in its own."""

    def __init__(self, recorder: ApplicationRecorder) -> None:
        self._recorder = recorder
        self._streams = [(uuid4(), count(0)) for _ in range(STREAMS)]
        self._next = count()

    def appends(self, commits: int, of: int, streams: int) -> Work:
        made = [self._commit(of, streams) for _ in range(commits)]

        def work() -> None:
            for commit in made:
                self._recorder.insert_events(commit)

        return work

    def _commit(self, of: int, streams: int) -> list[StoredEvent]:
        stream, versions = self._streams[next(self._next) % streams]
        return [StoredEvent(stream, next(versions), "bench:TaskRunCompleted", DATA) for _ in range(of)]

    def read_stream(self) -> int:
        return len(self._recorder.select_events(self._streams[0][0]))

    def read_all(self) -> int:
        after, found = 0, 0
        while page := self._recorder.select_notifications(after, PAGE, inclusive_of_start=False):
            after, found = page[-1].id, found + len(page)
        return found


def peer(recorder: ApplicationRecorder, settings: str) -> Peer:
    recording = Recording(recorder)
    return Peer(settings, recording.appends, read_stream=recording.read_stream, read_all=recording.read_all)


@contextmanager
def on_sqlite(bench: Bench) -> Iterator[Peer]:
    with closing(SQLiteDatastore(db_name=f"{bench.path()}.db")) as datastore:
        recorder = SQLiteApplicationRecorder(datastore)
        recorder.create_table()
        with datastore.transaction(commit=False) as cursor:
            cursor.execute("PRAGMA journal_mode")
            (journal,) = cursor.fetchone()
            cursor.execute("PRAGMA synchronous")
            (level,) = cursor.fetchone()
        yield peer(recorder, sqlite_settings(journal, level))


@contextmanager
def on_postgres(bench: Bench) -> Iterator[Peer]:
    url, schema = urlsplit(bench.dsn), bench.schema()
    with (
        closing(
            PostgresDatastore(
                dbname=url.path.lstrip("/"),
                host=url.hostname or "127.0.0.1",
                port=url.port or 5432,
                user=url.username or "postgres",
                password=url.password or "",
                schema=schema,
            )
        ) as datastore,
        psycopg.connect(bench.dsn) as connection,
    ):
        recorder = PostgresApplicationRecorder(datastore)
        recorder.create_table()
        yield peer(recorder, postgres_settings(connection))


OPENERS: Mapping[Medium, Open] = {"SQLite": on_sqlite, "Postgres": on_postgres}
