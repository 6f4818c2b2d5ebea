"""Seals a log, and holds a log against a seal. Changes nothing.

A log goes by once, event by event; only the streams' heads are kept. A stream that has a record of its purge since the
seal was made is explained by that, if the record fits what was sealed. Which records are newer is told by the version
that the seal has for the stream of those records, and not by positions, which are others in a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Literal

import msgspec

from eventstore.chain import GENESIS, event_hash, timestamp
from eventstore.errors import RowCorrupt
from eventstore.log import PURGES, Log, Purged, RecordedEvent, now
from eventstore.purges import STREAM_PURGED, purge_of
from eventstore.seal import Seal, StreamHead, make_seal

Kind = Literal["missing", "truncated", "rewritten", "purged"]
Progress = Callable[[int], None]


class Difference(msgspec.Struct, frozen=True):
    """A sealed stream that is not what it was: gone, shorter, another one, or purged, which is allowed and recorded."""

    kind: Kind
    stream: str
    message: str


def seal_log(
    log: Log, *, previous: Seal | None = None, made_at: datetime | None = None, progress: Progress = lambda _: None
) -> Seal:
    """A seal of all that the log holds now, to be signed; it names the seal before it, if that is given.

    What others append meanwhile is left to the next seal, and what they purge meanwhile is in none. `progress` is told
    of numbers of events. Raises `LogCorrupt` if a stream is not what its hashes say: a seal would hide that.
    """
    position, chains = log.head(), _Chains()
    for event in log.read_all(until=position):
        chains.take(event)
        progress(1)
    for record in log.read(PURGES, after=chains.head(PURGES).version):
        chains.forget_purged(record)
    for stream, reason in chains.broken.items():
        raise RowCorrupt("the log", f"stream {stream!r}", reason)
    return make_seal(chains.heads.values(), position=position, made_at=made_at or now(), previous=previous)


def compare_with_seal(
    log: Log, seal: Seal, *, quick: bool = False, progress: Progress = lambda _: None
) -> Iterator[Difference]:
    """What of the sealed streams is not what it was, in the order of their names. To have grown is no difference.

    Each stream's chain is computed again up to the version that was sealed. If `quick`, only the event of that version
    is looked at: what was changed below it, under its old hashes, is then left to verification. `progress` is told of
    numbers of events; of streams if `quick`. Raises `LogCorrupt` for an event that cannot be read.
    """
    chains = _ends_of(log, seal, progress) if quick else _chains_of(log, seal, progress)
    purges = _purges_since(log, seal)
    for head in seal.heads:
        found = chains.head(head.stream)
        if head.stream in purges:
            yield _purge_difference(head, *purges[head.stream])
        elif found.version == 0:
            yield Difference("missing", head.stream, f"it is gone; {head.version:,} events of it were sealed")
        elif found.version < head.version:
            message = f"it ends with version {found.version}, and was sealed at version {head.version}"
            yield Difference("truncated", head.stream, message)
        elif head.stream in chains.broken:
            yield Difference("rewritten", head.stream, chains.broken[head.stream])
        elif found.hash != head.hash:
            message = f"version {head.version} is not the event that was sealed, or another one comes before it"
            yield Difference("rewritten", head.stream, message)


class _Chains:
    """How far each stream has come, as events go by in order, and which of them do not follow what was before."""

    def __init__(self) -> None:
        self.heads: dict[str, StreamHead] = {}
        self.broken: dict[str, str] = {}

    def head(self, stream: str) -> StreamHead:
        return self.heads.get(stream) or StreamHead(stream, 0, GENESIS)

    def take(self, event: RecordedEvent) -> None:
        before = self.head(event.stream)
        if event.version != before.version + 1:
            reason = f"version {event.version} follows version {before.version}"
            self.broken.setdefault(event.stream, reason)
        elif event_hash(before.hash, event.stream, event.version, event) != event.hash:
            reason = f"version {event.version}, or the one before it, was changed after it was written"
            self.broken.setdefault(event.stream, reason)
        self.heads[event.stream] = StreamHead(event.stream, event.version, event.hash)
        self.forget_purged(event)

    def forget_purged(self, event: RecordedEvent) -> None:
        """Forget what a purge has removed, or is still removing."""
        purged = _purge_in(event)
        if purged is not None:
            self.heads.pop(purged.stream, None)
            self.broken.pop(purged.stream, None)


def _chains_of(log: Log, seal: Seal, progress: Progress) -> _Chains:
    """The sealed streams as they are now, up to the versions that were sealed."""
    sealed, chains = {head.stream: head.version for head in seal.heads}, _Chains()
    waiting = set(sealed)
    for event in log.read_all() if waiting else ():
        version = sealed.get(event.stream, 0)
        if event.version <= version:
            chains.take(event)
        progress(1)
        if event.version == version:
            waiting.discard(event.stream)
            if not waiting:
                break
    return chains


def _ends_of(log: Log, seal: Seal, progress: Progress) -> _Chains:
    """The sealed streams at the versions that were sealed, or where they end now."""
    chains = _Chains()
    for head in seal.heads:
        event = next(log.read(head.stream, after=head.version - 1, until=head.version), None)
        version, hash = (log.version(head.stream), "") if event is None else (event.version, event.hash)
        chains.heads[head.stream] = StreamHead(head.stream, version, hash)
        progress(1)
    return chains


def _purges_since(log: Log, seal: Seal) -> dict[str, tuple[Purged, RecordedEvent]]:
    """The first purge of each stream since the seal was made, with its record: the later ones are of other events."""
    sealed = next((head.version for head in seal.heads if head.stream == PURGES), 0)
    purges: dict[str, tuple[Purged, RecordedEvent]] = {}
    for record in log.read(PURGES, after=sealed):
        purged = _purge_in(record)
        if purged is not None:
            purges.setdefault(purged.stream, (purged, record))
    return purges


def _purge_in(event: RecordedEvent) -> Purged | None:
    """What this event says was removed. A record that cannot be read explains nothing."""
    if event.stream != PURGES or event.type != STREAM_PURGED:
        return None
    try:
        return purge_of(event)
    except msgspec.DecodeError:
        return None


def _purge_difference(head: StreamHead, purged: Purged, record: RecordedEvent) -> Difference:
    if purged.last_version < head.version:
        message = f"it was purged when it ended with version {purged.last_version}, and was sealed at {head.version}"
        return Difference("truncated", head.stream, message)
    if purged.last_version == head.version and purged.last_hash != head.hash:
        return Difference("rewritten", head.stream, f"it was purged at version {head.version} with other contents")
    noted = f"version {record.version} of stream {PURGES!r}"
    return Difference("purged", head.stream, f"it was purged at {timestamp(record.recorded_at)}, as {noted} says")
