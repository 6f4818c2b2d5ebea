"""Verifies a store of files: segments, index, views, run folders and blobs. Writes nothing, and locks nobody out.

Views and folders are compared with what the events say up to where the views have come. A folder may be behind them, as
their checkpoint says, or have come further by now. So the log is read on afterwards, and what events explain that came
after the checkpoint is no finding.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from eventstore.blobs import FOLDER as BLOBS
from eventstore.blobs import FileBlobs
from eventstore.codec import Codec
from eventstore.disk import READ, Disk, unavailable
from eventstore.errors import Unavailable
from eventstore.names import encode_name
from eventstore.segments import FOLDER as LOG
from eventstore.survey import Damage, Survey, Surveyed
from projections import tables
from projections.findings import REBUILD, RESTORE, Finding
from projections.rows import Output, Run
from projections.run_files import OUTPUT, RUN, WITH_OUTPUT, event_json, output_json, output_path, own_files, run_json
from projections.verify import Audit, Report, evidence
from projections.verify_databases import KeptIndex, KeptViews

RUNS = "SELECT id, deleted_at IS NOT NULL FROM main.workflow_runs ORDER BY id"

_CHUNK = 1 << 20

Progress = Callable[[int], None]


def verify_files(path: Path, codec: Codec, progress: Progress = lambda _: None) -> Report:
    """Check everything a store holds; `progress` is told of numbers of bytes, `bytes_to_verify` in all.

    Others may go on writing meanwhile. Raises `Unavailable` if there is no store, or it cannot be read.
    """
    try:
        if not (path / LOG).is_dir():
            raise Unavailable(f"there is no store in {path}", "Give the folder of a store.")
        with ExitStack() as stack:
            disk = Disk(path, create=False)
            stack.callback(disk.release)
            return stack.enter_context(closing(_Verification(disk, path, codec, progress))).report()
    except Unavailable:
        raise
    except OSError as error:
        raise unavailable(error, f"cannot read the store in {path}") from error
    except sqlite3.Error as error:
        hint = "Verification makes the views again in a temporary file: make room for it, or set TMPDIR."
        raise Unavailable(f"cannot make the views of {path} again: {error}", hint) from error


def bytes_to_verify(path: Path) -> int:
    """How much there is to read, run folders left out."""
    files = [*(path / LOG).glob("*.jsonl"), *(path / BLOBS).glob("*/[!_]*")]  # drafts come and go
    return sum(file.stat().st_size for file in files)


class _Verification:
    def __init__(self, disk: Disk, path: Path, codec: Codec, progress: Progress) -> None:
        self._disk, self._progress = disk, progress
        self._audit, self._survey = Audit(codec), Survey(disk)
        self._index, self._views = KeptIndex(path), KeptViews(path)
        self._audit.snapshots.expect(self._views.snapshots)
        self._event_files: dict[str, hashlib._Hash] = {}
        self._unfinished: list[Finding] = []
        self._damaged = False
        self._compared = False
        self._rows: list[tuple[str, Finding]] = []
        self._files: list[tuple[str, Finding]] = []
        self._later: set[str] = set()

    def close(self) -> None:
        for part in (self._audit, self._survey, self._index, self._views):
            part.close()

    def report(self) -> Report:
        return self._audit.report(self._findings())

    def _findings(self) -> Iterator[Finding]:
        """Everything beyond the events themselves."""
        yield from self._read_on()
        if self._views.position == self._survey.head:
            self._compare()
        yield from self._read_on()
        yield from self._unfinished
        views = [
            *self._index.findings(self._survey.commit - 1, self._audit.purged.values()),
            *self._views.findings(self._survey.head),
            *self._unexplained(),
        ]
        damaged = self._damaged or self._audit.broken or any(finding.severity == "error" for finding in views)
        yield from map(evidence, views) if damaged else views
        yield from self._audit.check_blobs(FileBlobs(self._disk), self._progress)

    def _read_on(self) -> Iterator[Finding]:
        """Take what the log holds since it was last read, and say what is damaged."""
        self._unfinished = []
        for part in self._survey:
            if isinstance(part, Surveyed):
                self._take(part)
                self._progress(part.place.length)
            elif part.unfinished:
                action = "If nobody is writing, the next opening cuts it off and keeps a copy."
                self._unfinished = [Finding("info", "unfinished-write", _where(part), part.reason, action)]
            else:
                self._damaged = True
                self._index.close()  # it could only say the same
                yield Finding("error", "log-corrupt", _where(part), part.reason, RESTORE)

    def _take(self, found: Surveyed) -> None:
        events = found.line.recorded()
        for event in events:
            if event.position > self._views.folders:
                self._later.add(event.stream)
            if event.position > self._views.position:
                self._compare()
            else:
                if event.version == 1:  # of a run that was made anew after a purge, too
                    self._event_files.pop(event.stream, None)
                self._event_files.setdefault(event.stream, hashlib.sha256()).update(event_json(event))
            self._audit.take(event)
            self._views.take(event)
        self._index.take(found, events, self._audit.heads)

    def _compare(self) -> None:
        """Hold views and folders against the events taken so far."""
        if not self._compared and self._views.usable:
            self._rows = [*self._views.differences(self._audit), *self._audit.snapshots.differences()]
            self._files = list(self._check_folders())
        self._compared = True

    def _unexplained(self) -> Iterator[Finding]:
        """The differences that no later event explains: those of a run in its folder, and its purge anywhere."""
        if self._views.settled:
            purged = self._purged_after(self._views.position)
            yield from (finding for stream, finding in self._rows if stream not in purged)
            later = self._later | self._purged_after(self._views.folders)
            yield from (finding for run_id, finding in self._files if run_id not in later)

    def _purged_after(self, position: int) -> set[str]:
        return {stream for stream, purge in self._audit.purged.items() if purge > position}

    def _check_folders(self) -> Iterator[tuple[str, Finding]]:
        gone = set(self._audit.purged)
        for run_id, deleted in self._audit.views.rows(RUNS):
            gone.discard(run_id)
            wanted = {} if deleted else self._wanted(run_id)
            yield from ((run_id, finding) for finding in self._check_folder(run_id, wanted))
        for run_id in sorted(gone):
            yield from ((run_id, finding) for finding in self._check_folder(run_id, {}))

    def _wanted(self, run_id: str) -> dict[str, bytes]:
        """The digests of all files a run should have, by their paths in its folder."""
        views = self._audit.views
        (run,) = tables.select(views, Run, RUN, (run_id,))
        wanted = {
            "run.json": hashlib.sha256(run_json(run)).digest(),
            "events.jsonl": self._event_files[run_id].digest(),
        }
        for (task_id,) in views.rows(WITH_OUTPUT, (run_id,)):
            (output,) = tables.select(views, Output, OUTPUT, (run_id, task_id))
            wanted[output_path(task_id)] = hashlib.sha256(output_json(output)).digest()
        return wanted

    def _check_folder(self, run_id: str, wanted: dict[str, bytes]) -> Iterator[Finding]:
        folder = encode_name(run_id)
        try:
            there = set(own_files(self._disk, folder))
        except OSError as error:
            message = f"the folder cannot be read: {error.strerror}"
            yield Finding("warning", "file-unreadable", folder, message, f"Remove what stands there. {REBUILD}")
            return
        for path in sorted(there | wanted.keys()):
            where = f"{folder}/{path}".encode(errors="backslashreplace").decode()
            if path not in there:
                yield Finding("warning", "file-missing", where, "the file is not there", REBUILD)
            elif path in wanted:
                yield from self._check_file(f"{folder}/{path}", wanted[path])
            elif path.endswith(".new"):
                message, action = "a process was stopped while it wrote this file", "It does no harm."
                yield Finding("info", "file-draft", where, message, action)
            else:
                action = REBUILD if wanted else "Remove it: the run was deleted."
                yield Finding("warning", "file-stray", where, "no event made this file", action)

    def _check_file(self, path: str, wanted: bytes) -> Iterator[Finding]:
        try:
            if self._digest(path) != wanted:
                yield Finding("warning", "file-drift", path, "the file is not what the events say", REBUILD)
        except OSError as error:
            message = f"the file cannot be read: {error.strerror}"
            yield Finding("warning", "file-unreadable", path, message, REBUILD)

    def _digest(self, path: str) -> bytes:
        digest, offset = hashlib.sha256(), 0
        file = self._disk.open(path, READ | os.O_NONBLOCK)  # or a pipe that was put there would wait for a writer
        try:
            while chunk := self._disk.read(file, _CHUNK, offset):
                digest.update(chunk)
                offset += len(chunk)
        finally:
            self._disk.close(file)
        return digest.digest()


def _where(damage: Damage) -> str:
    return f"{damage.file}, bytes {damage.offset}–{damage.offset + damage.length}"
