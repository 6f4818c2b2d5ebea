"""What an order that no reader can miss anything in costs on Postgres: the log's two ways, and the usual third.

Clients, a process each, append one event at a time to streams of their own. The third way is an append of the same
row under `LOCK TABLE … IN EXCLUSIVE MODE`, in one round trip as well. One server flushes as fast as its disk does, the
other waits a millisecond before each flush (`commit_delay`), like a disk far away. The ways take turns in short rounds;
the figures are medians of appends per second, and the ratios those of the medians to that of the table lock.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from multiprocessing.connection import Connection
from statistics import median
from uuid import uuid4

import click
import msgspec

from eventstore.admit import Head, admit
from eventstore.log import Append, NewEvent, now
from eventstore.postgres import Ordering, PostgresLog
from eventstore.postgres_database import BEGIN, COMMIT, pipelined
from eventstore.postgres_insert import insertion
from tests.postgres import VERSIONS, binaries
from tests.postgres_server import Server

DATA = b'{"task":"transform","attempt":1,"output":{"rows":1024,"checksum":"8c7dd922ad47494fc02c388e12c00eac"},"ms":187}'
CLIENTS = (1, 4, 16)
WAYS = ("concurrent", "strict", "table lock")
SLOW_FLUSH = {"commit_delay": 1_000, "commit_siblings": 0}
LOCK_TABLE = "LOCK TABLE main.workflow_events IN EXCLUSIVE MODE"

Appender = Callable[[], object]


class TableLock:
    """Appends as most event stores do it: whoever appends has the table to themselves."""

    def __init__(self, log: PostgresLog, stream: str) -> None:
        self._log, self._stream, self._head = log, stream, Head()

    def append(self) -> None:
        decided = admit(
            [Append(self._stream, [NewEvent(type="taskRunCompleted", data=DATA)])],
            lambda _: self._head,
            lambda _: None,
            checkpoint=None,
            checkpoint_of=lambda _: None,
            first_position=0,
            recorded_at=now(),
        )
        with self._log.database.connection(committing=True) as connection:
            session = self._log.database.session(connection)
            with pipelined(connection):
                session.execute(BEGIN)
                session.execute(LOCK_TABLE)
                session.execute(*insertion(decided.events, {self._stream: self._head}, projected=False))
                session.execute(COMMIT)
        self._head = Head(decided.events[-1].version, decided.events[-1].hash)


def appender(log: PostgresLog, way: str) -> Appender:
    """What makes one append in this way, to a stream of its own."""
    stream = uuid4().hex
    if way == "table lock":
        return TableLock(log, stream).append
    return lambda: log.append([Append(stream, [NewEvent(type="taskRunCompleted", data=DATA)])])


def serve(orders: Connection, dsn: str) -> None:
    """A client: for each way that it is told, append for so many seconds, and tell how often that was."""
    with ExitStack() as stack:
        appenders: dict[str, Appender] = {}
        for way in WAYS:
            ordering: Ordering = "strict" if way == "strict" else "concurrent"
            log = PostgresLog(dsn, schema=way.replace(" ", "_"), ordering=ordering, connections=1)
            appenders[way] = appender(stack.enter_context(closing(log)), way)
            appenders[way]()
        orders.send("ready")
        while order := orders.recv():
            way, seconds = order
            append, done, end = appenders[way], 0, time.perf_counter() + seconds
            while time.perf_counter() < end:
                append()
                done += 1
            orders.send(done)


class Figure(msgspec.Struct, frozen=True):
    """Appends per second."""

    flush: str
    clients: int
    way: str
    rate: float


def measure(flush: str, dsn: str, rounds: int, seconds: float) -> Iterator[Figure]:
    spawning = multiprocessing.get_context("spawn")
    pipes = [spawning.Pipe() for _ in range(max(CLIENTS))]
    processes = [spawning.Process(target=serve, args=(theirs, dsn), daemon=True) for _, theirs in pipes]
    for process in processes:
        process.start()
    clients = [ours for ours, _ in pipes]
    for client in clients:
        client.recv()
    for count in CLIENTS:
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way in WAYS:
                for client in clients[:count]:
                    client.send((way, seconds))
                rates[way].append(sum(client.recv() for client in clients[:count]) / seconds)
        yield from (Figure(flush, count, way, median(found)) for way, found in rates.items())
    for client in clients:
        client.send(None)
    for process in processes:
        process.join()


@click.command(help=__doc__)
@click.option("--rounds", default=7, show_default=True, help="How often each way has its turn.")
@click.option("--seconds", default=1.0, show_default=True, help="How long a turn is.")
@click.option("--server", default=VERSIONS[0], show_default=True, type=click.Choice(VERSIONS), help="Which Postgres.")
def main(rounds: int, seconds: float, server: str) -> None:
    click.echo(f"{server}: appends/s, and how many times those under a table lock\n")
    click.echo(f"{'flush':<12}{'clients':>8}" + "".join(f"{way:>20}" for way in WAYS))
    for flush, settings in (("as it is", {}), ("after 1 ms", SLOW_FLUSH)):
        with Server(binaries(server), settings=settings) as running:
            rates = {(f.clients, f.way): f.rate for f in measure(flush, running.dsn, rounds, seconds)}
        for count in CLIENTS:
            floor = rates[count, "table lock"]
            row = "".join(f"{rates[count, way]:>12,.0f} {rates[count, way] / floor:>5.2f} ×" for way in WAYS)
            click.echo(f"{flush:<12}{count:>8}{row}")


if __name__ == "__main__":
    main()
