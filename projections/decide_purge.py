"""What may be removed for good: pure functions from what is there to what goes, or why it stays."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from eventstore.chain import timestamp
from eventstore.errors import Conflict, NotFound
from projections.rows import Run
from projections.transitions import TERMINAL


class NeededByForks(Conflict):
    """A run cannot be purged: others were forked from it, and have their past in its events."""

    code = "needed-by-forks"

    def __init__(self, run_id: str, forks: tuple[str, ...]) -> None:
        names = ", ".join(repr(fork) for fork in forks[:5])
        more = f" and {len(forks) - 5:,} more" if len(forks) > 5 else ""
        super().__init__(f"run {run_id!r} has forks that need it: {names}{more}", "Purge them first.")
        self.args = (run_id, forks)
        self.run_id, self.forks = run_id, forks


def check_purge(
    run_id: str,
    run: Run | None,
    events: int,
    children: Sequence[str],
    forks: Sequence[str] = (),
    *,
    force: bool,
    ended_before: datetime | None = None,
) -> None:
    """Raise `NotFound` or `Conflict` unless the run may be purged.

    `events` is how many there are of it, be it a run or not; `children` are those that would be left without it, and
    `forks` the runs that have their past in it.
    """
    if events == 0 or run_id.startswith("$"):  # such streams are no run's
        raise NotFound("run", run_id)
    if (run is None or run.position == 0) and not force:
        raise NotFound("run", run_id, "It has events, but was never created: purge them with force.")
    if children:
        names = ", ".join(repr(child) for child in children[:5])
        hint = "Purge them first, or all together with cascade."
        raise Conflict(f"run {run_id!r} has children that are still there: {names}", hint)
    if forks:
        raise NeededByForks(run_id, tuple(forks))
    if run is None or force:
        return
    if run.status not in TERMINAL and run.deleted_at is None:
        raise Conflict(f"run {run_id!r} is {run.status}", "Cancel it first, or purge it with force.")
    if ended_before is not None and (run.finished_at is None or run.finished_at >= ended_before):
        hint = "It stays until that is long enough ago."
        raise Conflict(f"run {run_id!r} has gone on meanwhile, and ended after {timestamp(ended_before)}", hint)


def unreferenced(
    digests: Iterable[str], references: Iterable[tuple[str, str]], gone: Collection[str] = ()
) -> list[str]:
    """The digests that no stream refers to but those that are gone. References are digest and stream."""
    needed = {digest for digest, stream in references if stream not in gone}
    return [digest for digest in digests if digest not in needed]
