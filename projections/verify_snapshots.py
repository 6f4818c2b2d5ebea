"""Holds snapshots against what the events come to, in passing, while a log is read for verification."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import chain

from eventstore.codec import Codec
from eventstore.errors import EventStoreError
from eventstore.log import RecordedEvent
from projections.findings import REBUILD, Finding
from projections.snapshot import UNREADABLE, Outline, Replay, outline


class SnapshotAudit:
    """Takes a log's events in order, and knows afterwards which snapshots are not what they come to.

    A run is folded in memory up to its last snapshot, as whoever made that had to do.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._due: dict[str, dict[int, Outline]] = {}
        self._replays: dict[str, Replay] = {}
        self._false: list[tuple[str, Finding]] = []
        self._position = 0

    def expect(self, expected: Iterable[Outline]) -> None:
        """Look for the events of these snapshots, none of which has been taken yet."""
        for each in expected:
            self._due.setdefault(each.run_id, {})[each.version] = each

    def take(self, event: RecordedEvent, inherited: Iterable[RecordedEvent] = ()) -> None:
        """Take one event, behind those that it inherits; if a snapshot was taken after it, compare."""
        self._position = max(self._position, event.position)
        due = self._due.get(event.stream)
        if not due:
            return
        if event.version == 1:  # of a run that was made anew after a purge, too
            self._replays[event.stream] = Replay()
        replay = self._replays.setdefault(event.stream, Replay())
        with contextlib.suppress(EventStoreError):  # what cannot be decoded is another finding
            replay.take(chain(inherited, (event,)), self._codec)
        expected = due.pop(event.version, None)
        if expected is not None and expected != _outline(replay):
            self._false.append(_false(expected, "it is not what the events come to"))
        if not due:
            del self._replays[event.stream]

    def differences(self) -> Iterator[tuple[str, Finding]]:
        """The false snapshots, each with its run, of those that were taken up to the last event."""
        yield from self._false
        for each in (each for due in self._due.values() for each in due.values()):
            if each.position <= self._position:
                yield _false(each, "the event it was taken after is not there")


def _outline(replay: Replay) -> Outline | None:
    try:
        return outline(replay.snapshot())
    except UNREADABLE:
        return None


def _false(about: Outline, message: str) -> tuple[str, Finding]:
    where = f"version {about.version} of run {about.run_id!r}"
    return about.run_id, Finding("warning", "snapshot-drift", where, message, REBUILD)
