"""What must hold of a log after its writers were killed, whatever moment it was.

Acknowledged ⊆ survivors, and each writer's survivors are a prefix of what it attempted: no hole, phantom, duplicate,
split or reordering. Every stream is gapless, its hashes chain, and positions ascend.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from eventstore.chain import GENESIS, event_hash
from eventstore.log import Append, Log, NewEvent, RecordedEvent


class Attempts(msgspec.Struct, frozen=True):
    """What one writer tried to commit, one after the other, and how many of these it saw acknowledged."""

    commits: Sequence[Sequence[Append]]
    acknowledged: int


def survivors_of(log: Log, writers: Sequence[Attempts]) -> list[int]:
    """How many of each writer's commits are in the log. Fails if the log is anything but what the rules allow."""
    events = list(log.read_all())
    check_streams(log, events)
    origin = {
        event.id: (writer, number)
        for writer, attempts in enumerate(writers)
        for number, commit in enumerate(attempts.commits)
        for append in commit
        for event in append.events
    }
    phantoms = [event for event in events if event.id not in origin]
    assert not phantoms, f"nobody attempted {phantoms[0]}"
    survivors = [0] * len(writers)
    for (writer, number), group in groupby(events, key=lambda event: origin[event.id]):
        expected = survivors[writer]
        assert number == expected, f"writer {writer}: commit {number} stands where {expected} belongs"
        wanted = writers[writer].commits[number]
        assert [_of_recorded(event) for event in group] == [_of_new(a.stream, e) for a in wanted for e in a.events]
        survivors[writer] += 1
    for writer, attempts in enumerate(writers):
        assert survivors[writer] >= attempts.acknowledged, (
            f"writer {writer}: {attempts.acknowledged} commits were acknowledged, {survivors[writer]} survive"
        )
    return survivors


def check_streams(log: Log, events: Sequence[RecordedEvent]) -> None:
    """Positions ascend; every stream is gapless, chained, and reads the same by itself as in the whole."""
    positions = [event.position for event in events]
    assert positions == sorted(set(positions))
    assert log.head() == max(positions, default=0)
    streams = defaultdict[str, list[RecordedEvent]](list)
    for event in events:
        streams[event.stream].append(event)
    for stream, own in streams.items():
        assert [event.version for event in own] == list(range(1, len(own) + 1)), stream
        assert log.version(stream) == len(own)
        assert list(log.read(stream)) == own
        hash = GENESIS
        for event in own:
            hash = event_hash(hash, stream, event.version, event)
            assert event.hash == hash, f"the chain of {stream} breaks at version {event.version}"


def mentions(segment: Path, stream: str) -> bool:
    """Whether a segment still holds events of the stream; that it was purged may be told."""
    return b'"stream":"%s","version"' % stream.encode() in segment.read_bytes()


def _of_new(stream: str, event: NewEvent) -> tuple[object, ...]:
    return (stream, event.id, event.type, event.time, event.data, event.meta, event.content_type)


def _of_recorded(event: RecordedEvent) -> tuple[object, ...]:
    return (event.stream, event.id, event.type, event.time, event.data, event.meta, event.content_type)
