"""Decides what a commit comes to, as a pure function every backend shares.

A backend supplies three look-ups, made while nobody else can append: a stream's head, the commit an event id is in,
and a consumer's checkpoint. `admit` decides on new events, and `readmit` on events that another log has recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from eventstore.chain import GENESIS, event_hash
from eventstore.errors import CheckpointConflict, Conflict, DuplicateEventId, WrongExpectedVersion
from eventstore.log import ANY, EXISTS, PURGES, Append, Appended, Checkpoint, Expect, NewEvent, RecordedEvent
from eventstore.purges import purge_of


class Head(msgspec.Struct, frozen=True):
    """Where a stream stands: its version and its last event's hash."""

    version: int = 0
    hash: str = GENESIS


FindHead = Callable[[str], Head]
FindCommit = Callable[[UUID], Sequence[RecordedEvent] | None]
FindCheckpoint = Callable[[str], int | None]


def admit(
    commit: Sequence[Append],
    head: FindHead,
    commit_of: FindCommit,
    *,
    checkpoint: Checkpoint | None,
    checkpoint_of: FindCheckpoint,
    first_position: int,
    recorded_at: datetime,
) -> Appended:
    """What this commit comes to: its events as they are to be recorded, or the result it had the first time.

    Raises `WrongExpectedVersion` with all violations, `DuplicateEventId` or `CheckpointConflict`.
    """
    earlier = _earlier(commit, commit_of)
    if earlier is not None:
        versions = {entry.stream: head(entry.stream).version for entry in commit}
        return Appended(tuple(earlier), versions | {e.stream: e.version for e in earlier}, repeated=True)
    heads = {entry.stream: head(entry.stream) for entry in commit}
    check_expected((entry.stream, entry.expected, heads[entry.stream].version) for entry in commit)
    if checkpoint is not None:
        _check_checkpoint(checkpoint, checkpoint_of(checkpoint.name))
    events: list[RecordedEvent] = []
    for entry in commit:
        stream, before = _plain(entry.stream), heads[entry.stream]
        version, digest = before.version, before.hash
        for position, event in enumerate(entry.events, first_position + len(events)):
            version += 1
            digest = event_hash(digest, stream, version, event)
            events.append(
                RecordedEvent(
                    position=position,
                    commit=first_position,
                    stream=stream,
                    version=version,
                    id=event.id,
                    type=_plain(event.type),
                    schema=event.schema,
                    time=event.time if event.time.tzinfo is UTC else event.time.astimezone(UTC),
                    recorded_at=recorded_at,
                    data=event.data,
                    meta={_plain(key): _plain(value) for key, value in event.meta.items()} if event.meta else {},
                    content_type=_plain(event.content_type),
                    hash=digest,
                )
            )
        heads[entry.stream] = Head(version, digest)
    return Appended(tuple(events), {stream: head.version for stream, head in heads.items()})


def _plain(text: str) -> str:
    """The text; of a member of an enumeration its value, for which a database could take its name."""
    return text if type(text) is str else str.__str__(text)


def readmit(
    commits: Sequence[Sequence[RecordedEvent]],
    head: FindHead,
    commit_of: FindCommit,
    *,
    checkpoint: Checkpoint | None,
    checkpoint_of: FindCheckpoint,
    first_position: int,
) -> list[tuple[RecordedEvent, ...]]:
    """The commits that are new here, as they are to be recorded. The look-ups tell of the log before all of them.

    Whoever writes them removes, for each record of a purge among them, its stream's events at lower positions.
    Raises `Conflict`, `DuplicateEventId` or `CheckpointConflict`.
    """
    if checkpoint is not None:
        _check_checkpoint(checkpoint, checkpoint_of(checkpoint.name))
    growing = _Growing(head, commit_of)
    new: list[tuple[RecordedEvent, ...]] = []
    for commit in commits:
        if not growing.holds(commit):
            new.append(growing.take(commit, first_position))
            first_position += len(commit)
    return new


class _Growing:
    """The log as it will be once the commits restored so far are in it."""

    def __init__(self, head: FindHead, commit_of: FindCommit) -> None:
        self._head, self._commit_of = head, commit_of
        self._heads: dict[str, Head] = {}
        self._commits: dict[UUID, Sequence[RecordedEvent]] = {}
        self._purged: dict[str, int] = {}

    def holds(self, commit: Sequence[RecordedEvent]) -> bool:
        """Whether all of this commit is here already. Raises `DuplicateEventId` if only part of it, or others, are."""
        here = self._here(commit)
        if not here:
            return False
        first = next(iter(here.values()))
        for event in commit:
            known = here.get(event.id)
            if known is None or known != msgspec.structs.replace(event, position=known.position, commit=first.commit):
                raise DuplicateEventId(str((known or first).id), (known or first).position)
        return True

    def _here(self, commit: Sequence[RecordedEvent]) -> dict[UUID, RecordedEvent]:
        """The commit's ids that are here, with what is here under them."""
        known: dict[UUID, RecordedEvent] = {}
        for event in commit:
            if event.id not in known:
                found = self._commits.get(event.id) or self._commit_of(event.id) or ()
                known |= {each.id: each for each in found if each.position >= self._purged.get(each.stream, 0)}
        return {event.id: known[event.id] for event in commit if event.id in known}

    def take(self, commit: Sequence[RecordedEvent], position: int) -> tuple[RecordedEvent, ...]:
        """Put a commit on top, and return it as it is to be recorded. Raises `Conflict` if it does not fit there."""
        taken = []
        for place, event in enumerate(commit):
            before = self._heads.get(event.stream) or self._head(event.stream)
            _check_continues(event, before)
            self._heads[event.stream] = Head(event.version, event.hash)
            taken.append(
                msgspec.structs.replace(
                    event,
                    position=position + place,
                    commit=position,
                    time=event.time.astimezone(UTC),
                    recorded_at=event.recorded_at.astimezone(UTC),
                    meta=dict(event.meta),
                )
            )
            if event.stream == PURGES:
                gone = purge_of(event).stream
                self._heads[gone], self._purged[gone] = Head(), position
        self._commits |= {event.id: taken for event in taken}
        return tuple(taken)


def _check_continues(event: RecordedEvent, before: Head) -> None:
    what = f"version {event.version} of stream {event.stream!r}"
    if event.version != before.version + 1:
        hint = "A stream is restored from its first event on, in order, and only where nobody else appends to it."
        raise Conflict(f"{what} does not continue it here, where it is at version {before.version}", hint)
    if event_hash(before.hash, event.stream, event.version, event) != event.hash:
        hint = "The stream has other events here, or this one was changed: run `eventstore verify` on both stores."
        raise Conflict(f"the hash of {what} does not continue its chain here", hint)


def check_expected(beliefs: Iterator[tuple[str, int | Expect, int]]) -> None:
    """Raise `WrongExpectedVersion` with every (stream, expected, actual) in which the belief is wrong."""
    wrong = []
    for stream, expected, actual in beliefs:
        holds = actual > 0 if expected is EXISTS else expected is ANY or expected == actual
        if not holds:
            wrong.append((stream, expected.value if isinstance(expected, Expect) else expected, actual))
    if wrong:
        raise WrongExpectedVersion(*wrong)


def _check_checkpoint(checkpoint: Checkpoint, current: int | None) -> None:
    if not isinstance(checkpoint.previous, Expect) and checkpoint.previous != current:
        raise CheckpointConflict(checkpoint.name, checkpoint.previous, current)


def _earlier(commit: Sequence[Append], commit_of: FindCommit) -> Sequence[RecordedEvent] | None:
    """The identical commit that is in the log already, if there is one."""
    known: Sequence[RecordedEvent] | None = None
    for entry in commit:
        for event in entry.events:
            known = commit_of(event.id)
            if known is not None:
                break
        if known is not None:
            break
    if known is None:
        return None
    wanted = [(entry.stream, event) for entry in commit for event in entry.events]
    if len(wanted) != len(known) or not all(map(_same, wanted, known)):
        position, repeated = next((k.position, k.id) for k in known if k.id == event.id)
        raise DuplicateEventId(str(repeated), position)
    return known


def _same(wanted: tuple[str, NewEvent], known: RecordedEvent) -> bool:
    """The time is left out: who rebuilds an event with its id to retry it means the same event."""
    stream, event = wanted
    return (event.id, stream, event.type, event.schema, event.content_type, event.meta, event.data) == (
        known.id,
        known.stream,
        known.type,
        known.schema,
        known.content_type,
        known.meta,
        known.data,
    )
