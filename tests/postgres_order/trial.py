"""A trial: writers, readers and disturbances, all at once, then the oracle."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from eventstore.log import Append, NewEvent
from eventstore.postgres import Ordering, PostgresLog
from eventstore.sql_reader import PAGE
from tests.crash.children import Child, Children

from .adversaries import KEPT, end_backends, follow, write
from .oracle import Reading, Written, check

THREADS = 3
READERS: Sequence[tuple[int | None, Sequence[str] | None, int]] = [
    (None, None, PAGE),
    (None, None, 7),
    (1, None, PAGE),
    (7, [KEPT], PAGE),
    (1_000, None, PAGE),
]
"""How many events each reads at most, of which types, and how many in one query."""


class Figures(NamedTuple):
    """How much a trial came to."""

    events: int
    commits: int
    refused: int
    backends_ended: int


def run_trial(
    children: Children,
    dsn: str,
    schema: str,
    orderings: Sequence[Ordering],
    events: int,
    *,
    seed: str,
    bug: str | None = None,
    ends_every: float = 0.25,
) -> Figures:
    """A process of writers for each of these orderings, which write so many events together."""
    name = f"writers of {schema}"[:63]
    writers_dsn = make_conninfo(dsn, application_name=name)
    with closing(PostgresLog(dsn, schema=schema, connections=2)) as log, idle_transactions(dsn, schema):
        share = max(1, events // (len(orderings) * THREADS))
        readers = [children.start(follow, dsn, schema, *reader, bug) for reader in READERS]
        writers = [
            children.start(
                write,
                writers_dsn,
                schema,
                ordering,
                [f"{seed}.{process}.{thread}" for thread in range(THREADS)],
                share,
                bug,
            )
            for process, ordering in enumerate(orderings)
        ]
        for child in readers:
            assert child.receive() == "reading"
        for child in writers:
            assert child.receive() == "writing"
        ender = children.start(end_backends, dsn, name, ends_every)
        written: list[Written] = [one for child in writers for one in _result(child)]
        ender.send("stop")
        ended = int(_result(ender))
        last = log.append([Append("last", [NewEvent(type=KEPT, data=b"{}")])]).events[0]
        written.append(Written([[(last.position, last.commit, last.stream, last.version, last.id.bytes)]], 0))
        for child in readers:
            child.send(last.position)
        readings = [Reading(_result(child), reader[1]) for child, reader in zip(readers, READERS, strict=True)]
        check(log, written, readings)
    commits = [commit for one in written for commit in one.acknowledged]
    return Figures(sum(map(len, commits)), len(commits), sum(one.refused for one in written), ended)


@contextlib.contextmanager
def idle_transactions(dsn: str, schema: str) -> Iterator[None]:
    """One that has read from this database, and one that has written in another, both open all the time."""
    other = sql.Identifier(f"other_{uuid4().hex}")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(psycopg.connect(dsn, autocommit=True))
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(other))
        stack.callback(server.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(other))
        reading = stack.enter_context(psycopg.connect(dsn))
        reading.execute(sql.SQL("SELECT count(*) FROM {}.workflow_events").format(sql.Identifier(schema)))
        writing = stack.enter_context(psycopg.connect(make_conninfo(dsn, dbname=other.as_string(None).strip('"'))))
        writing.execute("CREATE TABLE written (number int)")
        yield
        reading.rollback()
        writing.rollback()


def _result(child: Child) -> Any:
    return child.result()
