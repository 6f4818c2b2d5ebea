"""A folder of plain files for each run, for people and their tools: `run.json`, `events.jsonl`, `outputs/<task>.json`.

They are a view like any other: made from the log, never read by this library, made again when they are missing. A
folder that is not as it was left, by the size of its `events.jsonl`, is written whole at the run's next event, and so
is one that could not be written. Other people's files stay.
"""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import takewhile

import msgspec

from eventstore.blobs import blob_path
from eventstore.chain import timestamp
from eventstore.disk import APPEND, Disk, read_whole, replace, write_whole
from eventstore.line import event_line
from eventstore.log import RecordedEvent
from eventstore.names import encode_name
from eventstore.session import Session
from projections import tables
from projections.rows import Delete, Output, Patch, Run

ReadStream = Callable[[str], Iterator[RecordedEvent]]
"""The events of a stream."""
Sizes = dict[str, int | None]
"""How long each run's `events.jsonl` is; None where there is none, or its folder could not be written."""

SIZE = "SELECT size FROM main.run_files WHERE run_id = $1"
GONE = """SELECT run_id FROM main.run_files
    WHERE run_id NOT IN (SELECT id FROM main.workflow_runs WHERE deleted_at IS NULL)"""
DELETED = "SELECT id FROM main.workflow_runs WHERE deleted_at IS NOT NULL"
LIVE = "SELECT id FROM main.workflow_runs WHERE deleted_at IS NULL ORDER BY position"
RUN = "WHERE id = $1 AND deleted_at IS NULL"
OUTPUTS = "WHERE run_id = $1"
OUTPUT = "WHERE run_id = $1 AND task_id = $2"
WITH_OUTPUT = "SELECT task_id FROM main.node_outputs WHERE run_id = $1"

_logger = logging.getLogger("eventstore")


class _News(msgspec.Struct, frozen=True):
    """What has come for one run since its folder was written; `run` is None if it is gone."""

    run: Run | None
    size: int | None
    changed: bool
    made_again: bool
    events: Sequence[RecordedEvent]
    outputs: Mapping[str, Output | None]
    with_output: Collection[str]


class RunFiles:
    """Writes the folders of runs. `reading` begins a transaction of the views, for rows."""

    def __init__(
        self, disk: Disk, read_stream: ReadStream, reading: Callable[[], AbstractContextManager[Session]]
    ) -> None:
        self._disk, self._read_stream, self._reading = disk, read_stream, reading

    def follow(self, events: Sequence[RecordedEvent], patches: Sequence[Patch]) -> tuple[Sizes, OSError | None]:
        """Bring the folders up to date with tables that have taken these events and patches, and maybe later ones.

        Also returns the error of one that could not be written, if there is one.
        """
        events_of, patches_of = defaultdict[str, list[RecordedEvent]](list), defaultdict[str, list[Patch]](list)
        for event in events:
            events_of[event.stream].append(event)
        for patch in patches:
            patches_of[str(patch.key[0])].append(patch)
        purged = purged_runs(patches)

        def bring_up(run_id: str) -> int | None:
            news = self._news(run_id, events_of.get(run_id, ()), patches_of.get(run_id, ()), run_id in purged)
            return self._follow_run(run_id, news, events[-1].position)

        return _each(dict.fromkeys([*events_of, *purged]), bring_up)

    def rebuild(self, position: int, purged: Collection[str]) -> tuple[Sizes, OSError | None]:
        """Write all folders anew, for tables that stand at this position or later, and remove those of runs that are
        gone: deleted, or purged at any time. Returns what `follow` does.
        """
        with self._reading() as session:
            known = {run_id for (run_id,) in session.rows(GONE)}
            deleted = [run_id for (run_id,) in session.rows(DELETED)]
            live = dict.fromkeys(run_id for (run_id,) in session.rows(LIVE))
        gone = {run_id: None for run_id in (*known, *deleted, *purged) if run_id not in live}
        removed, failed = _each(gone, lambda run_id: self._remove(run_id, known=run_id in known))
        written, error = _each(live, partial(self._write, position=position))
        return removed | written, failed or error

    def _news(self, run_id: str, events: Sequence[RecordedEvent], patches: Sequence[Patch], made_again: bool) -> _News:
        changed = any(patch.table == Run.TABLE for patch in patches)
        keys = (patch.key for patch in patches if patch.table == Output.TABLE)
        task_ids = dict.fromkeys(str(key[1]) for key in keys if len(key) > 1)  # else all go, and the run as well
        with self._reading() as session:
            run = next(iter(tables.select(session, Run, RUN, (run_id,))), None)
            (size,) = next(iter(session.rows(SIZE, (run_id,))), (None,))
            outputs = {id: next(iter(tables.select(session, Output, OUTPUT, (run_id, id))), None) for id in task_ids}
            with_output = [id for (id,) in session.rows(WITH_OUTPUT, (run_id,))] if changed else []
        return _News(run, size, changed, made_again, events, outputs, with_output)

    def _follow_run(self, run_id: str, news: _News, position: int) -> int | None:
        if news.run is None:
            return self._remove(run_id, known=news.size is not None)
        if news.made_again:
            return self._write(run_id, position)
        size = self._append(run_id, news)
        if size is None or not self._follow_rows(news.run, news):
            return self._write(run_id, position)
        return size

    def _write(self, run_id: str, position: int) -> int | None:
        """Write one run's whole folder from the log and the tables, and remove outputs that are no more."""
        with self._reading() as session:
            run = next(iter(tables.select(session, Run, RUN, (run_id,))), None)
            wanted = self.contents(session, run, position) if run else {}
        if run is None:
            return self._remove(run_id, known=True)
        folder = encode_name(run_id)
        there = set(own_files(self._disk, folder))
        for path, data in wanted.items():
            if path not in there or not self._holds(path, data):
                self._put(path, data)
        for path in there - wanted.keys():
            self._disk.remove(path)
        return len(wanted[f"{folder}/events.jsonl"])

    def _holds(self, path: str, data: bytes) -> bool:
        """Whether a file has this content already. With this look, rebuilding takes a quarter of the time if little is
        wrong.
        """
        return self._disk.status(path)[0] == len(data) and read_whole(self._disk, path) == data

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

    def _append(self, run_id: str, news: _News) -> int | None:
        """Append to a run's `events.jsonl`, and say how long it is. None, and nothing done, if it is not as long as it
        should be.
        """
        if news.size is None and news.events[0].version > 1:
            return None
        path = f"{encode_name(run_id)}/events.jsonl"
        if news.size is None:
            self._make_folders(path)
        try:
            file = self._disk.open(path, APPEND)
        except FileNotFoundError:
            return None
        try:
            size = self._disk.size(file)
            if size != (news.size or 0):
                return None
            data = b"".join(map(event_json, news.events))
            write_whole(self._disk, file, data)
        finally:
            self._disk.close(file)
        return size + len(data)

    def _follow_rows(self, run: Run, news: _News) -> bool:
        """Bring the other files up to date. False if some are missing that this does not touch: all outputs are
        looked for whenever the run itself changes, and not more often, which would cost too much in large runs.
        """
        folder = encode_name(run.id)
        if news.changed or not self._disk.exists(f"{folder}/run.json"):
            self._put(f"{folder}/run.json", run_json(run))
        for task_id, output in news.outputs.items():
            path = output_path(run.id, task_id)
            if output is not None:
                self._put(path, output_json(output))
            else:
                with contextlib.suppress(FileNotFoundError):
                    self._disk.remove(path)
        if not news.changed:
            return True
        wanted = {output_path(run.id, task_id) for task_id in news.with_output}
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

    def _remove(self, run_id: str, *, known: bool) -> int | None:
        """Remove a folder that this library has made, as far as it is known or its `events.jsonl` tells."""
        folder = encode_name(run_id)
        if not known and not self._disk.exists(f"{folder}/events.jsonl"):
            return None
        for path in list(own_files(self._disk, folder)):
            self._disk.remove(path)
        self._remove_folders(f"{folder}/outputs")
        while folder:  # a long id has several
            with contextlib.suppress(OSError):
                self._disk.remove_directory(folder)
            folder = folder.rpartition("/")[0]
        return None

    def _remove_folders(self, folder: str) -> None:
        for name in self._disk.names(folder):
            self._remove_folders(f"{folder}/{name}")
        with contextlib.suppress(OSError):
            self._disk.remove_directory(folder)


def purged_runs(patches: Iterable[Patch]) -> dict[str, None]:
    """The runs that these patches remove altogether."""
    return {str(patch.key[0]): None for patch in patches if isinstance(patch, Delete) and patch.table == Run.TABLE}


def _each(run_ids: Iterable[str], do: Callable[[str], int | None]) -> tuple[Sizes, OSError | None]:
    """Do it with each run's folder. One that cannot be written holds no other up."""
    sizes, failed = Sizes(), None
    for run_id in run_ids:
        try:
            sizes[run_id] = do(run_id)
        except OSError as error:
            sizes[run_id], failed = None, error
            _logger.warning("the folder of run %r could not be written: %s", run_id, error)
    return sizes, failed


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
