"""The hash chain: each event's hash covers its stream's previous hash and everything its writer said.

The position and the time of recording are left out, so the chain is the same after a copy to another backend.
Any later change to an event, and any event removed from the middle of a stream, breaks the chain from there on.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec

from eventstore.log import NewEvent, RecordedEvent

GENESIS = ""
"""The previous hash of a stream's first event."""


def timestamp(time: datetime) -> str:
    """RFC 3339 in UTC with six digits of microseconds: sorts as text, and has one form for each time."""
    utc = time.astimezone(UTC)
    if type(utc) is not datetime or not utc.microsecond:  # what msgspec refuses, or writes without a fraction
        return utc.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return msgspec.json.encode(utc)[1:-1].decode()  # 0.8 µs less than isoformat, for up to three texts an event


def event_hash(previous: str, stream: str, version: int, event: NewEvent | RecordedEvent) -> str:
    """SHA-256, in hex, over the length-prefixed fields: previous hash, stream, version, id, type, schema, time,
    content type, meta (as compact JSON in the writer's key order) and data.
    """
    digest = hashlib.sha256()
    for field in (
        previous.encode(),
        stream.encode(),
        b"%d" % version,
        event.id.bytes,
        event.type.encode(),
        b"%d" % event.schema,
        timestamp(event.time).encode(),
        event.content_type.encode(),
        msgspec.json.encode(event.meta),
        event.data,
    ):
        digest.update(len(field).to_bytes(8, "big"))
        digest.update(field)
    return digest.hexdigest()
