"""What keeps runs alive, and brings them back: leases that are renewed, and claims on runs whose workers are gone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from projections import decide_run
from projections.heartbeat import Heartbeat
from projections.rows import Run
from projections.run_commands import RunCommands


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
