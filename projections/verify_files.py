"""Verifies a store of files: segments, index, views, run folders and blobs. Opens nothing for writing."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from eventstore.blobs import FileBlobs
from eventstore.codec import Codec
from eventstore.disk import Disk, read_whole
from eventstore.index import WITNESS
from eventstore.names import encode_name
from eventstore.survey import Damage, Survey
from projections import tables
from projections.fold import Columns
from projections.rows import BY_TABLE, Key, Output, Run
from projections.run_files import event_json, files_below, output_json, output_path, run_json
from projections.verify import REBUILD, RESTORE, Audit, Finding, Report
from projections.views import CHECKPOINT

VIEWS = "_views.db"
INDEX = "_log/index.db"

HEADS = "SELECT id, version, hash FROM streams"


def verify_files(path: Path, codec: Codec) -> Report:
    """Check everything a store holds. Meant for a store nobody is writing to; otherwise what is being written just
    now may show as a view that is behind.
    """
    disk = Disk(path, create=False)
    try:
        return _Verification(disk, path, codec).report()
    finally:
        disk.release()


class _Verification:
    def __init__(self, disk: Disk, path: Path, codec: Codec) -> None:
        self._disk, self._path = disk, path
        self._audit = Audit(codec)
        self._event_files: dict[str, hashlib._Hash] = {}

    def report(self) -> Report:
        return self._audit.report(self._findings())

    def _findings(self) -> Iterator[Finding]:
        """Everything beyond the events themselves. The views are held against the events up to their checkpoint."""
        checkpoint, contents = self._views()
        reached, hash = checkpoint
        survey = Survey(self._disk)
        for part in survey:
            if isinstance(part, Damage):
                yield _of_damage(part)
                continue
            for event in part.recorded():
                self._audit.take(event, project_it=event.position <= reached)
                if event.position <= reached:
                    self._event_files.setdefault(event.stream, hashlib.sha256()).update(event_json(event))
                if event.position == reached and event.hash != hash:
                    yield Finding("warning", "view-drift", VIEWS, "the views are of another log", REBUILD)
        yield from self._check_index(survey.commit - 1)
        head = survey.position - 1
        if reached > head:
            yield Finding("warning", "view-drift", VIEWS, f"the views stand at {reached}, the log at {head}", REBUILD)
        elif reached < head:
            message = f"the views stand at {reached}, the log at {head}"
            yield Finding("info", "view-behind", VIEWS, message, "They catch up at the next reading.")
        for table in BY_TABLE:
            yield from self._audit.check_table(table, contents.get(table, {}))
        yield from self._audit.check_blobs(FileBlobs(self._disk))
        yield from self._check_folders()

    def _views(self) -> tuple[tuple[int, str], dict[str, dict[Key, Columns]]]:
        """Where the views stand, and all their tables; nothing if there are none that can be read."""
        try:
            with closing(_read_only(self._path / VIEWS)) as connection:
                connection.execute("BEGIN")
                checkpoint: tuple[int, str] = connection.execute(CHECKPOINT).fetchone() or (0, "")
                return checkpoint, {table: tables.contents(connection, table) for table in BY_TABLE}
        except sqlite3.Error:
            return (0, ""), {}

    def _check_index(self, last_commit: int) -> Iterator[Finding]:
        try:
            with closing(_read_only(self._path / INDEX)) as connection:
                row = connection.execute(WITNESS).fetchone()
                known = row[0] if row else 0
                heads = {id: (version, hash) for id, version, hash in connection.execute(HEADS)}
        except sqlite3.Error:
            return
        if known > last_commit:
            message = f"commits {last_commit + 1} to {known} were durable and are gone"
            yield Finding("error", "log-behind-index", INDEX, message, RESTORE)
        elif known == last_commit and heads != self._audit.heads:
            yield Finding(
                "warning", "index-drift", INDEX, "it disagrees with the segments", "Delete it: it is made again."
            )

    def _check_folders(self) -> Iterator[Finding]:
        fold = self._audit.fold
        outputs: dict[str, dict[str, bytes]] = {}
        for output in fold.rows(Output):
            path = output_path(output.run_id, output.task_id)
            outputs.setdefault(output.run_id, {})[path] = hashlib.sha256(output_json(output)).digest()
        for run in fold.rows(Run):
            if run.deleted_at is None and run.position:
                folder = encode_name(run.id)
                wanted = outputs.get(run.id, {})
                wanted[f"{folder}/run.json"] = hashlib.sha256(run_json(run)).digest()
                wanted[f"{folder}/events.jsonl"] = self._event_files[run.id].digest()
                yield from self._check_folder(folder, wanted)

    def _check_folder(self, folder: str, wanted: dict[str, bytes]) -> Iterator[Finding]:
        there = set(files_below(self._disk, folder))
        for path in sorted(there | wanted.keys()):
            if path not in there:
                yield Finding("warning", "file-missing", path, "the file is not there", REBUILD)
            elif path not in wanted:
                yield Finding("warning", "file-stray", path, "no event made this file", REBUILD)
            elif hashlib.sha256(read_whole(self._disk, path)).digest() != wanted[path]:
                yield Finding("warning", "file-drift", path, "the file is not what the events say", REBUILD)


def _of_damage(damage: Damage) -> Finding:
    where = f"{damage.file}, bytes {damage.offset}–{damage.offset + damage.length}"
    if damage.unfinished:
        return Finding(
            "info", "unfinished-write", where, damage.reason, "The next opening cuts it off and keeps a copy."
        )
    return Finding("error", "log-corrupt", where, damage.reason, RESTORE)


def _read_only(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, not even the files beside a database that nobody has open."""
    quiet = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{quiet}", uri=True, isolation_level=None)
