"""Which blobs an event refers to."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from eventstore.failure import Failure
from eventstore.payload import Value


def blob_digests(part: object) -> Iterator[str]:
    """The digests of all blobs an event refers to: values stand in its fields, or in a failure's."""
    if isinstance(part, Value):
        if isinstance(part.json, msgspec.UnsetType):
            yield part.digest
    elif isinstance(part, msgspec.Struct):
        for value in (getattr(part, name) for name in part.__struct_fields__):
            if isinstance(value, Value | Failure):
                yield from blob_digests(value)
