"""A purge at work: removes runs one by one, and counts what it removes; or only counts what it would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice

import msgspec

from eventstore.blobs import Blobs
from eventstore.errors import WrongExpectedVersion
from eventstore.events import TELEMETRY_STREAM
from eventstore.log import Log
from eventstore.session import Statement
from eventstore.validate import MAX_ID_BYTES, check_name
from projections import tables
from projections.decide_purge import check_purge, unreferenced
from projections.rows import Run
from projections.run_filter import json_texts
from projections.views import Views

RUN = "WHERE id = $1"
CHILDREN = "SELECT id FROM main.workflow_runs WHERE parent_run_id = $1 ORDER BY position"
FORKS = "SELECT id FROM main.workflow_runs WHERE forked_from = $1 ORDER BY position"
BLOBS = "SELECT DISTINCT digest FROM main.blob_references WHERE stream IN (SELECT value FROM main.json_each($1))"
REFERENCES = "SELECT digest, stream FROM main.blob_references WHERE digest IN (SELECT value FROM main.json_each($1))"

_DIGESTS_AT_ONCE = 500


class Refused(msgspec.Struct, frozen=True):
    """A run that a purge could not remove, or not wholly, and why."""

    run_id: str
    reason: str


class PurgedRuns(msgspec.Struct, frozen=True):
    """What a purge removed, or would remove: the runs in that order, their events, their blobs and the bytes of these.

    `blobs_left` are blobs that nothing refers to any more, but that were put so recently that they are left to
    `collect_blobs`. `needed_by_forks` counts the runs that stay because others were forked from them.
    """

    runs: tuple[str, ...]
    events: int
    blobs: int
    bytes: int
    blobs_left: int
    refused: tuple[Refused, ...] = ()
    needed_by_forks: int = 0


class Purge:
    """What is to be removed how, and what has been removed so far. Made for one call."""

    def __init__(
        self, log: Log, views: Views, blobs: Blobs, *, meta: Mapping[str, str], kept_before: datetime, dry_run: bool
    ) -> None:
        self._log, self._views, self._blobs = log, views, blobs
        self._meta, self.kept_before, self._dry_run = meta, kept_before, dry_run
        self._gone: set[str] = set()
        self.runs: list[str] = []
        self.refused: list[Refused] = []
        self.events = self.blobs = self.bytes = self.blobs_left = self.needed_by_forks = 0

    def result(self) -> PurgedRuns:
        """What has been removed."""
        return PurgedRuns(
            tuple(self.runs),
            self.events,
            self.blobs,
            self.bytes,
            self.blobs_left,
            tuple(self.refused),
            self.needed_by_forks,
        )

    def family(
        self, run_id: str, *, force: bool = False, cascade: bool = False, ended_before: datetime | None = None
    ) -> None:
        """Remove a run and, by cascade, all runs below it, the lowest first. All may be removed, or none is.

        Each is removed at the version at which it was looked at; if one has gone on since, the rest are seen anew.
        """
        while True:
            members = self._look(run_id, force=force, cascade=cascade, ended_before=ended_before)
            try:
                for member, version in reversed(members.items()):
                    self._remove(member, version)
            except WrongExpectedVersion:
                continue
            return

    def _look(self, run_id: str, *, force: bool, cascade: bool, ended_before: datetime | None) -> dict[str, int]:
        """The run and those below it with their versions, each behind its parent. Raises if one may not be removed."""
        members: dict[str, int] = {}
        due = [run_id]
        while due:
            member = due.pop()
            versions = {stream: self._log.version(stream) for stream in _streams(member)}
            members[member] = versions[member]
            rows, *found = self._views.ask(
                tables.query(Run, RUN, (member,)), Statement(CHILDREN, (member,)), Statement(FORKS, (member,))
            )
            children, forks = (
                [other for other in (str(id) for (id,) in ids) if other not in self._gone and other not in members]
                for ids in found
            )
            check_purge(
                member,
                next(iter(tables.parsed(Run, rows)), None),
                sum(versions.values()),
                () if cascade else children,
                forks,
                force=force,
                ended_before=ended_before,
            )
            due += children
        return members

    def _remove(self, run_id: str, version: int) -> None:
        """Remove a run, its telemetry first: a purge that is cut off in between can then be repeated."""
        streams = _streams(run_id)
        (rows,) = self._views.ask(Statement(BLOBS, (json_texts(streams),)))
        for stream in streams:
            if self._dry_run:
                self.events += self._log.version(stream)
            elif stream == run_id:
                self.events += self._log.purge(stream, expected=version, meta=self._meta).events
            else:
                self.events += self._log.purge(stream, meta=self._meta).events
        if self._dry_run:  # otherwise the views tell
            self._gone.update(streams)
        self.runs.append(run_id)
        self.remove_blobs(str(digest) for (digest,) in rows)

    def remove_blobs(self, digests: Iterable[str]) -> None:
        """Remove those of these blobs that nothing refers to, as asked right before, and that are old enough."""
        rest = iter(digests)
        while batch := list(islice(rest, _DIGESTS_AT_ONCE)):
            (references,) = self._views.ask(Statement(REFERENCES, (json_texts(batch),)))
            for digest in unreferenced(batch, ((str(each), str(stream)) for each, stream in references), self._gone):
                self._remove_blob(digest)

    def _remove_blob(self, digest: str) -> None:
        kept = self._blobs.look(digest)
        if kept is None:
            return
        if self._dry_run:
            removed = kept.kept_at < self.kept_before
        else:
            removed = self._blobs.remove(digest, kept_before=self.kept_before) > 0
        if removed:
            self.blobs += 1
            self.bytes += kept.size
        else:
            self.blobs_left += 1


def _streams(run_id: str) -> list[str]:
    """The streams that hold a run's events: its telemetry, unless no stream can have such a name, and itself."""
    check_name(run_id, "run id")
    telemetry = TELEMETRY_STREAM + run_id
    return [telemetry, run_id] if len(telemetry.encode()) <= MAX_ID_BYTES else [run_id]
