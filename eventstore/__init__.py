"""The write side: what happened, kept. Logs, the event vocabulary, the codec, and the errors.

Everyday programs start with `projections.open_store`, which puts a log and its views together.
"""

from __future__ import annotations

from eventstore.codec import Codec, UnknownEvent
from eventstore.consumer import Consumer
from eventstore.errors import EventStoreError
from eventstore.failure import Failure
from eventstore.follow import Follower
from eventstore.jsonl import JsonlLog
from eventstore.log import ANY, EXISTS, Append, Appended, Checkpoint, Log, NewEvent, Purged, RecordedEvent
from eventstore.memory import MemoryLog
from eventstore.sqlite import SqliteLog

__all__ = [
    "ANY",
    "EXISTS",
    "Append",
    "Appended",
    "Checkpoint",
    "Codec",
    "Consumer",
    "EventStoreError",
    "Failure",
    "Follower",
    "JsonlLog",
    "Log",
    "MemoryLog",
    "NewEvent",
    "Purged",
    "RecordedEvent",
    "SqliteLog",
    "UnknownEvent",
]
