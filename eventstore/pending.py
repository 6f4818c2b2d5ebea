"""The log as it will be once the commits admitted so far in one write are in it: what the next one is decided on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from eventstore.admit import Head, admit, readmit
from eventstore.index import Index
from eventstore.line import CommitLine, commit_line
from eventstore.log import Append, Appended, Checkpoint, RecordedEvent


class Pending:
    """The index, with the lines that are about to be written on top of it."""

    def __init__(
        self, index: Index, commit_in_log: Callable[[UUID], Sequence[RecordedEvent] | None], synced: int
    ) -> None:
        self._index, self._commit_in_log, self._synced = index, commit_in_log, synced
        self._heads: dict[str, Head] = {}
        self._commits: dict[int, Sequence[RecordedEvent]] = {}
        self._checkpoints: dict[str, int] = {}
        self.lines: list[CommitLine] = []

    @property
    def next_position(self) -> int:
        """The position of the next event."""
        return self.lines[-1].next_position if self.lines else self._index.last.next_position

    def head(self, stream: str) -> Head:
        return self._heads.get(stream) or self._index.head(stream)

    def commit_of(self, id: UUID) -> Sequence[RecordedEvent] | None:
        return self._commits.get(id.int) or self._commit_in_log(id)

    def checkpoint(self, name: str) -> int | None:
        known = self._checkpoints.get(name)
        return self._index.checkpoint(name) if known is None else known

    def admit(self, commit: Sequence[Append], checkpoint: Checkpoint | None, recorded_at: datetime) -> Appended:
        """Decide a commit, and put it on top if there is anything to write."""
        result = admit(
            commit,
            self.head,
            self.commit_of,
            checkpoint=checkpoint,
            checkpoint_of=self.checkpoint,
            first_position=self.next_position,
            recorded_at=recorded_at,
        )
        if not result.repeated and (result.events or checkpoint):
            self.add(result.events, checkpoint, recorded_at)
        return result

    def readmit(
        self, commits: Sequence[Sequence[RecordedEvent]], checkpoint: Checkpoint | None, now: datetime
    ) -> list[RecordedEvent]:
        """Decide commits of another log, put the new ones on top, and return their events.

        Nothing else can be decided afterwards: purges among them are not followed before they are in the index.
        """
        new = readmit(
            commits,
            self.head,
            self.commit_of,
            checkpoint=checkpoint,
            checkpoint_of=self.checkpoint,
            first_position=self.next_position,
        )
        for commit in new:
            self.add(commit, checkpoint if commit is new[-1] else None, commit[0].recorded_at)
        if checkpoint is not None and not new:
            self.add((), checkpoint, now)
        return [event for commit in new for event in commit]

    def add(self, events: Sequence[RecordedEvent], checkpoint: Checkpoint | None, recorded_at: datetime) -> None:
        """Put a commit on top."""
        line = commit_line(
            events,
            commit=self._index.last.commit + len(self.lines) + 1,
            position=self.next_position,
            synced=self._synced,
            recorded_at=recorded_at,
            checkpoint=checkpoint,
        )
        self.lines.append(line)
        for event in {event.stream: event for event in events}.values():
            self._heads[event.stream] = Head(event.version, event.hash)
        self._commits |= dict.fromkeys([event.id.int for event in events], events)
        if checkpoint is not None:
            self._checkpoints[checkpoint.name] = checkpoint.position
