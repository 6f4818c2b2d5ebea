"""What this process has appended and its tables have not taken yet, so that they need not read it back from the log.

Only ever a shortcut: whatever is forgotten here, the tables read.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from eventstore.log import RecordedEvent

MANY_EVENTS = 2_000
MANY_BYTES = 4 * 1024 * 1024


class Told:
    """The events of commits that follow one another, up to so many and so much data. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[RecordedEvent] = []
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._events)

    def add(self, events: Sequence[RecordedEvent]) -> None:
        """Remember a commit. If others have written before it, or it is too much, all before it is forgotten."""
        size = sum(len(event.data) for event in events)
        with self._lock:
            if self._events and self._events[-1].position + 1 != events[0].position:
                self._forget()
            if len(self._events) + len(events) > MANY_EVENTS or self._bytes + size > MANY_BYTES:
                self._forget()
            if len(events) <= MANY_EVENTS and size <= MANY_BYTES:
                self._events.extend(events)
                self._bytes += size

    def take(self, after: int) -> Sequence[RecordedEvent]:
        """The events, if they are the next after this position; none otherwise. They are forgotten either way."""
        with self._lock:
            events = self._events
            self._forget()
        return events if events and events[0].position == after + 1 else ()

    def _forget(self) -> None:
        self._events, self._bytes = [], 0
