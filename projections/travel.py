"""Runs as they were, how they differ, and why they are what they are. Read from the log; nothing is ever appended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import takewhile
from typing import get_args

import msgspec

from eventstore.errors import InvalidInput, NotFound
from eventstore.events import RunEvent
from eventstore.log import RecordedEvent
from eventstore.validate import MAX_NUMBER, check_zone
from projections import bisection, differences, explain, timeline, tree
from projections.bisection import Predicate
from projections.commands import Actor
from projections.differences import Difference
from projections.explain import Explanation
from projections.fold import Fold
from projections.inheritance import begins_fork, inherited, with_inherited
from projections.project import project
from projections.rows import Run
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
    """Questions about what was. They change nothing, not even the views. A run can still be asked about when it was
    deleted, and cannot when it was purged. A fork's past goes on into that of its origin, in events whose versions are
    below 1; before the fork was made there was nothing. `OriginMissing` if somebody has removed the origin.
    """

    _views: Views

    def as_of(
        self, run_id: str, *, version: int | None = None, time: datetime | None = None, position: int | None = None
    ) -> Fold:
        """The run's views as they were at a version of its stream, at a position of the whole log, or when no later
        event of it had been recorded.

        Folded from the log, so it works before and after a deletion. An unknown run gives empty views.
        """
        return Fold.of(self._events(Point(run_id, version, time, position)), self._codec)

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
        ours, theirs = (self._past(Point(side) if isinstance(side, str) else side) for side in (left, right))
        return differences.differences(ours, theirs, exact=exact)

    def bisect(self, run_id: str, predicate: Predicate, *, monotone: bool = True) -> RecordedEvent | None:
        """The first event after which something is true of the run's views; None if it never is.

        What becomes true once and stays true is found in few questions. What may become false again needs `monotone` to
        be False: then each version is asked about, from the first one on. Raises `NotFound` for an unknown run.
        """
        events = list(self._known(Point(run_id)))
        find = bisection.first_by_halving if monotone else bisection.first_by_scanning
        return find(events, self._codec, predicate)

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

    def _events(self, point: Point) -> Iterator[RecordedEvent]:
        """The events of the run up to the point, in a fork behind what it inherits. Raises `OriginMissing`."""
        time, position = point.time, _bounded(point.position)
        events: Iterable[RecordedEvent] = self._log.read(point.run_id, until=_bounded(point.version))
        if position is not None:
            events = takewhile(lambda event: event.position <= position, events)
        if time is not None:
            check_zone(time)
            events = takewhile(lambda event: event.recorded_at <= time, events)
        for event in events:
            if begins_fork(event):
                yield from inherited(event, self._codec, self._log.read)
            yield event

    def _known(self, point: Point) -> Iterator[RecordedEvent]:
        if not self._log.version(point.run_id):
            raise NotFound("run", point.run_id)
        return self._events(point)

    def _past(self, point: Point) -> Fold:
        return Fold.of(self._known(point), self._codec)

    def _history(self, point: Point) -> tuple[Run, Fold, list[tuple[RecordedEvent, msgspec.Struct]]]:
        fold, history = Fold(), []
        for recorded in self._known(point):
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
