"""Copies a log and its blobs into another one, of whatever backend, and checks that both say the same.

A copy is a continuation: what is there already is passed over, so one that was cut off goes on, and a later one brings
it up to date. How far it has come is a checkpoint of the target, stored with the events and named after the source's
first event. It only saves time: without it, or with one that no longer fits, everything is compared from the start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import groupby, zip_longest
from operator import attrgetter
from typing import NamedTuple

import msgspec

from eventstore.blobs import Blobs
from eventstore.errors import BlobCorrupt, BlobMissing, Conflict
from eventstore.log import PURGES, Checkpoint, Log, RecordedEvent
from eventstore.purges import purge_of

BATCH_EVENTS = 1_000
BATCH_BYTES = 4 * 1024 * 1024
COPY = "copy of "
"""How the names of a copy's own checkpoints begin; the id of the source's first event follows."""

_SHOWN = 10
_FIELDS = tuple(name for name in RecordedEvent.__struct_fields__ if name not in ("position", "commit"))

Commit = list[RecordedEvent]
Progress = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]
"""Begins a part of the work: its total and its name to what is to be called with every bit of it that is done."""


class Copied(msgspec.Struct, frozen=True):
    """What a copy came to: how much both sides hold, how much of it is new, and in what they differ."""

    events: int
    new_events: int
    blobs: int
    new_blobs: int
    checkpoints: int
    differences: tuple[str, ...]


def _unseen(*_: object) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda _: None)


def copy_log(
    source: Log, source_blobs: Blobs, target: Log, target_blobs: Blobs, progress: Progress = _unseen
) -> Copied:
    """Copy all blobs and events that the target has not got, then compare everything, then copy the checkpoints.

    The target is empty or an earlier copy of the source, perhaps an unfinished one. Others may go on using the source:
    what they append meanwhile is left to the next copy. Needs no more memory for a large log than for a small one.

    Raises `Conflict` if the target holds anything else, `BlobCorrupt` if one of the source's blobs is damaged.
    """
    _check_continuation(source, target)
    new_events = new_blobs = 0
    while True:
        purges, until = source.version(PURGES), source.head()
        # An event's blobs were there before it: those that are there now are all that the events up to here need.
        new_blobs += copy_blobs(source_blobs, target_blobs, progress)
        new_events += copy_events(source, target, until, progress)
        comparison = _Comparison(source, target, until)
        with progress(until, "comparing events") as advance:
            comparison.run(advance)
        blobs, lost = _compare_blobs(source_blobs, target_blobs, progress)
        if source.version(PURGES) == purges:  # else the source has lost what was copied: the record of that follows
            break
    differences = (*comparison.differences, *lost)
    if not differences:
        _carry_over(target, comparison.checkpoints)
    return Copied(comparison.events, new_events, blobs, new_blobs, len(comparison.checkpoints), differences)


def copy_blobs(source: Blobs, target: Blobs, progress: Progress = _unseen) -> int:
    """Copy the blobs that the target has not got, and say how many. One that is removed meanwhile is needed no more."""
    there, copied = set(target.digests()), 0
    missing = [digest for digest in source.digests() if digest not in there]
    with progress(len(missing), "copying blobs") as advance:
        for digest in missing:
            with suppress(BlobMissing):
                target.put(source.get(digest))
                copied += 1
            advance(1)
    return copied


def copy_events(source: Log, target: Log, until: int, progress: Progress = _unseen) -> int:
    """Copy the events up to a position that the target has not got, and say how many. Raises `Conflict`."""
    name, after, new = _progress_name(source), _come_to(source, target), 0
    with progress(max(until - after, 0), "copying events") as advance:
        for batch in batches(commits_in(source.read_all(after=after, until=until))):
            last = batch[-1][-1].position
            new += target.restore(batch, checkpoint=Checkpoint(name, last))
            advance(last - after)
            after = last
    return new


def commits_in(events: Iterable[RecordedEvent]) -> Iterator[Commit]:
    """The commits of a part of a log."""
    return (list(commit) for _, commit in groupby(events, key=attrgetter("commit")))


def batches(commits: Iterable[Commit]) -> Iterator[list[Commit]]:
    """The commits, in bunches that are worth a sync and fit into memory."""
    batch, count, size = list[Commit](), 0, 0
    for commit in commits:
        batch.append(commit)
        count += len(commit)
        size += sum(len(event.data) for event in commit)
        if count >= BATCH_EVENTS or size >= BATCH_BYTES:
            yield batch
            batch, count, size = [], 0, 0
    if batch:
        yield batch


def _check_continuation(source: Log, target: Log) -> None:
    """Refuse a target that is not a copy of the source. What the source has purged since may still be in it.

    Where an earlier copy has noted its progress, only the last event is looked at: nobody else appends to a copy.
    """
    due = {purge_of(record).stream for record in source.read(PURGES, after=target.version(PURGES))}
    noted = _come_to(source, target) > 0
    there = source.read_all()
    for event in target.read_all(backward=noted):
        if event.stream in due:
            continue
        same = _holds(source, event) if noted else _is_same(next(there, None), event)
        if not same:
            hint = "Copy into an empty store, or into a copy of this store that nobody has appended to."
            raise Conflict(f"the target is no copy of the source: it has {_named(event)}", hint)
        if noted:
            return


def _come_to(source: Log, target: Log) -> int:
    """The source's position that an earlier copy has come to, if what it copied last is still the same."""
    position = target.checkpoint(_progress_name(source)) or 0
    last = next(source.read_all(until=position, backward=True, limit=1), None)
    return position if last is not None and position <= source.head() and _holds(target, last) else 0


def _progress_name(source: Log) -> str:
    first = next(source.read_all(limit=1), None)
    return COPY if first is None else f"{COPY}{first.id}"


def _holds(log: Log, event: RecordedEvent) -> bool:
    return _is_same(next(log.read(event.stream, after=event.version - 1, limit=1), None), event)


def _is_same(one: RecordedEvent | None, other: RecordedEvent) -> bool:
    return one is not None and not _differing(one, other)


def _differing(one: RecordedEvent, other: RecordedEvent) -> list[str]:
    """The fields in which two events differ, but for where they stand. The order of `meta` is part of the hash."""
    names = [name for name in _FIELDS if getattr(one, name) != getattr(other, name)]
    return names or (["meta"] if list(one.meta) != list(other.meta) else [])


class _Comparison:
    """Goes through both logs at once, and finds where in the target the source's checkpoints are.

    A log's own notes of what it is a copy of stay behind: they are about a third log.
    """

    def __init__(self, source: Log, target: Log, until: int) -> None:
        self._source, self._target, self._until = source, target, until
        consumers = ((p, name) for name, p in source.checkpoints().items() if not name.startswith(COPY))
        self._ahead = deque(sorted(consumers))
        self.checkpoints: dict[str, int] = {}
        self.events = 0
        self.differences: list[str] = []

    def run(self, advance: Callable[[int], None]) -> None:
        """Compare event by event, up to where the two have nothing more in common."""
        there, here = _Place(0, 0), _Place(0, 0)
        one: RecordedEvent | None
        other: RecordedEvent | None
        for one, other in zip_longest(self._source.read_all(until=self._until), self._target.read_all()):
            if one is None or other is None or one.id != other.id:
                self.differences.append(f"{_named(one)} of the source, and {_named(other)} of the target in its place")
                return
            fields = _differing(one, other)
            if (one.commit == there.commit) != (other.commit == here.commit):
                fields.append("where commits end")
            if fields:
                self.differences.append(f"event {one.id}, {_named(one)} of the source: {', '.join(fields)}")
                if len(self.differences) == _SHOWN:
                    return
            self._pass_checkpoints(one.position, here.position)
            self.events += 1
            advance(one.position - there.position)
            there, here = _Place(one.position, one.commit), _Place(other.position, other.commit)
        self._pass_checkpoints(None, here.position)

    def _pass_checkpoints(self, before: int | None, here: int) -> None:
        """Consumers that have come less far in the source than `before` have come to `here` in the target."""
        while self._ahead and (before is None or self._ahead[0][0] < before):
            self.checkpoints[self._ahead.popleft()[1]] = here


class _Place(NamedTuple):
    position: int
    commit: int


def _named(event: RecordedEvent | None) -> str:
    return "nothing" if event is None else f"version {event.version} of stream {event.stream!r}"


def _compare_blobs(source: Blobs, target: Blobs, progress: Progress) -> tuple[int, list[str]]:
    """How many blobs the source has, and what of them the target lacks, or has damaged."""
    digests, lost = list(source.digests()), list[str]()
    with progress(len(digests), "comparing blobs") as advance:
        for digest in digests:
            try:
                target.get(digest)
            except (BlobMissing, BlobCorrupt) as error:
                lost.append(f"{error} in the target")
            advance(1)
    return len(digests), lost


def _carry_over(target: Log, checkpoints: Mapping[str, int]) -> None:
    """Have the target's consumers where the source's are."""
    here = target.checkpoints()
    for name, position in checkpoints.items():
        if here.get(name) != position:
            target.append([], checkpoint=Checkpoint(name, position))
