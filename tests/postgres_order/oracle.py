"""What must hold of a log that many have written, and of all that others saw of it meanwhile. Linear in its length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from eventstore.log import PURGES, Log, RecordedEvent
from eventstore.purges import purge_of
from tests.crash.oracle import check_streams

OWN, BRIEF = "own/", "brief/"
"""How the streams begin that one writer has for itself, and those that are purged again and again."""

Noted = tuple[int, int, str, int, bytes]
"""An event's position, commit, stream, version and id."""


class Written(NamedTuple):
    """What one writer was told: the events of each commit that was acknowledged, and how many commits were not."""

    acknowledged: list[list[Noted]]
    refused: int


class Reading(NamedTuple):
    """What one reader saw, one after the other, and which types of events it asked for."""

    seen: Sequence[Noted]
    types: Sequence[str] | None


def check(log: Log, written: Iterable[Written], readings: Iterable[Reading]) -> None:
    """Fails if anything was lost, doubled, torn, invented or seen out of order."""
    final = list(log.read_all())
    check_streams(log, final)
    commits = [commit for one in written for commit in one.acknowledged]
    for commit in commits:
        first = commit[0][0]
        places = [(position, start) for position, start, *_ in commit]
        assert places == [(first + place, first) for place in range(len(commit))], f"the commit at {first} has holes"
    acknowledged = {event[-1]: event for commit in commits for event in commit}
    assert len(acknowledged) == sum(map(len, commits)), "an event was acknowledged twice"
    _check_final(final, acknowledged)
    for reading in readings:
        _check_reading(reading, final, acknowledged)


def _check_final(final: Sequence[RecordedEvent], acknowledged: dict[bytes, Noted]) -> None:
    """All that was acknowledged is there as acknowledged, unless it was purged; and nothing else."""
    purged = dict[str, int]()
    for event in final:
        if event.stream == PURGES:
            purge = purge_of(event)
            assert purge.stream.startswith(BRIEF)
            purged[purge.stream] = max(purged.get(purge.stream, 0), purge.last_position)
    here = {event.id.bytes: event for event in final if event.stream != PURGES}
    for id, event in here.items():
        assert id in acknowledged, f"nobody was told of the event at {event.position}, but it is there"
        assert event.position > purged.get(event.stream, 0), f"the event at {event.position} was purged, but is there"
        told = acknowledged[id]
        assert told == (event.position, event.commit, event.stream, event.version, id)
    for id, (position, _, stream, _, _) in acknowledged.items():
        assert id in here or position <= purged.get(stream, 0), f"the acknowledged event at {position} is lost"


def _check_reading(reading: Reading, final: Sequence[RecordedEvent], acknowledged: dict[bytes, Noted]) -> None:
    """It ascends, and is the log as it is in the end, but for what was purged meanwhile."""
    for before, after in pairwise(reading.seen):
        assert before[0] < after[0], f"{after[0]} was seen after {before[0]}"
    wanted = {
        event.position: (event.position, event.commit, event.stream, event.version, event.id.bytes)
        for event in final
        if reading.types is None or event.type in reading.types
    }
    left = iter(wanted.values())
    for seen in reading.seen:
        if seen[0] in wanted:
            expected = next(left)
            assert seen == expected, f"{expected[0]} was skipped by a reader, who saw {seen[0]}"
        else:
            assert acknowledged.get(seen[-1]) == seen, f"a reader saw {seen}, which was never so"
    skipped = next(left, None)
    assert skipped is None, f"{skipped} was skipped by a reader"
