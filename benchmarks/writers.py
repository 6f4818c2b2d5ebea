"""Several writers at once: threads, coroutines, processes, on streams of their own and on one; and Postgres's order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from uuid import uuid4

from benchmarks.appends import LOG, VIEWS, append_all, ask, settled
from benchmarks.bench import SLOW_FLUSH, Bench, settings_of
from benchmarks.clients import Client, Clients, store_appender
from benchmarks.harness import timed
from benchmarks.payload import DATA, beginnings, completion
from benchmarks.rows import MEDIA, Contender, Goal, Medium, Row
from eventstore.admit import Head, admit
from eventstore.asynchronous import Async
from eventstore.log import Append, Log, NewEvent, now
from eventstore.postgres import Ordering, PostgresLog
from eventstore.postgres_database import BEGIN, COMMIT
from eventstore.postgres_insert import insertion
from eventstore.session import Statement
from projections import Store

LOCK_TABLE = "LOCK TABLE main.workflow_events IN EXCLUSIVE MODE"


class Threads:
    """Turns of appends that so many threads share, until the views show them all, if there is a store that keeps some;
    the figure is appends per second.
    """

    def __init__(self, log: Log, store: Store | None, number: int, total: int, *, one_stream: bool) -> None:
        self._log, self._store = log, store
        self._number, self._each, self._one_stream = number, max(1, total // number), one_stream
        self._pool = ThreadPoolExecutor(number)
        self._done = 0

    def turn(self) -> float:
        parts = self._parts()
        return self._number * self._each / timed(lambda: self._work(parts))

    def _work(self, parts: list[list[list[Append]]]) -> None:
        self._append_all(parts)
        if self._store is not None:
            ask(self._store)

    def _append_all(self, parts: list[list[list[Append]]]) -> None:
        list(self._pool.map(partial(append_all, self._log), parts))

    def _parts(self) -> list[list[list[Append]]]:
        return [[self._commit(thread) for _ in range(self._each)] for thread in range(self._number)]

    def _commit(self, thread: int) -> list[Append]:
        self._done += 1
        return [Append("run-0" if self._one_stream else f"run-{thread}", [completion(self._done)])]

    def close(self) -> None:
        self._pool.shutdown()


class Coroutines(Threads):
    """The same by as many coroutines."""

    def __init__(self, log: Log, store: Store | None, number: int, total: int, *, one_stream: bool) -> None:
        super().__init__(log, store, number, total, one_stream=one_stream)
        self._facade, self._runner = Async(log), asyncio.Runner()

    def _append_all(self, parts: list[list[list[Append]]]) -> None:
        self._runner.run(self._append(parts))

    async def _append(self, parts: list[list[list[Append]]]) -> None:
        async with asyncio.TaskGroup() as group:
            for commits in parts:
                group.create_task(self._append_in_turn(commits))

    async def _append_in_turn(self, commits: list[list[Append]]) -> None:
        for commit in commits:
            await self._facade.append(commit)

    def close(self) -> None:
        super().close()
        self._runner.run(self._facade.close())
        self._runner.close()


def writers(number: int) -> str:
    """A contender's name."""
    return "1 writer" if number == 1 else f"{number} writers"


@contextmanager
def in_threads(medium: Medium, views: bool, one_stream: bool, bench: Bench) -> Iterator[list[Contender]]:
    """The same number of appends by one thread, by several, and by coroutines."""
    with ExitStack() as stack:
        store = stack.enter_context(bench.store(medium)) if views else None
        log = stack.enter_context(bench.log(medium)) if store is None else store.log
        log.append(beginnings())
        numbers, most = bench.scale.threads, max(bench.scale.threads)
        ways = [*((writers(number), Threads, number) for number in numbers), (f"{most} coroutines", Coroutines, most)]
        found = []
        for name, kind, number in ways:
            total = 2 * max(bench.scale.singles, number)
            clients = stack.enter_context(closing(kind(log, store, number, total, one_stream=one_stream)))
            turn = clients.turn if store is None else settled(clients.turn, store)
            found.append(Contender(name, turn, settings=settings_of(log)))
        yield found


@contextmanager
def in_processes(medium: Medium, one_stream: bool, bench: Bench) -> Iterator[list[Contender]]:
    """Appends by one process, and by several."""
    address = bench.address(medium)
    with ExitStack() as stack:
        with bench.opened(address) as store:
            store.log.append(beginnings())
            settings = settings_of(store.log)
        opener = {"append": partial(store_appender, address, "run-0" if one_stream else None)}
        clients = stack.enter_context(Clients(max(bench.scale.processes), opener))
        yield [
            Contender(writers(number), partial(clients.rate, "append", number, bench.scale.seconds), settings=settings)
            for number in bench.scale.processes
        ]


class TableLock:
    """Appends as most event stores do it on Postgres: whoever appends has the table to themselves."""

    def __init__(self, log: PostgresLog) -> None:
        self._log, self._stream, self._head = log, uuid4().hex, Head()

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
            insert = Statement(*insertion(decided.events, {self._stream: self._head}, projected=False))
            append = [Statement(BEGIN), Statement(LOCK_TABLE), insert, Statement(COMMIT)]
            self._log.database.session(connection).ask(append)
        self._head = Head(decided.events[-1].version, decided.events[-1].hash)


@contextmanager
def table_lock(dsn: str, schema: str) -> Iterator[Client]:
    """The same append, under a lock on the table."""
    with closing(PostgresLog(dsn, schema=schema, connections=1)) as log:
        yield Client(TableLock(log).append)


@contextmanager
def ordered(dsn: str, schema: str, ordering: Ordering) -> Iterator[Client]:
    """An append in one of the log's two ways."""
    stream = uuid4().hex
    with closing(PostgresLog(dsn, schema=schema, ordering=ordering, connections=1)) as log:
        yield Client(lambda: log.append([Append(stream, [NewEvent(type="taskRunCompleted", data=DATA)])]))


@contextmanager
def orders(options: str, bench: Bench) -> Iterator[list[Contender]]:
    """An order that no reader can miss anything in: the usual way, and the log's two."""
    dsn = bench.with_options(options)
    ways = {
        "table lock": partial(table_lock, dsn, bench.schema()),
        "concurrent": partial(ordered, dsn, bench.schema(), "concurrent"),
        "strict": partial(ordered, dsn, bench.schema(), "strict"),
    }
    with closing(PostgresLog(dsn, schema=bench.schema())) as log:
        settings = settings_of(log)
    with Clients(bench.scale.clients, ways) as clients:
        yield [
            Contender(
                name,
                partial(clients.rate, name, bench.scale.clients, bench.scale.seconds),
                "floor" if name == "table lock" else "ours",
                settings,
            )
            for name in ways
        ]


def rows_in_threads() -> Iterator[Row]:
    """Which of them are measured."""
    for medium in MEDIA:
        for views, one_stream in ((True, False), (False, False), (True, True)):
            goal = Goal("64 writers", at_least=10.0) if medium == "files" and not one_stream else None
            yield Row(
                name=f"threads on {'one stream' if one_stream else 'streams of their own'}, {VIEWS if views else LOG}",
                medium=medium,
                unit="appends/s",
                contenders=partial(in_threads, medium, views, one_stream),
                goals=(goal,) if goal else (),
            )


ROWS: Sequence[Row] = (
    *rows_in_threads(),
    *(
        Row(
            name=f"processes on {'one stream' if one_stream else 'streams of their own'}, {VIEWS}",
            medium=medium,
            unit="appends/s",
            contenders=partial(in_processes, medium, one_stream),
        )
        for medium in MEDIA
        for one_stream in (False, True)
    ),
    Row(
        name="16 clients, an order in which readers miss nothing",
        medium="Postgres",
        unit="appends/s",
        contenders=partial(orders, ""),
        about="The log alone; each client is a process and has a stream of its own.",
    ),
    Row(
        name="16 clients, the same with a flush of 1 ms more",
        medium="Postgres",
        unit="appends/s",
        contenders=partial(orders, SLOW_FLUSH),
        goals=(Goal("concurrent", at_least=5.0),),
        about="commit_delay is 1,000 µs, so that every flush waits, as for a disk far away.",
    ),
)
