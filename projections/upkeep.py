"""Physical removal: of runs with all that belongs to them, and of blobs that nothing refers to.

Each step can be repeated, and a crash between two leaves nothing behind that the same call, or `collect_blobs`, does
not remove. A blob is put before the event that refers to it: so none is removed that was put within the grace period,
which has to be longer than any writer takes from the one to the other. What refers to a blob is asked right before it
is removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import msgspec

from eventstore.blobs import RENEWAL
from eventstore.chain import timestamp
from eventstore.errors import EventStoreError, InvalidInput, NotFound
from eventstore.session import Argument, Statement
from eventstore.validate import MAX_NUMBER, check_kind, check_zone
from projections.commands import LONGEST, Actor
from projections.decide_purge import NeededByForks
from projections.purge import Purge, PurgedRuns, Refused
from projections.run_filter import Status, check_counts, chosen_statuses, json_texts, workflow_shown
from projections.transitions import RUN_STEPS, TERMINAL
from projections.views import Views

GRACE = 3600.0
"""Seconds for which a blob stays, though nothing refers to it yet."""

ENDED = """SELECT id, position FROM main.workflow_runs
    WHERE finished_at < $1 AND position < $2 AND position > 0
    AND status IN (SELECT value FROM main.json_each($3))
    AND (CAST($4 AS TEXT) IS NULL OR workflow_name = $4)
    AND (CAST($5 AS INTEGER) = 0 OR deleted_at < $1)
    ORDER BY position DESC LIMIT $6"""


class Collected(msgspec.Struct, frozen=True):
    """What a collection removed, or would remove: blobs and their bytes. `blobs_left` were put too recently."""

    blobs: int
    bytes: int
    blobs_left: int


class Upkeep(Actor):
    """What keeps a store from growing for ever."""

    _views: Views

    def purge_run(
        self,
        run_id: str,
        *,
        reason: str = "",
        force: bool = False,
        cascade: bool = False,
        grace: float = GRACE,
        dry_run: bool = False,
    ) -> PurgedRuns:
        """Remove a run for good: events, telemetry, rows, files, and blobs that nothing else refers to.

        A record of it stays, with the reason and what `acting` says. The run must have ended or be deleted, unless
        there is `force`: then its worker gets `NotFound` from now on. Its children, if it has any, must be gone, or go
        with it by `cascade`; its forks must be gone, whatever is said. Events of a run that was never created can be
        purged with `force`. With `dry_run` nothing is removed, and the same told.

        Raises `NotFound`, also for a run that has been purged; `Conflict`. A run that goes on meanwhile is not purged.
        """
        return self.purge_named([run_id], reason=reason, force=force, cascade=cascade, grace=grace, dry_run=dry_run)

    def purge_named(
        self,
        run_ids: Iterable[str],
        *,
        reason: str = "",
        force: bool = False,
        cascade: bool = False,
        grace: float = GRACE,
        dry_run: bool = False,
    ) -> PurgedRuns:
        """Remove runs for good, as `purge_run` does, in this order. The first that cannot be removed ends it with its
        error, and those before it are gone: with `dry_run` one knows beforehand.
        """
        check_kind(run_ids, Iterable, "what is to be purged")
        purge = self._purge(reason, grace, dry_run=dry_run)
        with self._log.purging():
            for run_id in run_ids:
                if run_id not in purge.runs:
                    purge.family(run_id, force=force, cascade=cascade)
        return purge.result()

    def purge_runs(
        self,
        *,
        ended_before: datetime,
        status: Status = None,
        workflow: str | None = None,
        deleted_only: bool = False,
        reason: str = "",
        limit: int | None = None,
        batch: int = 100,
        grace: float = GRACE,
        dry_run: bool = False,
    ) -> PurgedRuns:
        """Remove all runs for good that ended before a time, the newest first: children come before their parents.

        `status` and `workflow` choose among them, `deleted_only` leaves those that were deleted before that time;
        `limit` is how many to remove at most. They are looked up in batches of so many, and removed one by one; a batch
        is gone from all files at its end. One that cannot be removed stops no other, and is in the result with the
        reason; those that stay because runs were forked from them, and go once these are gone, are only counted.
        """
        check_zone(ended_before)
        check_counts(limit=limit, batch=batch)
        if batch < 1:
            raise InvalidInput(f"batches of {batch}", "Give a number from 1.")
        purge = self._purge(reason, grace, dry_run=dry_run)
        statuses = _ended_statuses(status)
        for run_ids in self._ended(ended_before, statuses, workflow, batch, deleted_only=deleted_only):
            with self._log.purging():
                _purge_each(purge, run_ids, ended_before, limit)
            if len(purge.runs) == limit:
                break
        if purge.runs and not dry_run:
            self.reclaim()
        return purge.result()

    def collect_blobs(self, *, grace: float = GRACE, dry_run: bool = False) -> Collected:
        """Remove every blob that no event refers to and that was not put within these seconds, give or take a minute.

        Others may go on using the store, but a copy or an import that puts blobs for longer than that. Raises what the
        views raise if they cannot tell what all events refer to, as when a newer program has written some.
        """
        purge = self._purge("", grace, dry_run=dry_run)
        purge.remove_blobs(self._values.blobs.digests())
        if not dry_run:
            self._values.blobs.remove_drafts(kept_before=purge.kept_before)
        if purge.blobs and not dry_run:
            self.reclaim()
        return Collected(purge.blobs, purge.bytes, purge.blobs_left)

    def reclaim(self) -> None:
        """Give the space of what was removed back to the system, as far as the backend can beside other users."""
        self._views.reclaim()

    def _purge(self, reason: str, grace: float, *, dry_run: bool) -> Purge:
        if not isinstance(grace, int | float) or not 0 <= grace <= LONGEST:
            raise InvalidInput(f"a grace period of {grace!r} seconds", f"Give a number from 0 to {LONGEST:,}.")
        meta = {**self._meta, "reason": reason} if reason else self._meta
        kept_before = self._now() - timedelta(seconds=grace) - RENEWAL
        return Purge(self._log, self._views, self._values.blobs, meta=meta, kept_before=kept_before, dry_run=dry_run)

    def _ended(
        self, before: datetime, statuses: str, workflow: str | None, batch: int, *, deleted_only: bool
    ) -> Iterator[list[str]]:
        name = workflow_shown(workflow)
        last: Argument = MAX_NUMBER
        while True:
            arguments = (timestamp(before), last, statuses, name, int(bool(deleted_only)), batch)
            (rows,) = self._views.ask(Statement(ENDED, arguments))
            if not rows:
                return
            yield [str(run_id) for run_id, _ in rows]
            last = rows[-1][1]


def _purge_each(purge: Purge, run_ids: Iterable[str], ended_before: datetime, limit: int | None) -> None:
    for run_id in run_ids:
        if len(purge.runs) == limit:
            return
        try:
            purge.family(run_id, ended_before=ended_before)
        except NotFound:
            continue  # somebody else has just purged it
        except NeededByForks:
            purge.needed_by_forks += 1
        except EventStoreError as error:
            purge.refused.append(Refused(run_id, str(error)))


def _ended_statuses(status: Status) -> str:
    chosen = chosen_statuses(status, RUN_STEPS)
    going_on = set(chosen or ()) - TERMINAL
    if going_on:
        raise InvalidInput(
            f"runs that are {min(going_on)} have not ended", f"Use one of: {', '.join(sorted(TERMINAL))}."
        )
    return json_texts(sorted(TERMINAL) if chosen is None else chosen)
