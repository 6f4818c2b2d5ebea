"""One commit as one line of a segment file; see docs/FORMAT.md.

A line is a JSON object that ends in a newline and starts with a checksum over the rest of itself. Commits are numbered
from 1 without holes. `synced` is the number of the last commit that was known to be durable when this line was
written: it lets recovery tell an unfinished write, whose neighbours were in the same flight, from damage to something
that had been safe already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import orjson

from eventstore.log import JSON, Checkpoint, RecordedEvent
from eventstore.values import deeper_than

_OPENING = b'{"sum":"'
_SUM_END = len(_OPENING) + 16
_WHITESPACE = b" \t\r\n"
_NEWLINE = 0x0A  # a number is found in a sixth of the time of a text
# Decoding a line recurses with its nesting, on whatever stack the caller has left; base64 nests not at all.
_MAX_EMBEDDED_DEPTH = 64


# As with recorded events, the garbage collector need not look at these.
class EventLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An event inside a line. Its position follows from the line's first position and its place in the line."""

    stream: str
    version: int
    id: UUID
    type: str
    time: datetime
    hash: str
    schema: int = 1
    content_type: str = JSON
    meta: dict[str, str] = {}
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data64: bytes | msgspec.UnsetType = msgspec.UNSET


class CheckpointLine(msgspec.Struct, frozen=True):
    """A consumer's checkpoint that moved with this commit."""

    name: str
    position: int


class CommitLine(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A commit. A purged event leaves None in its place, so that the positions of the others do not move."""

    commit: int
    position: int
    synced: int
    recorded_at: datetime
    events: tuple[EventLine | None, ...] = ()
    checkpoint: CheckpointLine | None = None

    @property
    def next_position(self) -> int:
        """The first position after this commit."""
        return self.position + len(self.events)

    def recorded(self) -> list[RecordedEvent]:
        """The events that are still there."""
        commit, recorded_at = self.position, self.recorded_at
        return [
            RecordedEvent(
                position=position,
                commit=commit,
                stream=event.stream,
                version=event.version,
                id=event.id,
                type=event.type,
                schema=event.schema,
                time=event.time,
                recorded_at=recorded_at,
                data=_data64(event) if event.data is msgspec.UNSET else bytes(event.data),
                meta=event.meta,
                content_type=event.content_type,
                hash=event.hash,
            )
            for position, event in enumerate(self.events, commit)
            if event is not None
        ]

    def without(self, stream: str, before: int) -> CommitLine:
        """The line without a stream's events below a position; itself if it has none."""
        kept = tuple(
            None if event is None or (event.stream == stream and self.position + place < before) else event
            for place, event in enumerate(self.events)
        )
        return self if kept == self.events else msgspec.structs.replace(self, events=kept)


class DamagedLine(ValueError):
    """These bytes are not a line this program wrote."""


_DECODER = msgspec.json.Decoder(CommitLine)


def encode_line(line: CommitLine) -> bytes:
    """The line's bytes, checksum and newline included."""
    body = b"," + msgspec.json.encode(line)[1:]
    return b"".join((_OPENING, _checksum(body), b'"', body, b"\n"))


def decode_line(data: bytes) -> CommitLine:
    """The line these bytes (newline included) hold. Raises `DamagedLine` if a single bit is wrong."""
    body = data[_SUM_END + 1 : -1]
    if not data.startswith(_OPENING) or data[_SUM_END : _SUM_END + 1] != b'"' or data[-1:] != b"\n":
        raise DamagedLine("not a commit")
    if data[len(_OPENING) : _SUM_END] != _checksum(body):
        raise DamagedLine("the checksum does not match")
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedLine(f"a valid checksum over an invalid commit: {error}") from None
    except RecursionError:
        if deeper_than(data, 2 * _MAX_EMBEDDED_DEPTH):
            raise DamagedLine("a valid checksum over a commit nested too deep") from None
        raise


def checksum_of(data: bytes) -> str:
    """The checksum a line carries."""
    return data[len(_OPENING) : _SUM_END].decode()


def event_line(event: RecordedEvent) -> EventLine:
    """The event as it stands in a line: JSON as it is, anything else as base64."""
    plain = event.content_type == JSON and _embeds(event.data)
    return EventLine(
        stream=event.stream,
        version=event.version,
        id=event.id,
        type=event.type,
        time=event.time,
        hash=event.hash,
        schema=event.schema,
        content_type=JSON if event.content_type == JSON else event.content_type,  # left out only if it is that object
        meta=event.meta,
        data=msgspec.Raw(event.data) if plain else msgspec.UNSET,
        data64=msgspec.UNSET if plain else event.data,
    )


def commit_line(
    events: Sequence[RecordedEvent],
    *,
    commit: int,
    position: int,
    synced: int,
    recorded_at: datetime,
    checkpoint: Checkpoint | None,
) -> CommitLine:
    """The line for these events."""
    moved = None if checkpoint is None else CheckpointLine(checkpoint.name, checkpoint.position)
    return CommitLine(commit, position, synced, recorded_at, tuple(map(event_line, events)), moved)


def _data64(event: EventLine) -> bytes:
    return b"" if event.data64 is msgspec.UNSET else event.data64


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode()


def _embeds(data: bytes) -> bool:
    """Whether these bytes come back unchanged when they stand inside a line as JSON."""
    if not data or data.strip(_WHITESPACE) != data or _NEWLINE in data:
        return False
    if deeper_than(data, _MAX_EMBEDDED_DEPTH):
        return False
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True
