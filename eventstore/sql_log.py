"""What the SQLite and the Postgres log share: everything but how a row comes into the table, and where the log ends.

The table of events is all there is: a stream's head is its last row, and nothing is kept twice. Views that are updated
*inline* come along in the append's own transaction: their statements are asked of `inline`.
"""

from __future__ import annotations

import contextlib
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar, Protocol

import msgspec

from eventstore.admit import check_expected, readmit
from eventstore.errors import Closed, Conflict, LogCorrupt
from eventstore.group import GroupCommit, Ticket
from eventstore.hold import Hold
from eventstore.hooks import tell
from eventstore.log import ANY, PURGES, Append, Appended, Checkpoint, Expect, Hook, Purged, RecordedEvent, now
from eventstore.purges import purge_event, purge_of
from eventstore.session import Argument, Batch, Database, Session, Statement
from eventstore.sql_decide import Lookup, checkpoint_of
from eventstore.sql_reader import HEAD, LAST, all_events, stream_events
from eventstore.validate import check_bounds, check_name, validate, validate_purge, validate_recorded

CHECKPOINTS = "SELECT name, position FROM main.checkpoints ORDER BY name"
SET_CHECKPOINT = """INSERT INTO main.checkpoints VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET position = excluded.position"""
ALLOW_PURGE = "INSERT INTO main.purging VALUES ($1)"
PURGE = "DELETE FROM main.workflow_events WHERE run_id = $1"
END_PURGE = "DELETE FROM main.purging WHERE run_id = $1"

logger = logging.getLogger("eventstore")


class InlineHook(Protocol):
    """Views that change in the append's own transaction."""

    def statements(self, events: Sequence[RecordedEvent]) -> Sequence[Batch] | None:
        """What to run for the events of a commit. Where the database gives positions, as Postgres does, they are not
        known here: a statement can look them up in `main.workflow_events`, where the events are by then.

        None, if the views make up for this commit later, and an error, which fails no append: the events are stored,
        marked as not projected.
        """


class Request(msgspec.Struct, frozen=True):
    """A commit that a thread wants to have appended."""

    commit: Sequence[Append]
    checkpoint: Checkpoint | None


class SqlLog(ABC):
    """A log in a database, for any number of threads and processes.

    `hook` is told of what this object commits, after it is durable; `inline` has a part in the commit itself.
    """

    dialect: ClassVar[str]
    next_position: ClassVar[str]

    def __init__(
        self,
        database: Database,
        name: str,
        *,
        hook: Hook | None = None,
        inline: InlineHook | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self.database, self.name, self.hook, self.inline, self._clock = database, name, hook, inline, clock
        self._group: GroupCommit[Request, Appended] = GroupCommit(self._serve)
        self._purging = 0
        self._closed = False
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @abstractmethod
    def head(self) -> int:
        """See `Log.head`."""

    @abstractmethod
    def _insert(
        self, session: Session, commit: Sequence[RecordedEvent], statements: Sequence[Batch], *, projected: bool
    ) -> None:
        """Insert the events of one commit, then run the statements."""

    def append(self, commit: Sequence[Append], *, checkpoint: Checkpoint | None = None) -> Appended:
        validate(commit, checkpoint)
        self._check_open()
        return self._group.submit(Request(commit, checkpoint))

    def _serve(self, batch: list[Ticket[Request, Appended]]) -> None:
        """Append the commits of all waiting threads in one transaction."""
        self._check_open()
        with self.database.writing() as session:
            lookup = self._lookup(session, [ticket.request.commit for ticket in batch])
            for ticket in batch:
                try:
                    ticket.result = self._append(session, lookup, ticket.request.commit, ticket.request.checkpoint)
                except (Conflict, LogCorrupt) as error:
                    ticket.error = error
        results = [ticket.result for ticket in batch if ticket.result is not None]
        self._tell([event for result in results if not result.repeated for event in result.events])

    def _append(
        self, session: Session, lookup: Lookup, commit: Sequence[Append], checkpoint: Checkpoint | None
    ) -> Appended:
        """Decide, and write what there is to write."""
        decided = lookup.admit(commit, checkpoint, self._clock())
        if decided.repeated:
            return decided
        if checkpoint is not None:
            session.run([Batch(SET_CHECKPOINT, [(checkpoint.name, checkpoint.position)])])
        if decided.events:
            self._write(session, decided.events)
            lookup.take(decided.events)
        return decided

    def _lookup(self, session: Session, commits: Sequence[Sequence[Append]]) -> Lookup:
        """What these commits ask for."""
        entries = [entry for commit in commits for entry in commit]
        streams, ids = {e.stream for e in entries}, [event.id for e in entries for event in e.events]
        return Lookup(session, self.name, self.next_position, streams, ids)

    def _append_in(self, session: Session, commit: Sequence[Append], checkpoint: Checkpoint | None) -> Appended:
        """Append in the caller's transaction."""
        return self._append(session, self._lookup(session, [commit]), commit, checkpoint)

    def _write(self, session: Session, commit: Sequence[RecordedEvent]) -> None:
        statements, projected = self._project(commit)
        self._insert(session, commit, statements, projected=projected)

    def _project(self, commit: Sequence[RecordedEvent]) -> tuple[Sequence[Batch], bool]:
        """What the views do in this commit, and whether they do anything."""
        if self.inline is None:
            return (), False
        try:
            statements = self.inline.statements(commit)
        except Exception:
            logger.warning("the events are safe, but the views could not follow", exc_info=True)
            statements = None
        return statements or (), statements is not None

    def _tell(self, events: Sequence[RecordedEvent]) -> None:
        if events:
            tell(self.hook, events)

    def read(
        self,
        stream: str,
        *,
        after: int = 0,
        until: int | None = None,
        backward: bool = False,
        limit: int | None = None,
    ) -> Iterator[RecordedEvent]:
        check_name(stream)
        check_bounds(after, until, limit, backward=backward)
        self._check_open()
        return islice(stream_events(self._rows, self.name, stream, after, until, backward, limit), limit)

    def read_all(
        self,
        *,
        after: int = 0,
        until: int | None = None,
        backward: bool = False,
        types: Collection[str] | None = None,
        streams: Collection[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[RecordedEvent]:
        check_bounds(after, until, limit, types, streams, backward=backward)
        head = self.head()
        last = head if until is None else min(until, head)
        bounds = max(after, 0), last
        found = all_events(self._rows, self.name, *bounds, backward=backward, types=types, streams=streams, limit=limit)
        return islice(found, limit)

    def read_in(
        self, session: Session, stream: str | None = None, *, after: int = 0, until: int | None = None
    ) -> Iterator[RecordedEvent]:
        """The events this session sees: of the whole log after a position, or of one stream after a version; up to
        another one, if it is given.
        """
        if stream is None:
            return all_events(session.rows, self.name, after, LAST if until is None else until)
        return stream_events(session.rows, self.name, stream, after, until, False, None)

    def _rows(self, text: str, arguments: Sequence[Argument] = ()) -> Sequence[Sequence[Any]]:
        self._check_open()
        return self.database.rows(text, arguments)

    def version(self, stream: str) -> int:
        return int(next(iter(self.database.rows(*self.head_question(stream))), (0,))[0])

    def head_question(self, stream: str) -> Statement:
        """What to ask for a stream's version, in a row that begins with it, and none if there is no such stream: for
        those who ask more at once. Raises what `version` does.
        """
        check_name(stream)
        self._check_open()
        return Statement(HEAD, (stream,))

    def checkpoint(self, name: str) -> int | None:
        check_name(name, "checkpoint name")
        self._check_open()
        return checkpoint_of(self.database.rows, name)

    def checkpoints(self) -> dict[str, int]:
        self._check_open()
        return dict(self.database.rows(CHECKPOINTS))

    @abstractmethod
    def wait(self, after: int, timeout: float | None = None) -> bool:
        """See `Log.wait`."""

    @abstractmethod
    def hold(self, name: str) -> Hold:
        """See `Log.hold`."""

    @abstractmethod
    def holder(self, name: str) -> str | None:
        """See `Log.holder`."""

    def purge(self, stream: str, *, expected: int | Expect = ANY, meta: Mapping[str, str] | None = None) -> Purged:
        validate_purge(stream, expected, meta)
        with self._turn():
            with self.database.writing() as session:
                version, position, hash = next(iter(session.rows(HEAD, (stream,))), (0, 0, b""))
                check_expected(iter([(stream, expected, version)]))
                if version == 0:
                    return Purged(stream, 0)
                self._remove(session, stream)
                purged = Purged(stream, version, version, position, hash.hex())
                events = self._append_in(session, [Append(PURGES, [purge_event(purged, meta)])], None).events
            if not self._purging:
                self._forget_removed()
            self._tell(events)
        return purged

    @contextlib.contextmanager
    def purging(self) -> Iterator[None]:
        with self._turn():
            self._purging += 1
        try:
            yield
        finally:
            with self._turn():
                self._purging -= 1
                self._forget_removed()

    def _remove(self, session: Session, stream: str) -> None:
        session.run([Batch(text, [(stream,)]) for text in (ALLOW_PURGE, PURGE, END_PURGE)])

    @abstractmethod
    def _forget_removed(self) -> None:
        """A purge is durable: see that nothing of what it removed stays elsewhere."""

    def restore(self, commits: Sequence[Sequence[RecordedEvent]], *, checkpoint: Checkpoint | None = None) -> int:
        validate_recorded(commits, checkpoint)
        with self._turn():
            with self.database.writing() as session:
                restored = self._restore(session, commits, checkpoint)
            if any(event.stream == PURGES for event in restored):
                self._forget_removed()
            self._tell(restored)
        return len(restored)

    def _restore(
        self, session: Session, commits: Sequence[Sequence[RecordedEvent]], checkpoint: Checkpoint | None
    ) -> list[RecordedEvent]:
        events = [event for commit in commits for event in commit]
        streams = {event.stream for event in events} | {purged.stream for purged in _purges(events)}
        lookup = Lookup(session, self.name, self.next_position, streams, [event.id for event in events])
        new = readmit(
            commits,
            lookup.head,
            lookup.commit_of,
            checkpoint=checkpoint,
            checkpoint_of=lookup.checkpoint,
            first_position=lookup.next_position,
        )
        for commit in new:
            for purged in _purges(commit):
                self._remove(session, purged.stream)
            self._write(session, commit)
        if checkpoint is not None:
            session.run([Batch(SET_CHECKPOINT, [(checkpoint.name, checkpoint.position)])])
        return [event for commit in new for event in commit]

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Keep the other threads waiting, until whoever is to be told of what is done has been told."""
        self._check_open()
        with self._group.turn():
            yield

    def close(self) -> None:
        if self._closed or self._process != os.getpid():
            return
        with self._group.turn():
            self._closed = True
            self._release()

    def _release(self) -> None:
        self.database.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"the log in {self.name}")
        if self._process != os.getpid():
            raise Closed(f"the log in {self.name}", "its connections belong to the process this one was forked from")


def _purges(events: Sequence[RecordedEvent]) -> Iterator[Purged]:
    return (purge_of(event) for event in events if event.stream == PURGES)
