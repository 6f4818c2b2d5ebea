"""Follows a log as it grows: all that is there, then all that comes, in one iterator.

A position is all there is to going on. So a follower that loses its connection reads on after the last event it gave
out, and one that is made anew after a crash begins at whatever position was kept: nothing is lost, nothing repeated.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Self

from eventstore.errors import Unavailable
from eventstore.log import Log, RecordedEvent
from eventstore.validate import check_bounds, check_several

PATIENCE = 60.0
"""Seconds after which a log that cannot be reached counts as gone."""

_AT_ONCE = 100_000
"""Positions that are searched before it is looked up whether anybody has closed the follower."""
_WAIT_SECONDS = 0.2
_PAUSE_SECONDS = 0.2


class Follower:
    """The events of a log after a position, in its order, those to come too. Made by `follow`.

    Iterating ends only when the follower is closed, which any thread may do. One thread at a time iterates. `caught_up`
    is set once all that was there has been given out and the next event is asked for; at once, if nothing was there.
    """

    def __init__(
        self,
        log: Log,
        *,
        after: int = 0,
        types: Collection[str] | None = None,
        streams: Collection[str] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.types, self.streams = _names(types, "event type"), _names(streams, "stream")
        check_bounds(after)
        self.caught_up = threading.Event()
        self._log, self._position, self._patience = log, after, patience
        self._found: Iterator[RecordedEvent] | None = None
        self._until = self._head = after
        self._closed = threading.Event()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "live" if self.caught_up.is_set() else "catching up"
        return f"<Follower of {self._log!r} position={self._position} {state}>"

    @property
    def position(self) -> int:
        """How far it has come: everything up to here was given out, or is not of its types and streams."""
        return self._position

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._closed.is_set()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RecordedEvent:
        event = self.next()
        if event is None:
            raise StopIteration
        return event

    def next(self, timeout: float | None = None) -> RecordedEvent | None:
        """The next event; None if the follower is closed, or if none has come within `timeout` seconds.

        With a timeout of 0, None says that there is none now. A log that cannot be reached is asked again, for as long
        as the follower has patience. Raises `Unavailable` then, `Closed` if somebody has closed the log, `LogCorrupt`.
        After any error the call can be repeated: it goes on where it was.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        give_up: float | None = None
        while not self.closed:
            try:
                begun = self._found is not None
                event = self._search()
                if event is not None or self.closed:
                    return event
                if begun:
                    continue  # something may have come since that part was begun
                while self._position >= self._head and not self.closed:
                    remaining = _WAIT_SECONDS if deadline is None else min(_WAIT_SECONDS, deadline - time.monotonic())
                    if remaining <= 0:
                        return None
                    if self._log.wait(self._position, remaining):
                        break
                    give_up = None
                give_up = None
            except Unavailable:
                give_up = give_up or time.monotonic() + self._patience
                if time.monotonic() >= give_up:
                    raise
                self._closed.wait(_PAUSE_SECONDS)
        return None

    def _search(self) -> RecordedEvent | None:
        """The next event in the part of the log that is being searched; at its end None, and the next part is next."""
        if self._found is None:
            if self._position >= self._head:
                self._head = self._log.head()
            self._until = min(self._head, self._position + _AT_ONCE)
            if self._position < self._until:
                self._found = self._log.read_all(
                    after=self._position, until=self._until, types=self.types, streams=self.streams
                )
        try:
            event = next(self._found or iter(()), None)
        except BaseException:
            self._found = None
            raise
        if event is not None:
            self._position = event.position
            return event
        self._found, self._position = None, max(self._position, self._until)
        if self._position >= self._head:
            self.caught_up.set()
        return None

    def close(self) -> None:
        """End the iteration, also one that waits in another thread, which notices soon. Repeated calls do nothing.

        The log stays open.
        """
        self._closed.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def follow(
    log: Log,
    *,
    after: int = 0,
    types: Collection[str] | None = None,
    streams: Collection[str] | None = None,
    patience: float = PATIENCE,
) -> Follower:
    """Follow the log: all its events after a position, then all that are appended, by whomever, as they come.

    0 is the beginning, `log.head()` the end. With `types` or `streams`, only events of those. What was purged before it
    was read never shows; the record of the purge does, in its stream.
    """
    return Follower(log, after=after, types=types, streams=streams, patience=patience)


def _names(names: Collection[str] | None, kind: str) -> frozenset[str] | None:
    check_several(names, kind)
    return None if names is None else frozenset(names)
