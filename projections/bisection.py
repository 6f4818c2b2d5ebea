"""Finds the event since which something is true of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from eventstore.codec import Codec
from eventstore.log import RecordedEvent
from projections.fold import Fold
from projections.snapshot import Replay

Predicate = Callable[[Fold], object]
"""What is asked of the views as they were after an event. It must not change them, nor keep them: rows can be kept."""


def first_by_halving(last: int, at: Callable[[int, Replay], Replay], predicate: Predicate) -> int | None:
    """The version since which the predicate holds, if it holds at all later ones, too; None if it does not hold at the
    last one. Asks about log2 as often as there are versions.

    `at` gives the run at a version. It can go on from the run as it was before that, which stays as it is.
    """
    before = Replay()
    if not predicate(at(last, before).fold):
        return None
    low, high = 0, last
    while high - low > 1:
        middle = (low + high) // 2
        there = at(middle, before)
        if predicate(there.fold):
            high = middle
        else:
            before, low = there, middle
    return high


def first_by_scanning(events: Iterable[RecordedEvent], codec: Codec, predicate: Predicate) -> RecordedEvent | None:
    """The very first event after which the predicate holds, whatever comes later; None if there is none."""
    fold = Fold()
    for event in events:
        fold.take(event, codec)
        if predicate(fold):
            return event
    return None
