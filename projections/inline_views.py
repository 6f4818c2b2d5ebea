"""Views in the database of the log itself, which changes them in the transaction of each append.

So they are never behind, and nobody has to wait for them. But events may have been appended without them: by a program
that knows only the log, or because one could not be projected. The log marks those, and who reads next makes up for
them first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib.resources import files as package_files
from itertools import chain, islice
from typing import Protocol

from eventstore.codec import Codec
from eventstore.errors import LogCorrupt
from eventstore.log import PURGES, RecordedEvent
from eventstore.purges import purge_of
from eventstore.schema import migrate
from eventstore.session import Batch, Database, Session, Statement
from projections import tables
from projections.inheritance import begins_fork, with_inherited
from projections.project import project, removal
from projections.rows import BY_TABLE, Patch
from projections.snapshot import Snapshot, keep, outlines
from projections.tables import Columns
from projections.views import WithEvents, check_questions

# For max() Postgres looks at the end of an index. Asked for any such event, it reads the whole table where most were
# appended without the views: 50 ms for 300,000, with each query.
UNPROJECTED = """SELECT 1 WHERE (SELECT max(position) FROM main.workflow_events WHERE projected = 0)
    > (SELECT COALESCE(max(position), 0) FROM main.caught_up)"""
CURRENT = f"NOT EXISTS ({UNPROJECTED})"
# The note that a run was forked means nothing to that run's rows, however many there are of them.
UNPROJECTED_STREAMS = """SELECT run_id, min(sequence) FROM main.workflow_events
    WHERE projected = 0 AND position > (SELECT COALESCE(max(position), 0) FROM main.caught_up)
    AND event_type <> 'runForkCreated' GROUP BY run_id"""
IS_THERE = """SELECT 1 FROM main.workflow_events
    WHERE run_id = $1 AND sequence = $2 AND position = $3 AND hash = $4"""
NEXT_POSITION = "SELECT min(position) FROM main.workflow_events WHERE position > $1"
SET_CAUGHT_UP = """INSERT INTO main.caught_up
    VALUES (1, (SELECT COALESCE(max(position), 0) FROM main.workflow_events))
    ON CONFLICT (one) DO UPDATE SET position = excluded.position"""


class InlineLog(Protocol):
    """What these views need of a log."""

    @property
    def database(self) -> Database:
        """Where its events are, and the views are to be."""

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgres`."""

    def head_question(self, stream: str) -> Statement:
        """What to ask for a stream's version, in a row that begins with it, and none if there is no such stream."""

    def read_in(
        self, session: Session, stream: str | None = None, *, after: int = 0, until: int | None = None
    ) -> Iterator[RecordedEvent]:
        """The events this session sees: of the whole log after a position, or of one stream after a version; up to
        another one, if it is given.
        """


class InlineViews:
    """Keeps the views, and answers queries on them. It is the log's `InlineHook`. Its errors are the database's."""

    def __init__(self, log: InlineLog, codec: Codec) -> None:
        """Make the tables, if they are not there or not of this version, from what the log holds."""
        self._log, self._database, self._codec = log, log.database, codec
        self._arrays = self._unplaced = log.dialect == "postgres"
        with self._database.writing() as session:
            if migrate(session, "views", package_files("projections").joinpath("schema", log.dialect)):
                self._rebuild(session, None)

    def statements(self, events: Sequence[RecordedEvent]) -> Sequence[Batch] | None:
        """What to run for the events of a commit, which on Postgres have no positions yet. Reads nothing. None for a
        fork: whoever reads next makes its rows, in bunches, from the events of its origin.
        """
        if any(map(begins_fork, events)):
            return None
        patches = chain.from_iterable(map(self._patches, events))
        return tables.statements(patches, unplaced=self._unplaced, arrays=self._arrays)

    def _patches(self, event: RecordedEvent) -> Iterator[Patch]:
        return project(self._codec.decode(event), event)

    def ask(self, *queries: Statement) -> list[list[Columns]]:
        """The rows of each query, all from one state, in which everything appended so far shows. One round trip."""
        check_questions(queries)
        questions = [Statement(UNPROJECTED), *queries]
        while True:
            # One query may see more than the question before it: what has been appended since is not owed.
            late, *answers = self._database.answers(questions, together=len(queries) > 1)
            if not late:
                return answers
            self.catch_up()

    def ask_at(self, stream: str, *queries: Statement) -> tuple[int, list[list[Columns]]]:
        """See `Views.ask_at`."""
        head, *answers = self.ask(self._log.head_question(stream), *queries)
        return int(head[0][0] or 0) if head else 0, answers

    def ask_if_current(self, query: Statement) -> list[Columns]:
        """The rows of one query if everything appended so far shows in the tables; otherwise none."""
        check_questions((query,))
        return self._database.rows(query.text.replace("$current", CURRENT), query.arguments)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[Session]:
        """A session whose queries all see one and the same state, in which everything appended so far shows."""
        while True:
            with self._database.reading() as session:
                if not session.rows(UNPROJECTED):
                    yield session
                    return
            self.catch_up()

    @contextlib.contextmanager
    def with_events(self) -> Iterator[WithEvents]:
        """The rows, snapshots and events of one and the same state; an error is in the place of each damaged one."""
        with self.at_once() as session:
            yield tables.all_contents(session), list(outlines(session)), self._events(session)

    def _events(self, session: Session) -> Iterator[RecordedEvent | LogCorrupt]:
        after = 0
        while True:
            try:
                for event in self._log.read_in(session, after=after):
                    after = event.position
                    yield event
            except LogCorrupt as error:
                yield error
                ((following,),) = session.rows(NEXT_POSITION, (after,))
                if following is None or following <= after:  # the rows are out of order
                    return
                after = following
            else:
                return

    def keep(self, snapshot: Snapshot) -> None:
        """Keep a snapshot beside the tables, unless the log no longer has the event that it was taken after."""
        event = (snapshot.run_id, snapshot.version, snapshot.position, bytes.fromhex(snapshot.hash))
        with self._database.aside() as session:
            if session.rows(IS_THERE, event):
                keep(session, snapshot)

    def catch_up(self) -> None:
        """Make up for the events that were appended without the views, if there are any.

        Each stream with such an event is made again whole: later ones of its events may have been taken already.
        """
        with self._database.writing() as session:
            first = dict(session.rows(UNPROJECTED_STREAMS))
            purged = set()
            if PURGES in first:
                purges = self._log.read_in(session, stream=PURGES, after=first.pop(PURGES) - 1)
                purged = {purge_of(event).stream for event in purges}
            for stream in sorted(first.keys() | purged):
                tables.apply(session, removal(stream))
                self._take(session, self._log.read_in(session, stream=stream))
            session.rows(SET_CAUGHT_UP)

    def write_folders(self) -> None:
        """Nothing: there are none, and reading brings the tables up to date."""

    def rebuild(self, progress: Callable[[int], None] | None = None) -> None:
        """Make all tables again from the whole log, while nobody appends. Readers see the old ones until all are done.

        `progress` is told how many events were taken since it was last told.
        """
        with self._database.writing() as session:
            self._rebuild(session, progress)

    def _rebuild(self, session: Session, progress: Callable[[int], None] | None) -> None:
        tables.clear(session)
        self._take(session, self._log.read_in(session), progress)
        session.rows(SET_CAUGHT_UP)

    def _take(
        self, session: Session, events: Iterable[RecordedEvent], progress: Callable[[int], None] | None = None
    ) -> None:
        events = with_inherited(events, self._codec, partial(self._log.read_in, session))
        while batch := list(islice(events, tables.EVENTS_AT_ONCE)):
            tables.apply(session, chain.from_iterable(map(self._patches, batch)), arrays=self._arrays)
            if progress is not None:
                progress(sum(event.version > 0 for event in batch))

    def reclaim(self) -> None:
        """Give the space of events, blobs and rows that are gone back, as far as that goes."""
        self._database.reclaim("workflow_events", "blobs", *BY_TABLE, "snapshots")

    def close(self) -> None:
        """Nothing: the database is the log's."""
