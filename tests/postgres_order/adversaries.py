"""What the processes of a trial do: write in every way there is, read without pause, end the writers' connections.

Each takes the name of a bug to plant in itself first, or none: see `plants`.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection

import psycopg

from eventstore import sql_reader
from eventstore.errors import OutcomeUnknown, Unavailable, WrongExpectedVersion
from eventstore.log import ANY, EXISTS, Append, Appended, Checkpoint, Expect, NewEvent, RecordedEvent
from eventstore.postgres import Ordering, PostgresLog
from eventstore.session import Batch
from tests.crash.children import failures_told

from .oracle import BRIEF, OWN, Noted, Written
from .plants import plant

KEPT, PASSING = "kept", "passing"
"""The types of events."""

_HOT = ("hot/0", "hot/1")
_BRIEF = tuple(f"{BRIEF}{number}" for number in range(3))
_PAUSES = 0.004
_PULSE_SECONDS = 10.0
END_A_BACKEND = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s
    ORDER BY state = 'active' DESC, random() LIMIT 1"""


class Dawdler:
    """Lets some appends take their time between their insert and their commit, and some fail there."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def statements(self, events: Sequence[RecordedEvent]) -> Sequence[Batch]:
        choice = self._random.random()
        if choice < 0.02:
            return [Batch("SELECT 1 / (length(current_database()) - length(current_database()))", [()])]
        return [Batch("SELECT pg_sleep($1)", [(_PAUSES * self._random.random(),)])] if choice < 0.2 else []


class Pulse:
    """Tells the test now and then that this process has not hung."""

    def __init__(self, test: Connection) -> None:
        self._test, self._last = test, time.monotonic()

    def beat(self) -> None:
        if time.monotonic() > self._last + _PULSE_SECONDS:
            self._last = time.monotonic()
            self._test.send("alive")


class Writer:
    """A thread that appends, and remembers what it was told."""

    def __init__(self, log: PostgresLog, dsn: str, name: str) -> None:
        self.written = Written([], 0)
        self._log, self._dsn, self._name = log, dsn, name
        self._random = random.Random(name)
        self._versions: dict[str, int] = {}
        self._moved: int | None = None

    def write(self, events: int) -> Iterator[int]:
        """Until so many events have been acknowledged. Says after each commit how many have."""
        done = 0
        while done < events:
            if self._random.random() < 0.01:
                with contextlib.suppress(Unavailable):
                    self._log.purge(self._random.choice(_BRIEF))
            commit = self._commit()
            try:
                appended = self._append(commit)
            except WrongExpectedVersion as error:
                if any(stream.startswith(OWN) for stream, _, _ in error.violations):
                    raise AssertionError("somebody else appended to a writer's own stream") from error
                self._versions |= {stream: actual for stream, _, actual in error.violations}
            except Unavailable as error:
                if isinstance(error, OutcomeUnknown):
                    raise
            else:
                done += len(appended.events)
                self._take(appended)
                yield done
                continue
            self.written = self.written._replace(refused=self.written.refused + 1)

    def _take(self, appended: Appended) -> None:
        self.written.acknowledged.append([_noted(event) for event in appended.events])
        self._versions |= appended.versions

    def _append(self, commit: list[Append]) -> Appended:
        choice = self._random.random()
        try:
            if choice < 0.03:
                return self._append_within(commit, commits=self._random.random() < 0.6)
            if choice < 0.06:
                return self._append_with_checkpoint(commit)
            return self._log.append(commit)
        except OutcomeUnknown:
            return self._repeat(commit)

    def _repeat(self, commit: list[Append]) -> Appended:
        """Until it is known what became of it."""
        while True:
            with contextlib.suppress(Unavailable):
                return self._log.append(commit)

    def _append_with_checkpoint(self, commit: list[Append]) -> Appended:
        moved = (self._moved or 0) + 1
        checkpoint = Checkpoint(f"of {self._name}", moved, previous=self._moved)
        try:
            appended = self._log.append(commit, checkpoint=checkpoint)
        except OutcomeUnknown:
            appended = self._repeat(commit)
            self._moved = self._log.checkpoint(checkpoint.name)
        else:
            self._moved = moved
        return appended

    def _append_within(self, commit: list[Append], *, commits: bool) -> Appended:
        """In a transaction of its own, which takes its time."""
        try:
            with psycopg.connect(self._dsn) as connection:
                connection.execute("SELECT 1")
                appended = self._log.append_within(connection, commit)
                connection.execute("SELECT pg_sleep(%s)", (_PAUSES * self._random.random(),))
                if not commits:
                    connection.rollback()
        except (psycopg.Error, Unavailable) as error:
            if commits:
                return self._repeat(commit)
            raise Unavailable("rolled back") from error
        if not commits:
            raise Unavailable("rolled back")
        return appended

    def _commit(self) -> list[Append]:
        """One to ten events, in half of the cases in a stream of the writer's own, else in up to three streams."""
        choose = self._random
        own = f"{OWN}{self._name}/{len(self.written.acknowledged) // 20}"
        streams = [own]
        if choose.random() < 0.5:
            streams = choose.sample([own, *_HOT, *_BRIEF], choose.choice([1, 1, 2, 3]))
        most = choose.choice([1, 10]) // len(streams)
        return [self._part(stream, choose.randint(1, max(1, most))) for stream in streams]

    def _part(self, stream: str, size: int) -> Append:
        expected: list[int | Expect] = [self._versions.get(stream, 0)]
        if stream in _HOT:
            expected += [ANY] * 3
        elif stream in _BRIEF:
            expected = [ANY, ANY, EXISTS, 0]
        kind = self._random.choice([KEPT, PASSING])
        events = [NewEvent(type=kind, data=b'{"by":"%s"}' % self._name.encode()) for _ in range(size)]
        return Append(stream, events, self._random.choice(expected))


def write(
    test: Connection, dsn: str, schema: str, ordering: Ordering, names: Sequence[str], events: int, bug: str | None
) -> list[Written]:
    """One thread for each name, each until so many of its events have been acknowledged."""
    plant(bug)
    logging.disable()  # connections are lost all the time
    log = PostgresLog(dsn, schema=schema, ordering=ordering, inline=Dawdler(names[0]), connections=len(names) + 2)
    with closing(log), ThreadPoolExecutor(len(names)) as threads:
        writers = [Writer(log, dsn, name) for name in names]
        pulse = Pulse(test)
        test.send("writing")

        def run(writer: Writer) -> None:
            with failures_told(test):
                for _ in writer.write(events):
                    pulse.beat()

        list(threads.map(run, writers))
        return [writer.written for writer in writers]


def follow(
    test: Connection,
    dsn: str,
    schema: str,
    limit: int | None,
    types: Sequence[str] | None,
    page: int,
    bug: str | None,
) -> list[Noted]:
    """Poll without pause, and give all that was seen, once the test has said at which position the end is."""
    plant(bug)
    sql_reader.PAGE = page
    seen: list[Noted] = []
    position = commit = end = head = 0
    with closing(PostgresLog(dsn, schema=schema, connections=1)) as log:
        pulse = Pulse(test)
        test.send("reading")
        while not end or position < end:
            events = list(log.read_all(after=position, types=types, limit=limit))
            if events:
                assert limit is not None or events[0].commit > commit, f"the commit at {commit} was seen in parts"
                position, commit = events[-1].position, events[-1].commit
                seen += map(_noted, events)
                pulse.beat()
            before, head = head, log.head()
            assert head >= before, f"the head went back from {before} to {head}"
            if not end and test.poll():
                end = test.recv()
    return seen


def end_backends(test: Connection, dsn: str, name: str, seconds: float) -> int:
    """End one of the connections of this name every so many seconds, until told to stop. Gives how many."""
    ended = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not test.poll(seconds):
            ended += len(connection.execute(END_A_BACKEND, (name,)).fetchall())
    return ended


def _noted(event: RecordedEvent) -> Noted:
    return (event.position, event.commit, event.stream, event.version, event.id.bytes)
