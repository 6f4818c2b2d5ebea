"""The record a purge leaves behind: an event of the log's own, in a stream of its own."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from eventstore.log import NewEvent, Purged, RecordedEvent

STREAM_PURGED = "streamPurged"


def purge_event(purged: Purged, meta: Mapping[str, str] | None = None) -> NewEvent:
    """The event that says what was removed and, in its meta, by whom and why."""
    return NewEvent(type=STREAM_PURGED, data=msgspec.json.encode(purged), meta=dict(meta or {}))


def purge_of(event: RecordedEvent) -> Purged:
    """What the record says was removed."""
    return msgspec.json.decode(event.data, type=Purged)
