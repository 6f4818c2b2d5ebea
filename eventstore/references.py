"""Which blobs an event refers to."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from eventstore.codec import UnknownEvent
from eventstore.failure import Failure
from eventstore.log import RecordedEvent
from eventstore.payload import Value

_DIGEST = re.compile(r"[0-9a-f]{64}")


def references(event: msgspec.Struct, recorded: RecordedEvent) -> Iterator[str]:
    """The digests of all blobs that an event may refer to, whichever program reads it.

    In an event of a user's own type, which not every program knows, whatever looks like a digest counts as one: rather
    keep a blob that nothing needs.
    """
    if isinstance(event, UnknownEvent) or "." in recorded.type:
        yield from _DIGEST.findall(recorded.data.decode(errors="replace"))
    else:
        yield from filter(_DIGEST.fullmatch, blob_digests(event))


def blob_digests(part: object) -> Iterator[str]:
    """The digests of all blobs an event refers to: values stand in its fields, or in a failure's."""
    if isinstance(part, Value):
        if isinstance(part.json, msgspec.UnsetType):
            yield part.digest
    elif isinstance(part, msgspec.Struct):
        for value in msgspec.structs.astuple(part):  # not a generator for each small value: 0.6 µs less an event
            if isinstance(value, Failure) or (isinstance(value, Value) and isinstance(value.json, msgspec.UnsetType)):
                yield from blob_digests(value)
