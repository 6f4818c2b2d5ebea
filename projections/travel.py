"""Runs as they were, how they differ, and why they are what they are. Read from the log; nothing is ever appended."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import get_args

import msgspec

from eventstore.errors import EventStoreError, InvalidInput, NotFound
from eventstore.events import RunEvent
from eventstore.log import RecordedEvent
from eventstore.validate import MAX_NUMBER, check_kind, check_zone
from projections import bisection, differences, explain, timeline, tree
from projections.bisection import Predicate
from projections.commands import Actor
from projections.differences import Difference
from projections.explain import Explanation
from projections.fold import Fold
from projections.inheritance import begins_fork, inherited, with_inherited
from projections.project import project
from projections.rows import Run
from projections.snapshot import UNREADABLE, Replay, event_at, found, nearest, worth_keeping
from projections.timeline import Timeline
from projections.tree import Branch
from projections.views import Views

RUN_TYPES = frozenset(
    kind.__name__[0].lower() + kind.__name__[1:] for kind in get_args(RunEvent) if kind.__name__.startswith("Run")
)
"""The types of the events that rows of runs follow from."""


class Point(msgspec.Struct, frozen=True):
    """A run as it was at a version of its stream, at a position of the whole log, or when no later event of it had been
    recorded; the earliest of those that are given. As it is, if none is.
    """

    run_id: str
    version: int | None = None
    time: datetime | None = None
    position: int | None = None


class Travel(Actor):
    """Questions about what was. They change neither the log nor any later answer: all that one may leave behind is a
    snapshot, which makes the next one quick. A run can still be asked about when it was deleted, and cannot when it was
    purged. A fork's past goes on into that of its origin, in events whose versions are below 1; before it was made
    there was nothing. `OriginMissing` if somebody has removed the origin.
    """

    _views: Views
    _snapshot_every: int

    def as_of(
        self, run_id: str, *, version: int | None = None, time: datetime | None = None, position: int | None = None
    ) -> Fold:
        """The run's views as they were at a version of its stream, at a position of the whole log, or when no later
        event of it had been recorded.

        Folded from the log, so it works before and after a deletion. An unknown run gives empty views.
        """
        return self._replayed(Point(run_id, version, time, position)).fold

    def list_runs_as_of(
        self, *, time: datetime | None = None, position: int | None = None, include_deleted: bool = False
    ) -> list[Run]:
        """The runs there were at a position of the log, in the order they were created; or each of them as it was when
        no later event of it had been recorded. Deleted ones only if asked for, purged ones never.

        Folded from the log: up to the position, and from all of it for a time, for clocks are not the order of events.
        """
        if time is not None:
            check_zone(time)
        fold, over = Fold(), set()

        def so_far(recorded: RecordedEvent) -> bool:
            if time is not None and recorded.recorded_at > time:
                over.add(recorded.stream)
            return recorded.stream not in over

        events = self._log.read_all(until=_bounded(position), types=RUN_TYPES if time is None else None)
        for recorded in with_inherited(filter(so_far, events), self._codec, self._log.read):
            if recorded.type in RUN_TYPES:
                for patch in project(self._codec.decode(recorded), recorded):
                    if patch.table == Run.TABLE:
                        fold.apply(patch)
        runs = [run for run in fold.rows(Run) if run.position and (include_deleted or run.deleted_at is None)]
        return sorted(runs, key=lambda run: run.position)

    def diff(self, left: str | Point, right: str | Point, *, exact: bool = False) -> list[Difference]:
        """How two runs differ, or one run at two points: in the run's own row, its task runs, attempts and outputs.

        Ids do not count, nor do positions, versions and times unless `exact`. Raises `NotFound` for an unknown run; a
        run that had not been created yet is one without rows.
        """
        points = [Point(side) if isinstance(side, str) else side for side in (left, right)]
        for point in points:
            check_kind(point, Point, "what is compared")
            self._known(point.run_id)
        ours, theirs = (self._replayed(point).fold for point in points)
        return differences.differences(ours, theirs, exact=exact)

    def bisect(self, run_id: str, predicate: Predicate, *, monotone: bool = True) -> RecordedEvent | None:
        """The first event after which something is true of the run's views; None if it never is.

        What becomes true once and stays true is found in few questions. What may become false again needs `monotone` to
        be False: then each version is asked about, from the first one on. Raises `NotFound` for an unknown run.
        """
        if not callable(predicate):
            raise InvalidInput(f"the predicate is {type(predicate).__name__}", "Give a function of the run's views.")
        last = self._known(run_id)
        if not monotone:
            return bisection.first_by_scanning(self._events(Point(run_id, last)), self._codec, predicate)

        def at(version: int, before: Replay) -> Replay:
            return self._replayed(Point(run_id, version), before)

        version = bisection.first_by_halving(last, at, predicate)
        if version == 1:
            return self._bisect_inherited(run_id, predicate)
        return None if version is None else event_at(self._log, run_id, version)

    def _bisect_inherited(self, run_id: str, predicate: Predicate) -> RecordedEvent | None:
        """The event since which something is so, if it is at version 1, where a fork has all that it inherits."""
        events = list(self._events(Point(run_id, 1)))

        def after(number: int, before: Replay) -> Replay:
            replay = before.copy()
            replay.take(events[before.taken : number], self._codec)
            return replay

        count = bisection.first_by_halving(len(events), after, predicate)
        return None if count is None else events[count - 1]

    def timeline(self, run_id: str) -> Timeline:
        """When the run's attempts could start, started and ended; what that comes to, and on which path. Raises
        `NotFound` for an unknown run.
        """
        run, _, history = self._history(Point(run_id))
        return timeline.timeline(run, history)

    def explain(self, run_id: str, task_id: str, *, version: int | None = None) -> Explanation:
        """Why a task is reusable, stale, in doubt, waiting, failed, blocked or ready, and the events that this follows
        from. At a version, it is explained as it was then. Raises `NotFound` for an unknown run or task.
        """
        run, fold, history = self._history(Point(run_id, version))
        now = self._now() if version is None else history[-1][0].time
        return explain.explain(run, task_id, fold, history, now)

    def tree(self, run_id: str, *, include_deleted: bool = False) -> list[Branch]:
        """The run, its children, theirs and so on, each before those below it; nothing for an unknown run.

        Siblings are in the order they were created. Deleted runs are left out unless asked for, but not those below.
        """
        (rows,) = self._views.ask(tree.descendants(run_id))
        branches = tree.branches(run_id, rows)
        return [branch for branch in branches if include_deleted or branch.run.deleted_at is None]

    def _replayed(self, point: Point, before: Replay | None = None) -> Replay:
        """The run at the point, from the nearest snapshot on, or from where it was before, if that is nearer."""
        before = before or Replay()
        replay, rest = self._snapshot(point, before.version) or (before.copy(), self._events(point, before.version))
        replay.take(rest, self._codec)
        if worth_keeping(replay.taken, replay.fold.size, self._snapshot_every):
            with contextlib.suppress(EventStoreError, *UNREADABLE):  # it was only for the next time
                self._views.keep(replay.snapshot())
                replay.taken = 0
        return replay

    def _snapshot(self, point: Point, after: int) -> tuple[Replay, Iterator[RecordedEvent]] | None:
        """The run at the nearest snapshot before the point that can be used, and the events that come then; None if
        there is none after a version.
        """
        run_id, limits = point.run_id, (_bounded(point.version), _bounded(point.position), point.time)
        if point.time is not None:
            check_zone(point.time)
        with contextlib.suppress(EventStoreError):  # as long as the log can be read, there is an answer
            for skip in itertools.count():
                (rows,) = self._views.ask(nearest(run_id, *limits, after=after, skip=skip))
                if not rows:
                    break
                with contextlib.suppress(*UNREADABLE):
                    snapshot = found(run_id, rows[0])
                    rest = self._events(point, snapshot.version - 1)  # in one reading, or a purge could come between
                    event = next(rest, None)
                    if event is not None and snapshot.is_after(event):
                        return Replay.of(snapshot, event), rest
        return None

    def _events(self, point: Point, after: int = 0) -> Iterator[RecordedEvent]:
        """The events of the run up to the point, behind a version; a fork's first one behind what it inherits. Raises
        `OriginMissing`.
        """
        time, position = point.time, _bounded(point.position)
        events: Iterable[RecordedEvent] = self._log.read(point.run_id, after=after, until=_bounded(point.version))
        if position is not None:
            events = itertools.takewhile(lambda event: event.position <= position, events)
        if time is not None:
            check_zone(time)
            events = itertools.takewhile(lambda event: event.recorded_at <= time, events)
        for event in events:
            if begins_fork(event):
                yield from inherited(event, self._codec, self._log.read)
            yield event

    def _known(self, run_id: str) -> int:
        """The run's version. Raises `NotFound` if it has no events."""
        version = self._log.version(run_id)
        if not version:
            raise NotFound("run", run_id)
        return version

    def _history(self, point: Point) -> tuple[Run, Fold, list[tuple[RecordedEvent, msgspec.Struct]]]:
        fold, history = Fold(), []
        self._known(point.run_id)
        for recorded in self._events(point):
            event = self._codec.decode(recorded)
            history.append((recorded, event))
            for patch in project(event, recorded):
                fold.apply(patch)
        run = fold.row(Run, point.run_id)
        if run is None:
            raise NotFound("run", point.run_id, "It had not been created.")
        return run, fold, history


def _bounded(number: int | None) -> int | None:
    if number is not None and type(number) is not int:
        raise InvalidInput(f"{number!r} is no version and no position", "Give a whole number.")
    return None if number is None else min(number, MAX_NUMBER)
