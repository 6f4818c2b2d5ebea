"""The Postgres log: a schema in a database, for any number of processes on any number of machines.

An append is one round trip: what it is decided on (the heads of its streams) is remembered from earlier appends and
checked by the database while it inserts. Only if that turns out to be old is the append decided again, in the end with
all other writers locked out, so that it comes through.

How no reader ever skips an event: positions are given out before commits become visible, so events can appear below
others that were seen already. Every append therefore holds a shared advisory lock, the *floor*, whose key says which
position was the last one given out before its own. A reader first asks for the last position given out, then for the
lowest floor, and only then reads, up to the smaller of the two: an append that is under way and owns a position at or
below the first shows its floor in the second, because locks are released only after their commit is visible. That may
be in the middle of a commit, whose events come in a row: the reader then stops before it.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from importlib.resources import files as package_files
from typing import Any, ClassVar, Literal

import msgspec
import psycopg

from eventstore.admit import Head, admit
from eventstore.errors import Conflict, InvalidInput, OutcomeUnknown, Unavailable, WrongExpectedVersion
from eventstore.hold import Hold
from eventstore.log import Append, Appended, Checkpoint, Durability, Hook, RecordedEvent, now
from eventstore.postgres_database import BEGIN, COMMIT, SET_DURABILITY, PostgresDatabase, PostgresSession
from eventstore.postgres_errors import ConnectionLost, Retry
from eventstore.postgres_hold import hold_name, name_holder
from eventstore.postgres_insert import insertion, positioned
from eventstore.postgres_wakeup import Wakeup
from eventstore.schema import migrate
from eventstore.session import Batch, Session, Statement
from eventstore.sql_decide import HEADS
from eventstore.sql_log import InlineHook, SqlLog, logger
from eventstore.sql_reader import texts
from eventstore.validate import check_name, validate

Ordering = Literal["concurrent", "strict"]

STORE_KEYS = """SELECT 'main.workflow_events'::regclass::oid::bigint, 'main.workflow_positions'::regclass::oid::bigint,
    (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
    current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on',
    current_setting('default_transaction_isolation') = 'read committed'"""
LAST_VALUE = "CASE WHEN is_called THEN last_value ELSE 0 END"
ENTER_BESIDE_OTHERS = f"""SELECT set_config('lock_timeout', $1, true), {SET_DURABILITY},
    pg_advisory_xact_lock_shared($3::bigint::int, 0),
    pg_advisory_xact_lock_shared($4::bigint::int, ({LAST_VALUE})::bit(32)::int) FROM main.workflow_positions"""
"""Keeps out who wants to be alone, and shows the floor: the last position that was given out before ours."""
NEXT_POSITION = f"SELECT {LAST_VALUE} + 1 FROM main.workflow_positions"
LAST_GIVEN_OUT = f"SELECT {LAST_VALUE}, pg_is_in_recovery() FROM main.workflow_positions"
FLOORS = """SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND database = $1::bigint::oid
    AND classid = $2::bigint::oid AND objsubid = 2 AND granted"""
END_BELOW = """SELECT position FROM main.workflow_events
    WHERE position <= $1 AND position - commit_place + commit_size - 1 <= $1 ORDER BY position DESC LIMIT 1"""
"""The last event at or before a position whose whole commit is."""

_SCHEMA_NAME = re.compile("[a-z_][a-z0-9_]{0,40}")
_HEADS_REMEMBERED = 10_000
_RETRY_SECONDS = 20.0
_PAUSE_SECONDS = 0.2


class PostgresLog(SqlLog):
    """A log in a schema of a Postgres database (15 or newer).

    `ordering` says how the writers of different processes and connections get along; both are safe for readers, and
    stores may be used in both ways at once. `"concurrent"`: nobody waits for anybody; an event shows in `read_all` once
    no append is under way that began before it, so one that stays open holds readers back. `"strict"`: one append after
    the other, the threads of a process sharing their transactions; an event shows as soon as it is there.

    `durability`: `"full"` loses nothing that was acknowledged; `"batched"` and `"none"` lose up to three times the
    server's `wal_writer_delay` when the server crashes. What is left is always a prefix of what was appended.
    """

    dialect: ClassVar[str] = "postgres"
    next_position: ClassVar[str] = NEXT_POSITION
    database: PostgresDatabase

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "public",
        ordering: Ordering = "concurrent",
        durability: Durability = "full",
        hook: Hook | None = None,
        inline: InlineHook | None = None,
        clock: Callable[[], datetime] = now,
        create: bool = True,
        prepare: bool = True,
        notify: bool = True,
        connections: int = 16,
    ) -> None:
        """Connect, and create schema and tables if they are not there, one process at a time.

        Without `prepare` no statement is prepared on the server, for poolers that cannot carry that over. Without
        `notify` nobody is told of commits or listens for them, and who waits looks often. At most `connections` are
        open at once, and one more once somebody has waited. Raises `Unavailable` if the server is not to be reached or
        refuses, `InvalidInput` for an impossible argument, `UnsupportedStore` if a newer program made the tables.
        """
        if durability not in ("full", "batched", "none"):
            raise InvalidInput(f"unknown durability {durability!r}", "Use 'full', 'batched' or 'none'.")
        if ordering not in ("concurrent", "strict"):
            raise InvalidInput(f"unknown ordering {ordering!r}", "Use 'concurrent' or 'strict'.")
        if _SCHEMA_NAME.fullmatch(schema) is None:
            hint = "Use up to 41 lower-case letters, digits and underscores, no digit first."
            raise InvalidInput(f"{schema!r} is no name for a schema", hint)
        database = PostgresDatabase(dsn, schema, durable=durability == "full", prepare=prepare, connections=connections)
        super().__init__(database, database.name, hook=hook, inline=inline, clock=clock)
        self.ordering, self.durability = ordering, durability
        self._heads: dict[str, Head] = {}
        self._head, self._seeing = 0, threading.Lock()
        self._wakeup = Wakeup(database, notify=notify)
        database.open(self._prepare_schema, create=create)

    def _prepare_schema(self, session: PostgresSession) -> int:
        migrate(session, "log", package_files("eventstore.schema").joinpath("postgres"))
        ((self._events_key, gate, self._database_key, safe, plain),) = session.rows(STORE_KEYS)
        if not safe:
            logger.warning(
                "the server of %s runs without fsync or full_page_writes: a crash can lose events", self.name
            )
        gate, floor = _signed(gate), _signed(self._events_key)
        enter = Statement(ENTER_BESIDE_OTHERS, (*self.database.surroundings, gate, floor))
        # What a pipeline holds is one transaction, of the default kind.
        self._before = (enter,) if plain else (Statement(BEGIN), enter)
        self._after = () if plain else (Statement(COMMIT),)
        return gate

    def head(self) -> int:
        self._check_open()
        end = self.database.found(self._find_end)
        # What was settled once stays so, though an append that was slow to show its floor may show a lower one, and
        # though what stood last may be purged.
        with self._seeing:
            self._head = max(self._head, end)
            return self._head

    def _find_end(self, session: PostgresSession) -> int:
        ((last, follows),), floors = session.ask(
            [Statement(LAST_GIVEN_OUT), Statement(FLOORS, (self._database_key, self._events_key))]
        )
        if follows:
            hint = "Give the address of the primary: a standby does not know what is under way there."
            raise Unavailable(f"the store in {self.name}: a standby cannot tell where the log ends", hint)
        ((end,),) = session.rows(END_BELOW, (_settled(last, floors),)) or [(0,)]
        return int(end)

    def append(self, commit: Sequence[Append], *, checkpoint: Checkpoint | None = None) -> Appended:
        validate(commit, checkpoint)
        self._check_open()
        give_up = time.monotonic() + _RETRY_SECONDS
        failure: Unavailable | None = None
        while True:
            try:
                return self._append_once(commit, checkpoint, certainly=isinstance(failure, OutcomeUnknown))
            except Unavailable as error:
                if not isinstance(failure, OutcomeUnknown):  # no later error tells what became of that attempt
                    failure = error
                lost = isinstance(error, OutcomeUnknown | ConnectionLost)
                if not lost or time.monotonic() > give_up:
                    raise failure from failure.__cause__
            time.sleep(_PAUSE_SECONDS)  # a server that restarts is back when it is back: nothing tells

    def _append_once(self, commit: Sequence[Append], checkpoint: Checkpoint | None, *, certainly: bool) -> Appended:
        """Append beside others if that may be; otherwise, and to be certain of what became of it before, with all
        other writers locked out: also a lost transaction, if it still runs.
        """
        if self.ordering == "concurrent" and self.hook is None and checkpoint is None and not certainly:
            appended = self._append_beside_others(commit)
            if appended is not None:
                return appended
        return super().append(commit, checkpoint=checkpoint)

    def append_within(
        self, connection: psycopg.Connection[Any], commit: Sequence[Append], *, checkpoint: Checkpoint | None = None
    ) -> Appended:
        """Append a commit in the caller's own transaction on this database: it is there when the caller commits,
        together with whatever else that transaction did, and not at all if it rolls back.

        The transaction must be READ COMMITTED. All other writers wait until it ends, so keep what follows short. Hooks
        other than inline ones are not told. The connection keeps no trace of it.
        """
        validate(commit, checkpoint)
        self._check_open()
        with self.database.within(connection) as session:
            return self._append_in(session, commit, checkpoint)

    def _append_beside_others(self, commit: Sequence[Append]) -> Appended | None:
        """Append without keeping anybody else out, on the heads that are remembered, then on fresh ones. None if that
        cannot be: what is only checked must not change meanwhile, and some conflicts take more than two attempts.
        """
        if not commit or not all(entry.events for entry in commit):
            return None
        with contextlib.suppress(Conflict):
            return self._try(commit)
        with self.database.reading() as session:
            lookup = self._lookup(session, [commit])
            decided = lookup.admit(commit, None, self._clock())
        if decided.repeated:
            return decided
        self._heads |= {entry.stream: lookup.head(entry.stream) for entry in commit}
        with contextlib.suppress(Retry, WrongExpectedVersion):
            return self._try(commit)
        return None

    def _try(self, commit: Sequence[Append]) -> Appended:
        """One round trip. Raises `Retry` or `WrongExpectedVersion` if what is remembered is not so any more."""
        before = self._remembered(commit)
        decided = admit(
            commit,
            before.__getitem__,
            lambda _: None,
            checkpoint=None,
            checkpoint_of=lambda _: None,
            first_position=0,
            recorded_at=self._clock(),
        )
        statements, projected = self._project(decided.events)
        try:
            with self.database.connection(committing=True) as connection:
                insert = Statement(*insertion(decided.events, before, projected=projected))
                views = (Statement(text, row) for text, rows in statements for row in rows)
                answers = self.database.session(connection).ask([*self._before, insert, *views, *self._after])
                ((first,),) = answers[len(self._before)]
        except BaseException:
            self._forget(before)
            raise
        events = positioned(decided.events, first)
        self._remember(events)
        self._tell(events)
        return msgspec.structs.replace(decided, events=events)

    def _remembered(self, commit: Sequence[Append]) -> dict[str, Head]:
        """The heads of the commit's streams, as far as they are known here, or read if they are not."""
        heads = {entry.stream: self._heads.get(entry.stream) for entry in commit}
        heads |= {entry.stream: heads[entry.stream] or Head() for entry in commit if entry.expected == 0}
        unknown = [stream for stream, head in heads.items() if head is None]
        if unknown:
            found = {
                stream: Head(version, hash.hex())
                for stream, version, hash in self.database.rows(HEADS, (texts(unknown),))
            }
            heads |= {stream: found.get(stream, Head()) for stream in unknown}
        return {stream: head or Head() for stream, head in heads.items()}

    def _remember(self, events: Sequence[RecordedEvent]) -> None:
        if len(self._heads) >= _HEADS_REMEMBERED:
            self._heads.clear()
        self._heads |= {event.stream: Head(event.version, event.hash) for event in events}

    def _forget(self, streams: Iterable[str]) -> None:
        for stream in streams:
            self._heads.pop(stream, None)

    def wait(self, after: int, timeout: float | None = None) -> bool:
        return self._wakeup.wait(self.head, after, timeout)

    def hold(self, name: str) -> Hold:
        check_name(name)
        self._check_open()
        return hold_name(self.database, self._events_key, name)

    def holder(self, name: str) -> str | None:
        check_name(name)
        self._check_open()
        return name_holder(self.database, self._events_key, name)

    def _tell(self, events: Sequence[RecordedEvent]) -> None:
        if events:
            self._wakeup.committed()
        super()._tell(events)

    def _release(self) -> None:
        self._wakeup.close()
        super()._release()

    def _forget_removed(self) -> None:
        """The server's vacuum sees to that."""

    def _insert(
        self, session: Session, commit: Sequence[RecordedEvent], statements: Sequence[Batch], *, projected: bool
    ) -> None:
        text, arguments = insertion(commit, {}, projected=projected)
        session.run([Batch(text, [arguments]), *statements])


def _settled(last: int, floors: Iterable[Sequence[int]]) -> int:
    """The smallest of these. A floor shows its lowest 32 bits, is never 2^31 behind, and may be of a later append."""
    behind = ((last - floor) % 2**32 for (floor,) in floors)
    return last - max((distance for distance in behind if distance < 2**31), default=0)


def _signed(key: int) -> int:
    """An object's number as the signed number that lock functions take."""
    return key - 2**32 if key >= 2**31 else key
