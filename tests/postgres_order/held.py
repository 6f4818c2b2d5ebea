"""Moments between the steps of an append, held fast: an append that stays open, a floor that somebody shows."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple

import psycopg

from eventstore.log import Append, Appended, NewEvent, RecordedEvent
from eventstore.postgres import Ordering, PostgresLog
from eventstore.session import Batch
from eventstore.sql_log import InlineHook

PATIENCE = 30.0

WAITING = """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND NOT granted
    AND (classid::bigint << 32) + objid::bigint = %s"""
SHOW_FLOOR = "SELECT pg_advisory_lock_shared(%s::regclass::oid::bigint::bit(32)::int, %s::bigint::bit(32)::int)"
SET_POSITION = "SELECT setval(%s::regclass, %s)"


class Place(NamedTuple):
    """Where a store is."""

    dsn: str
    schema: str

    def open(self, ordering: Ordering = "concurrent", inline: InlineHook | None = None) -> PostgresLog:
        return PostgresLog(self.dsn, schema=self.schema, ordering=ordering, inline=inline, connections=4)

    def give_out(self, position: int) -> None:
        """As if positions up to this one had been given out."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(SET_POSITION, (self._named("workflow_positions"), position))

    @contextlib.contextmanager
    def floor(self, position: int) -> Iterator[None]:
        """Somebody shows this floor meanwhile."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(SHOW_FLOOR, (self._named("workflow_events"), position))
            yield
            connection.execute("SELECT pg_advisory_unlock_all()")

    @contextlib.contextmanager
    def held_append(self, commit: Sequence[Append], ordering: Ordering = "concurrent") -> Iterator[Future[Appended]]:
        """This append has its positions and is not committed before the end, however that comes."""
        key = secrets.randbits(62)
        with (
            psycopg.connect(self.dsn, autocommit=True) as holder,
            closing(self.open(ordering, Waiting(key))) as log,
            ThreadPoolExecutor(1) as thread,
        ):
            holder.execute("SELECT pg_advisory_lock(%s)", (key,))
            try:
                appending = thread.submit(log.append, commit)
                deadline = time.monotonic() + PATIENCE
                while holder.execute(WAITING, (key,)).fetchone() == (0,):
                    assert not appending.done(), appending.result()
                    assert time.monotonic() < deadline
                yield appending
            finally:
                holder.execute("SELECT pg_advisory_unlock_all()")
            appending.result(PATIENCE)

    def _named(self, name: str) -> str:
        return f'"{self.schema}".{name}'


class Waiting:
    """Has each append wait, before it commits, for a lock of this key."""

    def __init__(self, key: int) -> None:
        self._key = key

    def statements(self, events: Sequence[RecordedEvent]) -> Sequence[Batch]:
        return [Batch("SELECT pg_advisory_xact_lock($1)", [(self._key,)])]


def written(number: int = 1) -> list[NewEvent]:
    """So many new events."""
    return [NewEvent(type="written", data=b"{}") for _ in range(number)]
