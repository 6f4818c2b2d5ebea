"""Checks what a log says against itself and against its views, and reports what it finds as data. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from eventstore.blobs import Blobs
from eventstore.chain import GENESIS, event_hash
from eventstore.codec import Codec
from eventstore.errors import BlobCorrupt, BlobMissing, EventStoreError
from eventstore.failure import Failure
from eventstore.log import Purged, RecordedEvent
from eventstore.payload import Value
from projections.fold import Columns, Fold
from projections.project import project
from projections.rows import Attempt, Key, Run, TaskRun

Severity = Literal["error", "warning", "info"]

REBUILD = "Run `eventstore rebuild`: the views are made again from the log."
RESTORE = "Copy the store aside and restore this from a backup."


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it should be: an `error` when the truth is affected, a `warning` when a view is, and
    `info` for what is odd and harmless. `code` is stable and meant for programs.
    """

    severity: Severity
    code: str
    where: str
    message: str
    action: str = ""


class Report(msgspec.Struct, frozen=True):
    """What was looked at, and what was found."""

    events: int
    streams: int
    runs: int
    blobs: int
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing worse than `info` was found."""
        return all(finding.severity == "info" for finding in self.findings)


class Audit:
    """Takes a log's events in order, and knows afterwards what is wrong with them."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._heads: dict[str, tuple[int, str]] = {}
        self._blobs: dict[str, str] = {}
        self.fold = Fold()
        self.events = 0
        self.findings: list[Finding] = []

    @property
    def heads(self) -> dict[str, tuple[int, str]]:
        """Each stream's version and last hash."""
        return self._heads

    def take(self, event: RecordedEvent, *, project_it: bool) -> None:
        """Check one event, and fold it into the views unless told that they have not come so far."""
        self.events += 1
        self._check_chain(event)
        try:
            decoded = self._codec.decode(event)
        except EventStoreError as error:
            self._found("error", "undecodable", event, str(error), error.hint or RESTORE)
            return
        if isinstance(decoded, Purged):
            self._heads.pop(decoded.stream, None)
        for digest in _blob_digests(decoded):
            self._blobs.setdefault(digest, _where(event))
        if project_it:
            for patch in project(decoded, event):
                self.fold.apply(patch)

    def _check_chain(self, event: RecordedEvent) -> None:
        version, hash = self._heads.get(event.stream, (0, GENESIS))
        if event.version != version + 1:
            message = f"version {event.version} follows version {version}"
            self._found("error", "version-gap", event, message, RESTORE)
        elif event_hash(hash, event.stream, event.version, event) != event.hash:
            self._found("error", "hash-mismatch", event, "the event was changed after it was written", RESTORE)
        self._heads[event.stream] = (event.version, event.hash)

    def _found(self, severity: Severity, code: str, event: RecordedEvent, message: str, action: str) -> None:
        self.findings.append(Finding(severity, code, _where(event), message, action))

    def orphans(self) -> Iterator[Finding]:
        """Rows whose parent was never made; only imports, partial restores and foreign writers leave such."""
        action = "Look at the run's events; a restore or an import was not complete."
        runs = self.fold.tables[Run.TABLE]
        tasks = self.fold.tables[TaskRun.TABLE]
        for (run_id,), columns in runs.items():
            if not columns["position"]:
                yield Finding("error", "orphan-run", f"run {run_id!r}", "it was never created", action)
        for key, columns in tasks.items():
            if key[:1] not in runs:
                yield Finding("error", "orphan-task", _task(key), "its run does not exist", action)
            elif not columns["position"]:
                yield Finding("error", "orphan-task", _task(key), "it was never scheduled", action)
        for key, columns in self.fold.tables[Attempt.TABLE].items():
            if key[:2] not in tasks or columns["started_at"] is None:
                yield Finding(
                    "error", "orphan-attempt", f"attempt {key[2]} of {_task(key)}", "it never started", action
                )

    def check_blobs(self, blobs: Blobs) -> Iterator[Finding]:
        """Blobs that events refer to and that are gone or changed, and blobs nothing refers to."""
        action = "Restore the _blobs folder from a backup, or run the task again."
        for digest, where in self._blobs.items():
            try:
                blobs.get(digest)
            except BlobMissing:
                yield Finding("error", "blob-missing", f"blob {digest}", f"needed by {where}", action)
            except BlobCorrupt:
                yield Finding("error", "blob-corrupt", f"blob {digest}", f"needed by {where}", action)
        for digest in blobs.digests():
            if digest not in self._blobs:
                message = "nothing refers to it; a writer was stopped between value and event, or a run was purged"
                yield Finding("info", "blob-unreferenced", f"blob {digest}", message, "It does no harm.")

    def check_table(self, table: str, contents: dict[Key, Columns]) -> Iterator[Finding]:
        """Rows of a table that are not what the events say."""
        expected = self.fold.tables[table]
        for key in sorted(expected.keys() | contents.keys(), key=repr):
            if expected.get(key) != contents.get(key):
                kept = "is missing" if key not in contents else "should not be there"
                if key in contents and key in expected:
                    names = [name for name, value in expected[key].items() if contents[key][name] != value]
                    kept = f"differs in {', '.join(names)}"
                yield Finding("warning", "view-drift", f"{table} {key!r}", f"the row {kept}", REBUILD)

    def report(self, more: Iterator[Finding]) -> Report:
        """All findings, those of further checks included, the worst first."""
        findings = [*more, *self.findings, *self.orphans()]
        findings.sort(key=lambda finding: ("error", "warning", "info").index(finding.severity))
        runs = len(self.fold.tables[Run.TABLE])
        return Report(self.events, len(self._heads), runs, len(self._blobs), tuple(findings))


def _blob_digests(part: object) -> Iterator[str]:
    """The digests of all blobs an event refers to: values stand in its fields, or in a failure's."""
    if isinstance(part, Value):
        if isinstance(part.json, msgspec.UnsetType):
            yield part.digest
    elif isinstance(part, msgspec.Struct):
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if isinstance(value, Value | Failure):
                yield from _blob_digests(value)


def _where(event: RecordedEvent) -> str:
    return f"position {event.position}, version {event.version} of stream {event.stream!r}"


def _task(key: Key) -> str:
    return f"task {key[1]!r} of run {key[0]!r}"
