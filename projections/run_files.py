"""A folder of plain files for each run, for people and their tools: `run.json`, `events.jsonl`, `outputs/<task>.json`.

They are a view like any other: made from the log, never read by this library, made again when they are missing. They
are brought up to date together with the tables, before their checkpoint moves; a crash in between leaves files that
are ahead of the checkpoint, which the next pass notices by the size of `events.jsonl` and writes anew. A folder that
cannot be written holds nothing up: it is written whole at the run's next event. Other people's files stay.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

import msgspec

from eventstore.blobs import blob_path
from eventstore.chain import timestamp
from eventstore.disk import APPEND, Disk, replace, unavailable, write_whole
from eventstore.line import event_line
from eventstore.log import RecordedEvent
from eventstore.names import encode_name
from eventstore.session import Session
from projections import tables
from projections.rows import Delete, Output, Patch, Run

ReadStream = Callable[[str], Iterator[RecordedEvent]]
"""The events of a stream."""

SIZE = "SELECT size FROM main.run_files WHERE run_id = $1"
SET_SIZE = "INSERT INTO main.run_files VALUES ($1, $2) ON CONFLICT (run_id) DO UPDATE SET size = excluded.size"
FORGET_SIZE = "DELETE FROM main.run_files WHERE run_id = $1"
GONE = """SELECT run_id FROM main.run_files
    WHERE run_id NOT IN (SELECT id FROM main.workflow_runs WHERE deleted_at IS NULL)"""
RUN = "WHERE id = $1 AND deleted_at IS NULL"
LIVE_RUNS = "WHERE deleted_at IS NULL ORDER BY position"
OUTPUTS = "WHERE run_id = $1"
OUTPUT = "WHERE run_id = $1 AND task_id = $2"
WITH_OUTPUT = "SELECT task_id FROM main.node_outputs WHERE run_id = $1"

_logger = logging.getLogger("eventstore")


class RunFiles:
    """Keeps the folders of all runs."""

    def __init__(self, disk: Disk, read_stream: ReadStream) -> None:
        self._disk, self._read_stream = disk, read_stream

    def follow(self, session: Session, events: Sequence[RecordedEvent], patches: Sequence[Patch]) -> None:
        """Bring the folders up to date with tables that have just taken these events and patches."""
        by_run: dict[str, list[RecordedEvent]] = {}
        for event in events:
            by_run.setdefault(event.stream, []).append(event)
        purged = {str(patch.key[0]) for patch in patches if isinstance(patch, Delete) and patch.table == Run.TABLE}
        for run_id in dict.fromkeys([*by_run, *purged]):
            try:
                rows = tables.select(session, Run, RUN, (run_id,))
                if not rows:
                    self._remove(session, run_id)
                elif (
                    run_id in purged
                    or not self._append(session, run_id, by_run[run_id])
                    or not self._follow_rows(session, rows[0], [p for p in patches if p.key[0] == run_id])
                ):
                    self.write(session, rows[0], events[-1].position)
            except OSError as error:
                session.rows(FORGET_SIZE, (run_id,))
                _logger.warning("the folder of run %r could not be written: %s", run_id, error)

    def rebuild(self, session: Session, position: int) -> None:
        """Write all folders anew, for tables that stand at this position, and remove those of runs that are gone."""
        try:
            for (run_id,) in session.rows(GONE):
                self._remove(session, run_id)
            for run in tables.select(session, Run, LIVE_RUNS):
                self.write(session, run, position)
        except OSError as error:
            raise unavailable(error, "cannot write the run folders") from error

    def write(self, session: Session, run: Run, position: int) -> None:
        """Write one run's whole folder from the log and the tables, and remove outputs that are no more."""
        folder = encode_name(run.id)
        wanted = self.contents(session, run, position)
        for path, data in wanted.items():
            self._put(path, data)
        for path in list(own_files(self._disk, folder)):
            if path not in wanted:
                self._disk.remove(path)
        session.rows(SET_SIZE, (run.id, len(wanted[f"{folder}/events.jsonl"])))

    def contents(self, session: Session, run: Run, position: int) -> dict[str, bytes]:
        """What a run's folder holds, by path, when the tables stand at this position of the log."""
        folder = encode_name(run.id)
        events = takewhile(lambda event: event.position <= position, self._read_stream(run.id))
        outputs = tables.select(session, Output, OUTPUTS, (run.id,))
        return {
            f"{folder}/run.json": run_json(run),
            f"{folder}/events.jsonl": b"".join(map(event_json, events)),
            **{output_path(output.run_id, output.task_id): output_json(output) for output in outputs},
        }

    def _append(self, session: Session, run_id: str, events: Sequence[RecordedEvent]) -> bool:
        """Append to a run's `events.jsonl`; False, and nothing done, if it is not as long as it should be."""
        sizes = session.rows(SIZE, (run_id,))
        if not sizes and events[0].version > 1:
            return False
        path = f"{encode_name(run_id)}/events.jsonl"
        if not sizes:
            self._make_folders(path)
        try:
            file = self._disk.open(path, APPEND)
        except FileNotFoundError:
            return False
        try:
            size = self._disk.size(file)
            if size != (sizes[0][0] if sizes else 0):
                return False
            data = b"".join(map(event_json, events))
            write_whole(self._disk, file, data)
        finally:
            self._disk.close(file)
        session.rows(SET_SIZE, (run_id, size + len(data)))
        return True

    def _follow_rows(self, session: Session, run: Run, patches: Sequence[Patch]) -> bool:
        """Bring the other files up to date. False if some are missing that this does not touch: all outputs are
        looked for whenever the run itself changes, and not more often, which would cost too much in large runs.
        """
        folder = encode_name(run.id)
        changed = any(patch.table == Run.TABLE for patch in patches)
        if changed or not self._disk.exists(f"{folder}/run.json"):
            self._put(f"{folder}/run.json", run_json(run))
        for task_id in dict.fromkeys(str(patch.key[1]) for patch in patches if patch.table == Output.TABLE):
            rows = tables.select(session, Output, OUTPUT, (run.id, task_id))
            if rows:
                self._put(output_path(run.id, task_id), output_json(rows[0]))
            else:
                with contextlib.suppress(FileNotFoundError):
                    self._disk.remove(output_path(run.id, task_id))
        if not changed:
            return True
        wanted = {output_path(run.id, task_id) for (task_id,) in session.rows(WITH_OUTPUT, (run.id,))}
        return wanted.issubset(own_files(self._disk, folder))

    def _put(self, path: str, data: bytes) -> None:
        try:
            replace(self._disk, path, data, durable=False)
        except FileNotFoundError:
            self._make_folders(path)
            replace(self._disk, path, data, durable=False)

    def _make_folders(self, path: str) -> None:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            self._disk.make_directory("/".join(parts[:depth]))

    def _remove(self, session: Session, run_id: str) -> None:
        """Remove a folder that this library has made, as far as the sizes or its `events.jsonl` tell."""
        folder = encode_name(run_id)
        if not session.rows(SIZE, (run_id,)) and not self._disk.exists(f"{folder}/events.jsonl"):
            return
        session.rows(FORGET_SIZE, (run_id,))
        for path in list(own_files(self._disk, folder)):
            self._disk.remove(path)
        self._remove_folders(f"{folder}/outputs")
        while folder:  # a long id has several
            with contextlib.suppress(OSError):
                self._disk.remove_directory(folder)
            folder = folder.rpartition("/")[0]

    def _remove_folders(self, folder: str) -> None:
        for name in self._disk.names(folder):
            self._remove_folders(f"{folder}/{name}")
        with contextlib.suppress(OSError):
            self._disk.remove_directory(folder)


def own_files(disk: Disk, folder: str) -> Iterator[str]:
    """The paths of all files in a run's folder that this library has made, half-written ones of a crash included."""
    for name in disk.names(folder):
        if name in ("run.json", "events.jsonl") or (name.startswith("_") and name.endswith(".new")):
            yield f"{folder}/{name}"
    yield from files_below(disk, f"{folder}/outputs")


def files_below(disk: Disk, folder: str) -> Iterator[str]:
    """The paths of all files in a folder and the folders in it."""
    for name in disk.names(folder):
        path = f"{folder}/{name}"
        try:
            yield from files_below(disk, path)
        except NotADirectoryError:
            yield path


def run_json(run: Run) -> bytes:
    """The run's row, laid out for reading; `version` tells how fresh it is."""
    return msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n"


def event_json(event: RecordedEvent) -> bytes:
    """The event as one line."""
    opening = f'{{"position":{event.position},"recorded_at":"{timestamp(event.recorded_at)}",'
    return opening.encode() + msgspec.json.encode(event_line(event))[1:] + b"\n"


def output_path(run_id: str, task_id: str) -> str:
    """Where a task's output file stands, relative to the store."""
    return f"{encode_name(run_id)}/outputs/{encode_name(task_id)}.json"


def output_json(output: Output) -> bytes:
    """The output with where it came from; a large one is named by its blob's path."""
    row = msgspec.structs.asdict(output)
    value = row.pop("output")
    if value is not None and isinstance(value.json, msgspec.UnsetType):
        row |= {"blob": blob_path(value.digest), "size": value.size, "preview": value.preview}
    elif value is not None:
        row["output"] = value.json
    return msgspec.json.encode(row) + b"\n"
