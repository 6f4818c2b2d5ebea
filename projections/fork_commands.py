"""Runs that go on from where another one was."""

from __future__ import annotations

from datetime import datetime

from eventstore.errors import NotFound, WrongExpectedVersion
from eventstore.events import RunForkCreated
from eventstore.log import new_id
from projections import decide_fork
from projections.decide import check_may_change, check_run_id
from projections.decide_fork import Cut
from projections.fold import Fold
from projections.rows import Run, TaskRun
from projections.travel import Point, Travel


class ForkCommands(Travel):
    """How runs are forked. Say who wants it with `acting(actor=…)`."""

    def fork_run(
        self,
        run_id: str,
        *,
        version: int | None = None,
        time: datetime | None = None,
        position: int | None = None,
        fork_id: str | None = None,
        reason: str = "",
    ) -> Run:
        """Create a run that goes on from where this one, its origin, was at a version, a time or a position, the
        earliest of those that are given; from where it is now, if none is. Return the fork, pending.

        Nothing is copied: the fork refers to the origin's events. It has its tasks, attempts, outputs, input and
        metadata; but claims, end and parent are not inherited, and children stay the origin's. Attempts that were
        running are closed as interrupted in the fork, and are in doubt. From then on neither sees what becomes of the
        other. The origin is noted to be forked, and cannot be purged before the fork is; deleting it hides nothing of
        the fork.

        The same `fork_id` for the same origin again, and for the same version if a point is given, returns the run
        there is; anything else is a `Conflict`. Raises `NotFound` if the origin is unknown or deleted, or had not been
        created yet; `InvalidInput` for a version that its own stream does not have; `OriginMissing`.
        """
        fork_id = str(new_id()) if fork_id is None else fork_id
        check_run_id(fork_id)
        at, cut = Point(run_id, version, time, position), None
        with self._turn(run_id):
            while True:
                newest = self._log.version(run_id)
                known = self._queries.get_run(fork_id, include_deleted=True)
                if known is not None:
                    return self._same_fork(known, at)
                origin = check_may_change(self._queries.get_run(run_id, include_deleted=True), run_id, None)
                decide_fork.check_version(origin, version, newest)
                if cut is None or not self._stands(cut):
                    cut = self._cut(at)
                note = RunForkCreated(fork_id, cut.version)
                try:
                    self._commit(
                        [
                            self._part(run_id, [note], newest),
                            self._part(fork_id, decide_fork.fork(cut, reason), 0),
                        ]
                    )
                except WrongExpectedVersion:
                    if self._log.version(fork_id) and self._queries.get_run(fork_id, include_deleted=True) is None:
                        raise  # a stream of something that is not a run
                    continue
                return self._existing(fork_id)

    def _same_fork(self, known: Run, at: Point) -> Run:
        given = (at.version, at.time, at.position) != (None, None, None)
        decide_fork.check_same_fork(known, at.run_id, self._cut(at).version if given else None)
        return known

    def _cut(self, at: Point) -> Cut:
        """The run at this point. Raises `NotFound` if it had not been created."""
        fold, last = Fold(), None
        for last in self._events(at):
            fold.take(last, self._codec)
        run = fold.row(Run, at.run_id)
        if last is None or run is None or not run.position:
            raise NotFound("run", at.run_id, "It had not been created by then.")
        running = [task for task in fold.rows(TaskRun) if task.status == "running"]
        return Cut(at.run_id, last.version, last.hash, running)

    def _stands(self, cut: Cut) -> bool:
        """Whether the origin is still the one that was looked at, and not another one made in its place."""
        last = next(self._log.read(cut.origin, after=cut.version - 1, until=cut.version), None)
        return last is not None and last.hash == cut.hash
