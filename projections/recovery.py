"""What keeps runs alive, and brings them back: leases that are renewed, and claims on runs whose workers are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from eventstore.errors import BlobCorrupt, BlobMissing, Conflict, InvalidValue, LogCorrupt, NotFound
from projections import decide_run
from projections.commands import Resumption
from projections.heartbeat import Heartbeat
from projections.resume import Plan
from projections.rows import Run
from projections.run_commands import RunCommands
from projections.run_filter import check_counts
from projections.tables import DamagedViews

_DAMAGED = (DamagedViews, BlobMissing, BlobCorrupt, InvalidValue, LogCorrupt)
_AT_ONCE = 100


class Broken(msgspec.Struct, frozen=True):
    """A run that nobody can go on with as it is: the stable code of the error, what is wrong, and what to do."""

    run_id: str
    code: str
    reason: str
    hint: str


class Recovery(msgspec.Struct, frozen=True):
    """The runs that were claimed, oldest first, and those that were passed over because they are damaged."""

    claimed: tuple[Resumption, ...]
    broken: tuple[Broken, ...]


class RecoveryCommands(RunCommands):
    """Commands of workers that hold runs, and of those that look for runs nobody holds any more."""

    def renew_lease(self, run_id: str, *, epoch: int, lease: float) -> Run:
        """Have the lease of a claim last this many seconds from now, by the store's clock, and return the run.

        It may have run out, as long as nobody has used that: `Fenced` if somebody has, `InvalidTransition` if the run
        is not running. One small event each time; to renew in the background, see `heartbeat`.
        """
        return self._change_run(run_id, lambda run: decide_run.renew(run, self._from_now(lease, "lease")), epoch)

    def heartbeat(
        self, run_id: str, *, epoch: int, lease: float, on_lost: Callable[[Exception], object] = lambda _: None
    ) -> Heartbeat:
        """What renews the lease of a claim as long as it is open, whether the claim was made with one or not:
        `with store.heartbeat(run_id, epoch=claim.epoch, lease=60) as heartbeat`.

        Ask `heartbeat.check()` between steps, or give `on_lost`. Nothing depends on it: a worker that goes on with a
        claim it has lost is refused anyway.
        """
        return Heartbeat(partial(self.renew_lease, run_id, epoch=epoch, lease=lease), lease, on_lost=on_lost)

    def recover(
        self,
        worker: str,
        lease: float,
        *,
        limit: int | None = 1,
        include_unleased: bool = False,
        dry_run: bool = False,
    ) -> Recovery:
        """Claim the oldest runs whose leases have run out, `limit` at most, each with a lease of so many seconds.

        Which runs these are: see `list_recoverable`. There may be none. Of several rescuers at once no two get the same
        run: each goes on to the next one. A run is claimed only if all that going on with it needs can be read; others
        are reported, and stop nobody. One that waited is running then: have it wait again, if what it waited for has
        not come.

        With `dry_run`, nothing is written, and the runs are as they are now.
        """
        check_counts(limit=limit)
        self._from_now(lease, "lease")
        claimed: list[Resumption] = []
        broken: list[Broken] = []
        for run_id in self._recoverable_ids(include_unleased=include_unleased) if limit != 0 else ():
            try:
                claimed.append(self._recovered(run_id, worker, lease, dry_run=dry_run))
            except (Conflict, NotFound):
                continue  # somebody has claimed, renewed, ended or removed it meanwhile
            except _DAMAGED as error:
                broken.append(Broken(run_id, error.code, str(error), error.hint))
            if len(claimed) == limit:
                break
        return Recovery(tuple(claimed), tuple(broken))

    def _recoverable_ids(self, *, include_unleased: bool) -> Iterator[str]:
        after = 0
        while page := self._queries.recoverable_ids(include_unleased=include_unleased, after=after, limit=_AT_ONCE):
            yield from (run_id for run_id, _ in page)
            after = page[-1][1]

    def _recovered(self, run_id: str, worker: str, lease: float, *, dry_run: bool) -> Resumption:
        seen = self._existing(run_id)
        plan = self._readable_plan(seen)
        if dry_run:
            return Resumption(seen, seen.epoch, plan)
        claimed = self._change_run(
            run_id,
            lambda run: decide_run.recover(
                run,
                self._queries.tasks_to_resume(run_id),
                worker,
                self._from_now(lease, "lease"),
                first_seen_epoch=seen.epoch,
                now=self._now(),
            ),
        )
        return Resumption(claimed, seen.epoch + 1, self._queries.resume_plan(run_id))

    def _readable_plan(self, run: Run) -> Plan:
        """The run's plan, if every value that going on with the run needs can be read."""
        plan = self._queries.resume_plan(run.id)
        reusable = {task.task_id for task in plan.reusable}
        outputs = (output.output for output in self._queries.list_outputs(run.id) if output.task_id in reusable)
        inputs = (task.input for task in self._queries.list_task_runs(run.id) if task.task_id not in reusable)
        for value in (run.input, *inputs, *outputs):
            if value is not None:
                self._values.load(value)
        return plan
