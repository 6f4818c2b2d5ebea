"""Refuses what no log can keep, before any look-up. The limits are every backend's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from uuid import UUID

import msgspec

from eventstore.errors import InvalidInput, TooLarge
from eventstore.log import ANY, PURGES, Append, Checkpoint, Expect, NewEvent, Purged, RecordedEvent
from eventstore.purges import STREAM_PURGED, purge_event, purge_of

MAX_ID_BYTES = 1024
MAX_META_BYTES = 64 * 1024
MAX_DATA_BYTES = 16 * 1024 * 1024
MAX_COMMIT_BYTES = 64 * 1024 * 1024
MAX_NUMBER = 2**63 - 1
"""The largest integer every backend can hold."""


def validate(commit: Sequence[Append], checkpoint: Checkpoint | None = None) -> None:
    """Refuse what no log can keep, before any look-up. Raises `InvalidInput` or `TooLarge`.

    Kinds are checked too: a number or a text that only some encoders take would break a file half-way, and a commit
    that is an iterator would be empty by the time it is admitted.
    """
    check_kind(commit, Sequence, "the commit")
    believed, ids, size = set(), set(), 0
    for entry in commit:
        check_kind(entry, Append, "an entry of the commit")
        check_stream(entry.stream)
        check_kind(entry.events, Sequence, f"the part of the commit for stream {entry.stream!r}")
        if not isinstance(entry.expected, Expect):
            _check_number(entry.expected, f"the expected version of stream {entry.stream!r}")
        if entry.expected is not ANY:
            if entry.stream in believed:
                raise InvalidInput(f"two expectations for stream {entry.stream!r} in one commit", "State one.")
            believed.add(entry.stream)
        for event in entry.events:
            check_kind(event, NewEvent, "an event")
            size += _check_content(event)
            ids.add(event.id.int)  # hashes in a fifth of the time of a UUID
    if len(ids) < sum(len(entry.events) for entry in commit):
        raise InvalidInput("two events of one commit have the same id", "Give every event its own id.")
    _check_size(size)
    _validate_checkpoint(checkpoint)


def validate_purge(stream: str, expected: int | Expect, meta: Mapping[str, str] | None) -> None:
    """Refuse what no log can purge, or could not keep a record of. Raises `InvalidInput` or `TooLarge`."""
    validate([Append(stream, expected=expected)])
    if meta is not None:
        check_kind(meta, Mapping, "meta")
    _check_content(purge_event(Purged(stream, 0), meta))


def validate_recorded(commits: Sequence[Sequence[RecordedEvent]], checkpoint: Checkpoint | None = None) -> None:
    """Refuse, before any look-up, commits that no log can have recorded. Raises `InvalidInput` or `TooLarge`.

    Where they stood in the other log is not looked at.
    """
    check_kind(commits, Sequence, "what is to be restored")
    for commit in commits:
        check_kind(commit, Sequence, "a commit")
        size = 0
        for event in commit:
            check_kind(event, RecordedEvent, "an event")
            check_name(event.stream)
            size += _check_content(event)
            _check_number(event.version, "the version", event.id, least=1)
            _check_time(event.recorded_at, event.id)
            check_kind(event.hash, str, "the hash", event.id)
            if event.stream == PURGES:
                _check_purge(event, alone=len(commit) == 1)
        _check_size(size)
        if len({event.id for event in commit}) < max(len(commit), 1):
            reason = "two events of one commit have the same id" if commit else "a commit has no events"
            raise InvalidInput(reason, "Restore commits as the other log has them.")
        if len({event.recorded_at for event in commit}) > 1:
            reason = f"the commit of event {commit[0].id} was recorded at several times"
            raise InvalidInput(reason, "Make each commit of the other log one commit: its events have one `commit`.")
    _validate_checkpoint(checkpoint)


def _check_purge(event: RecordedEvent, *, alone: bool) -> None:
    try:
        purged = purge_of(event) if event.type == STREAM_PURGED and alone else None
    except msgspec.DecodeError:
        purged = None
    if purged is None:
        hint = f"Stream {PURGES!r} is the logs' own: restore it as another log has it."
        raise InvalidInput(f"event {event.id} is no record of a purge, in a commit of its own", hint)
    check_stream(purged.stream)


def _validate_checkpoint(checkpoint: Checkpoint | None) -> None:
    if checkpoint is None:
        return
    check_kind(checkpoint, Checkpoint, "the checkpoint")
    check_name(checkpoint.name, "checkpoint name")
    _check_number(checkpoint.position, "the checkpoint's position")
    if checkpoint.previous is not None and checkpoint.previous is not ANY:
        _check_number(checkpoint.previous, "the checkpoint's previous position")


def _check_size(size: int) -> None:
    if size > MAX_COMMIT_BYTES:
        reason = f"{size:,} bytes of data and meta; the limit is {MAX_COMMIT_BYTES:,}"
        raise TooLarge("commit", reason, "Append in parts.")


def check_bounds(
    after: int,
    until: int | None = None,
    limit: int | None = None,
    types: Collection[str] | None = None,
    streams: Collection[str] | None = None,
    *,
    backward: bool = False,
) -> None:
    """Refuse what no reading can begin or end at, choose by, or take for its direction. Raises `InvalidInput`."""
    check_kind(backward, bool, "backward")
    for what, number in (("after", after), ("until", until), ("limit", limit)):
        if (number is not None or what == "after") and type(number) is not int:
            raise InvalidInput(f"{what} is {type(number).__name__}, not int", "Give a whole number.")
    if limit is not None and not 0 <= limit <= MAX_NUMBER:
        raise InvalidInput(f"limit of {limit}", f"Give a number from 0 to {MAX_NUMBER}.")
    check_several(types, "event type")
    check_several(streams, "stream")


def check_several(names: Collection[str] | None, kind: str) -> None:
    """Refuse one name where several can be given, and names that no backend could keep. Raises `InvalidInput` or
    `TooLarge`.
    """
    if isinstance(names, str | bytes):
        raise InvalidInput(f"{names!r} is one {kind}, where several can be given", "Put it into a list.")
    if names is not None and not isinstance(names, Collection):
        raise InvalidInput(f"{type(names).__name__} is no collection of {kind}s", "Give a list.")
    for name in names or ():
        check_name(name, kind)


def check_stream(stream: str) -> None:
    """Refuse a stream id that no backend could keep, or that is the log's own."""
    check_name(stream)
    if stream == PURGES:
        raise InvalidInput(f"stream {PURGES!r} belongs to the log", "Use purge() to remove a stream.")


def check_name(name: str, what: str = "stream id") -> None:
    """Refuse a name that no backend could keep, and some could not even look up."""
    encoded = _encoded(name, what)
    if not encoded:
        raise InvalidInput(f"{what} is empty", "Give at least one character.")
    if len(encoded) > MAX_ID_BYTES:
        reason = f"{len(encoded):,} bytes of UTF-8; the limit is {MAX_ID_BYTES:,}"
        raise TooLarge(what, reason, "Use a shorter one, such as a digest of it.")


def _check_content(event: NewEvent | RecordedEvent) -> int:
    """Refuse an event no log can keep, and say how many bytes its data and meta come to."""
    check_name(event.type, "event type")
    check_name(event.content_type, "content type")
    if type(event.id) is not UUID:
        raise InvalidInput(f"event id {event.id!r} is not a UUID", "Use uuid5 to derive one from a key of yours.")
    if type(event.data) is not bytes:
        raise InvalidInput(f"data of event {event.id} is {type(event.data).__name__}, not bytes", "Encode it first.")
    _check_number(event.schema, "the schema version", event.id, least=1)
    _check_time(event.time, event.id)
    if len(event.data) > MAX_DATA_BYTES:
        hint = "Keep large values as blobs: commands of the store do that by themselves."
        raise TooLarge("data", f"{len(event.data):,} bytes; the limit is {MAX_DATA_BYTES:,}", hint)
    check_kind(event.meta, dict, "meta", event.id)
    size = 0
    for key, value in event.meta.items():
        size += len(_encoded(key, "meta key")) + len(_encoded(value, "meta value"))
    if size > MAX_META_BYTES:
        raise TooLarge("meta", f"{size:,} bytes; the limit is {MAX_META_BYTES:,}")
    return size + len(event.data)


def check_zone(time: datetime, what: str = "") -> None:
    """Refuse a time that could be any, for want of a zone, and one in no year of UTC. Raises `InvalidInput`, which says
    what the time is of.
    """
    if not isinstance(time, datetime):
        raise InvalidInput(f"the time {time!r}{what} is {type(time).__name__}, not datetime", "Use datetime.now(UTC).")
    if time.utcoffset() is None:
        raise InvalidInput(f"time {time}{what} has no time zone", "Use datetime.now(UTC).")
    try:
        time.astimezone(UTC)
    except OverflowError:
        hint = "Give a time that UTC has, too."
        raise InvalidInput(f"time {time}{what} is outside the years 1 to 9999 in UTC", hint) from None


def _check_time(time: datetime, id: UUID) -> None:
    if type(time) is not datetime:
        raise InvalidInput(f"time of event {id} is {type(time).__name__}, not datetime")
    if time.tzinfo is not UTC:
        check_zone(time, f" of event {id}")


def check_kind(value: object, kind: type, what: str, id: UUID | None = None) -> None:
    """Refuse what is of another kind. Raises `InvalidInput`."""
    if not isinstance(value, kind):
        reason = f"{_named(what, id)} is {type(value).__name__}, not {kind.__name__}"
        raise InvalidInput(reason, f"Give one of type {kind.__name__}.")


def _check_number(number: object, what: str, id: UUID | None = None, *, least: int = 0) -> None:
    if type(number) is not int:
        raise InvalidInput(f"{_named(what, id)} is {type(number).__name__}, not int")
    if not least <= number <= MAX_NUMBER:
        raise InvalidInput(f"{_named(what, id)} is {number}, not between {least} and {MAX_NUMBER}")


def _named(what: str, id: UUID | None) -> str:
    """What an error is about. Made only for an error: ids as text took three quarters of the time of these checks."""
    return what if id is None else f"{what} of event {id}"


def _encoded(text: str, what: str) -> bytes:
    if type(text) is not str and not (isinstance(text, str) and isinstance(text, Enum)):
        raise InvalidInput(f"{what} is {type(text).__name__}, not str", "Give ids and names as texts.")
    if "\0" in text:
        raise InvalidInput(
            f"{what} {text!r} contains a NUL character", "Not every database can keep one: leave it out."
        )
    try:
        return text.encode()
    except UnicodeEncodeError:
        reason = f"{what} {text!r} contains a lone surrogate, which UTF-8 cannot carry"
        raise InvalidInput(reason, "Decode it with errors='replace'.") from None
