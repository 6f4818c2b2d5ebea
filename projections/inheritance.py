"""What a fork has of its origin: the origin's events up to the point of the fork, read wherever they are needed.

They are taken as events of the fork, before its own first one. Their versions go down from 0: the last one is 0, the
one before it -1, and on through the origin's own origin, if it is a fork itself. So the fork's own events keep the
versions of their stream, and whatever has a version below 1 is inherited.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import msgspec

from eventstore.codec import Codec
from eventstore.errors import InvalidInput, LogCorrupt
from eventstore.events import RunForked
from eventstore.log import RecordedEvent
from eventstore.validate import check_name
from projections.rows import Run


class ReadStream(Protocol):
    """How to read a stream: see `Log.read`."""

    def __call__(self, stream: str, *, after: int = 0, until: int | None = None) -> Iterator[RecordedEvent]:
        """The stream's events with after < version ≤ until."""


class OriginMissing(LogCorrupt):
    """A fork refers to events that are not there, or not as they were: somebody has removed its origin."""

    code = "origin-missing"

    def __init__(self, run_id: str, origin: str) -> None:
        super().__init__(run_id, 0, 0, f"it was forked from {origin!r}, which is not there as it was then")
        self.args = (run_id, origin)
        self.run_id, self.origin = run_id, origin

    def __str__(self) -> str:
        return f"run {self.run_id!r} cannot be told: {self.reason}"

    @property
    def hint(self) -> str:
        return f"Bring {self.origin!r} back, from a backup or an export, and run `eventstore rebuild`."


class Stretch(msgspec.Struct, frozen=True):
    """The first events of a stream, up to a version."""

    stream: str
    until: int


def begins_fork(event: RecordedEvent) -> bool:
    """Whether this is the first event of a fork."""
    return event.type == "runForked" and event.version == 1


def stretches(first: RecordedEvent, codec: Codec, read: ReadStream) -> list[Stretch]:
    """What a run inherits, eldest first, if this is its first event; nothing if it is no fork.

    Raises `OriginMissing`. Since each fork names a hash of its origin, no run inherits from itself.
    """
    found: list[Stretch] = []
    event: RecordedEvent | None = first
    while event is not None and begins_fork(event):
        forked = codec.decode(event)
        if not isinstance(forked, RunForked):
            break  # another program's idea of a fork
        if not _is_there(forked, read):
            raise OriginMissing(first.stream, forked.origin)
        found.append(Stretch(forked.origin, forked.version))
        event = next(read(forked.origin, until=1), None)
    return found[::-1]


def _is_there(forked: RunForked, read: ReadStream) -> bool:
    try:
        check_name(forked.origin)
    except InvalidInput:
        return False
    last = next(read(forked.origin, after=forked.version - 1, until=forked.version), None) if forked.version else None
    return last is not None and last.hash == forked.hash


def inherited(first: RecordedEvent, codec: Codec, read: ReadStream) -> Iterator[RecordedEvent]:
    """The events that a run inherits, as its own, if this is its first one. Raises `OriginMissing` before the first."""
    parts = stretches(first, codec, read)
    version = -sum(part.until for part in parts)
    for part in parts:
        for event in read(part.stream, until=part.until):
            version += 1
            yield msgspec.structs.replace(event, stream=first.stream, version=version)


def with_inherited(events: Iterable[RecordedEvent], codec: Codec, read: ReadStream) -> Iterator[RecordedEvent]:
    """The events, each fork's behind what it inherits: nothing, if its origin is missing. Its row says so then."""
    for event in events:
        if begins_fork(event):
            with contextlib.suppress(OriginMissing):
                yield from inherited(event, codec, read)
        yield event


def origins(run: Run, known: Mapping[str, Run]) -> list[Run]:
    """The run's origin, that one's origin, and so on, among the runs that are known. Raises `OriginMissing` if one is
    missing, or was when the run's rows were made.
    """
    found: list[Run] = []
    rest = dict(known)
    fork = run
    while fork.forked_from is not None:
        origin = rest.pop(fork.forked_from, None)
        if origin is None:
            raise OriginMissing(run.id, fork.forked_from)
        found.append(origin)
        fork = origin
    if found and not run.inherits:
        raise OriginMissing(run.id, found[-1].id)
    return found
