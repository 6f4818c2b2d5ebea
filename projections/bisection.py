"""Finds the event since which something is true of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from eventstore.codec import Codec
from eventstore.log import RecordedEvent
from projections.fold import Fold
from projections.project import project

Predicate = Callable[[Fold], object]
"""What is asked of the views as they were after an event. It must not change them, nor keep them: rows can be kept."""


def first_by_halving(events: Sequence[RecordedEvent], codec: Codec, predicate: Predicate) -> RecordedEvent | None:
    """The first event after which the predicate holds, if it holds after all later ones, too; None if it does not hold
    after the last one. Asks about log2 as often as there are events, and folds each of them twice or so.
    """
    if not predicate(Fold.of(events, codec)):
        return None
    before, low, high = Fold(), 0, len(events)
    while high - low > 1:
        middle = (low + high) // 2
        there = _copied(before)
        _extend(there, events[low:middle], codec)
        if predicate(there):
            high = middle
        else:
            before, low = there, middle
    return events[high - 1]


def first_by_scanning(events: Iterable[RecordedEvent], codec: Codec, predicate: Predicate) -> RecordedEvent | None:
    """The very first event after which the predicate holds, whatever comes later; None if there is none."""
    fold = Fold()
    for event in events:
        _extend(fold, (event,), codec)
        if predicate(fold):
            return event
    return None


def _extend(fold: Fold, events: Iterable[RecordedEvent], codec: Codec) -> None:
    for recorded in events:
        for patch in project(codec.decode(recorded), recorded):
            fold.apply(patch)


def _copied(fold: Fold) -> Fold:
    copy = Fold()
    copy.tables = {table: {key: dict(row) for key, row in rows.items()} for table, rows in fold.tables.items()}
    return copy
