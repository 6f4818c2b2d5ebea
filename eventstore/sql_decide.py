"""What a decision needs to know, looked up in a few statements however large the commit is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from eventstore.admit import Head, admit
from eventstore.log import Append, Appended, Checkpoint, RecordedEvent
from eventstore.session import Session, Statement
from eventstore.sql_events import COLUMNS, event_of
from eventstore.sql_reader import Rows, texts

HEADS = """SELECT e.run_id, e.sequence, e.hash FROM main.json_each($1) AS streams
    JOIN main.workflow_events AS e ON e.run_id = streams.value AND e.sequence =
        (SELECT max(sequence) FROM main.workflow_events WHERE run_id = streams.value)"""
LARGEST_ID = "SELECT event_id FROM main.workflow_events ORDER BY event_id DESC LIMIT 1"
COMMIT_OF_ID = """SELECT position - commit_place, position - commit_place + commit_size FROM main.workflow_events
    WHERE event_id = $1"""
COMMIT = f"SELECT {COLUMNS} FROM main.workflow_events WHERE position >= $1 AND position < $2 ORDER BY position"
CHECKPOINT = "SELECT position FROM main.checkpoints WHERE name = $1"


class Lookup:
    """The heads of these streams and the commits that these ids are in, as a session sees them, and as what is decided
    on them changes them.
    """

    def __init__(
        self, session: Session, store: str, next_position: str, streams: Collection[str], ids: Collection[UUID]
    ) -> None:
        """`next_position` is the statement that says where the next event will stand, if nobody else appends."""
        self._session, self._store = session, store
        heads, largest, ((self.next_position,),) = session.ask(
            [Statement(HEADS, (texts(streams),)), Statement(LARGEST_ID), Statement(next_position)]
        )
        self._heads = {stream: Head(version, hash.hex()) for stream, version, hash in heads}
        # Fresh UUIDv7 ids are larger than all old ones, and cost no query.
        old = [id for id in ids if largest and id.bytes <= largest[0][0]]
        places = session.ask([Statement(COMMIT_OF_ID, (id.bytes,)) for id in old])
        self._places = {id: rows[0] for id, rows in zip(old, places, strict=True) if rows}
        self._new: dict[UUID, Sequence[RecordedEvent]] = {}

    def admit(self, commit: Sequence[Append], checkpoint: Checkpoint | None, recorded_at: datetime) -> Appended:
        """See `eventstore.admit.admit`."""
        return admit(
            commit,
            self.head,
            self.commit_of,
            checkpoint=checkpoint,
            checkpoint_of=self.checkpoint,
            first_position=self.next_position,
            recorded_at=recorded_at,
        )

    def take(self, commit: Sequence[RecordedEvent]) -> None:
        """A commit has been written."""
        self._heads |= {event.stream: Head(event.version, event.hash) for event in commit}
        self._new |= {event.id: commit for event in commit}
        self.next_position = commit[-1].position + 1

    def head(self, stream: str) -> Head:
        return self._heads.get(stream) or Head()

    def commit_of(self, id: UUID) -> Sequence[RecordedEvent] | None:
        place = self._places.get(id)
        if place is None:
            return self._new.get(id)
        return [event_of(row, self._store) for row in self._session.rows(COMMIT, place)]

    def checkpoint(self, name: str) -> int | None:
        return checkpoint_of(self._session.rows, name)


def checkpoint_of(rows: Rows, name: str) -> int | None:
    """The stored checkpoint, or None."""
    return next((position for (position,) in rows(CHECKPOINT, (name,))), None)
