"""Decides what a commit comes to, as a pure function every backend shares.

A backend supplies three look-ups, made while nobody else can append: a stream's head, the commit an event id is in,
and a consumer's checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import Enum
from uuid import UUID

import msgspec

from eventstore.chain import GENESIS, event_hash
from eventstore.errors import (
    CheckpointConflict,
    DuplicateEventId,
    InvalidInput,
    TooLarge,
    WrongExpectedVersion,
)
from eventstore.log import ANY, EXISTS, PURGES, Append, Appended, Checkpoint, Expect, NewEvent, RecordedEvent

MAX_ID_BYTES = 1024
MAX_META_BYTES = 64 * 1024
MAX_DATA_BYTES = 16 * 1024 * 1024
MAX_COMMIT_BYTES = 64 * 1024 * 1024
MAX_NUMBER = 2**63 - 1
"""The largest integer every backend can hold."""


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
        for event in entry.events:
            before = heads[entry.stream]
            version = before.version + 1
            digest = event_hash(before.hash, entry.stream, version, event)
            heads[entry.stream] = Head(version, digest)
            events.append(
                RecordedEvent(
                    position=first_position + len(events),
                    stream=entry.stream,
                    version=version,
                    id=event.id,
                    type=event.type,
                    schema=event.schema,
                    time=event.time.astimezone(UTC),
                    recorded_at=recorded_at,
                    data=event.data,
                    meta=dict(event.meta),
                    content_type=event.content_type,
                    hash=digest,
                )
            )
    return Appended(tuple(events), {stream: head.version for stream, head in heads.items()})


def check_expected(beliefs: Iterator[tuple[str, int | Expect, int]]) -> None:
    """Raise `WrongExpectedVersion` with every (stream, expected, actual) in which the belief is wrong."""
    wrong = []
    for stream, expected, actual in beliefs:
        holds = actual > 0 if expected is EXISTS else expected is ANY or expected == actual
        if not holds:
            wrong.append((stream, expected.value if isinstance(expected, Expect) else expected, actual))
    if wrong:
        raise WrongExpectedVersion(*wrong)


def validate(commit: Sequence[Append], checkpoint: Checkpoint | None = None) -> None:
    """Refuse what no log can keep, before any look-up. Raises `InvalidInput` or `TooLarge`.

    Kinds are checked too: a number or a text that only some encoders take would break a file half-way, and a commit
    that is an iterator would be empty by the time it is admitted.
    """
    _check_kind(commit, Sequence, "the commit")
    believed, ids, size = set(), set(), 0
    for entry in commit:
        _check_kind(entry, Append, "an entry of the commit")
        check_stream(entry.stream)
        _check_kind(entry.events, Sequence, f"the part of the commit for stream {entry.stream!r}")
        if not isinstance(entry.expected, Expect):
            _check_number(entry.expected, f"the expected version of stream {entry.stream!r}")
        if entry.expected is not ANY:
            if entry.stream in believed:
                raise InvalidInput(f"two expectations for stream {entry.stream!r} in one commit", "State one.")
            believed.add(entry.stream)
        for event in entry.events:
            size += _check_event(event)
            ids.add(event.id)
    if len(ids) < sum(len(entry.events) for entry in commit):
        raise InvalidInput("two events of one commit have the same id", "Give every event its own id.")
    if size > MAX_COMMIT_BYTES:
        reason = f"{size:,} bytes of data and meta; the limit is {MAX_COMMIT_BYTES:,}"
        raise TooLarge("commit", reason, "Append in parts.")
    if checkpoint is not None:
        _check_kind(checkpoint, Checkpoint, "the checkpoint")
        check_name(checkpoint.name, "checkpoint name")
        _check_number(checkpoint.position, "the checkpoint's position")
        if checkpoint.previous is not None and checkpoint.previous is not ANY:
            _check_number(checkpoint.previous, "the checkpoint's previous position")


def check_stream(stream: str) -> None:
    """Refuse a stream id that no backend could keep, or that is the log's own."""
    check_name(stream)
    if stream == PURGES:
        raise InvalidInput(f"stream {PURGES!r} belongs to the log", "Use purge() to remove a stream.")


def check_name(name: str, what: str = "stream id") -> None:
    """Refuse a name that no backend could keep, and some could not even look up."""
    encoded = _encoded(name, what)
    if not encoded:
        raise InvalidInput(f"{what} is empty")
    if len(encoded) > MAX_ID_BYTES:
        raise TooLarge(what, f"{len(encoded):,} bytes of UTF-8; the limit is {MAX_ID_BYTES:,}")


def _check_checkpoint(checkpoint: Checkpoint, current: int | None) -> None:
    if not isinstance(checkpoint.previous, Expect) and checkpoint.previous != current:
        raise CheckpointConflict(checkpoint.name, checkpoint.previous, current)


def _check_event(event: NewEvent) -> int:
    """Refuse an event no log can keep, and say how many bytes its data and meta come to."""
    _check_kind(event, NewEvent, "an event")
    check_name(event.type, "event type")
    check_name(event.content_type, "content type")
    if type(event.id) is not UUID:
        raise InvalidInput(f"event id {event.id!r} is not a UUID", "Use uuid5 to derive one from a key of yours.")
    if type(event.data) is not bytes:
        raise InvalidInput(f"data of event {event.id} is {type(event.data).__name__}, not bytes", "Encode it first.")
    _check_number(event.schema, f"the schema version of event {event.id}", least=1)
    _check_time(event.time, event.id)
    if len(event.data) > MAX_DATA_BYTES:
        hint = "Keep large values as blobs: commands of the store do that by themselves."
        raise TooLarge("data", f"{len(event.data):,} bytes; the limit is {MAX_DATA_BYTES:,}", hint)
    _check_kind(event.meta, dict, f"meta of event {event.id}")
    size = 0
    for key, value in event.meta.items():
        size += len(_encoded(key, "meta key")) + len(_encoded(value, "meta value"))
    if size > MAX_META_BYTES:
        raise TooLarge("meta", f"{size:,} bytes; the limit is {MAX_META_BYTES:,}")
    return size + len(event.data)


def _check_time(time: datetime, id: UUID) -> None:
    if type(time) is not datetime:
        raise InvalidInput(f"time of event {id} is {type(time).__name__}, not datetime")
    if time.utcoffset() is None:
        raise InvalidInput(f"time {time} of event {id} has no time zone", "Use datetime.now(UTC).")
    try:
        time.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f"time {time} of event {id} is outside the years 1 to 9999 in UTC") from None


def _check_kind(value: object, kind: type, what: str) -> None:
    if not isinstance(value, kind):
        raise InvalidInput(f"{what} is {type(value).__name__}, not {kind.__name__}")


def _check_number(number: object, what: str, least: int = 0) -> None:
    if type(number) is not int:
        raise InvalidInput(f"{what} is {type(number).__name__}, not int")
    if not least <= number <= MAX_NUMBER:
        raise InvalidInput(f"{what} is {number}, not between {least} and {MAX_NUMBER}")


def _encoded(text: str, what: str) -> bytes:
    if type(text) is not str and not (isinstance(text, str) and isinstance(text, Enum)):
        raise InvalidInput(f"{what} is {type(text).__name__}, not str")
    if "\0" in text:
        raise InvalidInput(f"{what} {text!r} contains a NUL character")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{what} {text!r} contains a lone surrogate, which UTF-8 cannot carry") from None


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
