"""A folder of plain files for each run, for people and their tools: `run.json`, `events.jsonl`, `outputs/<task>.json`.

They are a view like any other: made from the log, never read by this library, made again when they are missing. A
folder that is not as it was left, by the size of its `events.jsonl`, is written whole at the run's next event, and so
is one that could not be written. Other people's files stay.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import groupby

import msgspec

from eventstore.blobs import blob_path
from eventstore.chain import timestamp
from eventstore.disk import APPEND, READ, Disk, replace, write_whole
from eventstore.line import event_line
from eventstore.log import Log, RecordedEvent
from eventstore.names import encode_name
from eventstore.session import Session
from projections import tables
from projections.rows import Delete, Output, Patch, Run
from projections.run_filter import json_texts

Files = dict[str, bytes]
"""What is in files, by their paths in a run's folder."""
Sizes = dict[str, int | None]
"""How long each run's `events.jsonl` is; None where there is none, or its folder could not be written."""

SIZE = "SELECT size FROM main.run_files WHERE run_id = $1"
GONE = """SELECT run_id FROM main.run_files
    WHERE run_id NOT IN (SELECT id FROM main.workflow_runs WHERE deleted_at IS NULL)"""
DELETED = "SELECT id FROM main.workflow_runs WHERE deleted_at IS NOT NULL"
LIVE = "SELECT id FROM main.workflow_runs WHERE deleted_at IS NULL ORDER BY position"
RUN = "WHERE id = $1 AND deleted_at IS NULL"
RUNS = "WHERE id IN (SELECT value FROM main.json_each($1)) AND deleted_at IS NULL"
OUTPUTS = "WHERE run_id IN (SELECT value FROM main.json_each($1))"
OUTPUT = "WHERE run_id = $1 AND task_id = $2"
OUTPUTS_OF = "WHERE run_id = $1 AND task_id IN (SELECT value FROM main.json_each($2))"
WITH_OUTPUT = "SELECT task_id FROM main.node_outputs WHERE run_id = $1"

_EVENTS_AT_ONCE = 2_000

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
    """Writes the folders of runs. `reading` begins a transaction of the views, for rows; `pause` is called after each
    file.
    """

    def __init__(
        self,
        disk: Disk,
        log: Log,
        reading: Callable[[], AbstractContextManager[Session]],
        pause: Callable[[], object] = lambda: None,
    ) -> None:
        self._disk, self._log, self._reading, self._pause = disk, log, reading, pause

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
        for run_ids in self._bunches(live):
            files = self._contents(run_ids, position)
            written, error = _each(run_ids, partial(self._write, files))
            removed, failed = removed | written, failed or error
        return removed, failed

    def _bunches(self, run_ids: Iterable[str]) -> Iterator[list[str]]:
        """The runs, so many at a time that their events can be held at once: read together, they cost each commit of
        several runs only once.
        """
        bunch, events = list[str](), 0
        for run_id in run_ids:
            bunch.append(run_id)
            events += self._log.version(run_id)
            if events >= _EVENTS_AT_ONCE:
                yield bunch
                bunch, events = [], 0
        if bunch:
            yield bunch

    def _news(self, run_id: str, events: Sequence[RecordedEvent], patches: Sequence[Patch], made_again: bool) -> _News:
        changed = any(patch.table == Run.TABLE for patch in patches)
        keys = (patch.key for patch in patches if patch.table == Output.TABLE)
        task_ids = dict.fromkeys(str(key[1]) for key in keys if len(key) > 1)  # else all go, and the run as well
        with self._reading() as session:
            run = next(iter(tables.select(session, Run, RUN, (run_id,))), None)
            (size,) = next(iter(session.rows(SIZE, (run_id,))), (None,))
            outputs = dict[str, Output | None].fromkeys(task_ids)
            if outputs:
                found = tables.select(session, Output, OUTPUTS_OF, (run_id, json_texts(outputs)))
                outputs |= {output.task_id: output for output in found}
            with_output = [id for (id,) in session.rows(WITH_OUTPUT, (run_id,))] if changed else []
        return _News(run, size, changed, made_again, events, outputs, with_output)

    def _follow_run(self, run_id: str, news: _News, position: int) -> int | None:
        if news.run is None:
            return self._remove(run_id, known=news.size is not None)
        size = None if news.made_again else self._append(run_id, news)
        if size is None or not self._follow_rows(news.run, news):
            return self._write(self._contents([run_id], position), run_id)
        return size

    def _write(self, contents: Mapping[str, Files], run_id: str) -> int | None:
        """Write a run's whole folder, and remove outputs that are no more."""
        files = contents.get(run_id)
        if files is None:
            return self._remove(run_id, known=True)
        folder = encode_name(run_id)
        there = set(own_files(self._disk, folder))
        self._put(folder, files, there)
        for path in there - files.keys():
            self._disk.remove(f"{folder}/{path}")
        return len(files["events.jsonl"])

    def _contents(self, run_ids: Sequence[str], position: int) -> dict[str, Files]:
        with self._reading() as session:
            return self.contents(session, run_ids, position)

    def contents(self, session: Session, run_ids: Sequence[str], position: int) -> dict[str, Files]:
        """What is in the folders of those of these runs that are there, with the events up to this position, at which
        the tables stand or have stood.
        """
        ids = json_texts(run_ids)
        runs = {run.id: run for run in tables.select(session, Run, RUNS, (ids,))}
        lines: dict[str, list[bytes]] = {run_id: [] for run_id in runs}
        for event in self._log.read_all(until=position, streams=list(runs)) if runs else ():
            lines[event.stream].append(event_json(event))
        found = {
            run.id: {"run.json": run_json(run), "events.jsonl": b"".join(lines.pop(run.id))} for run in runs.values()
        }
        for output in tables.select(session, Output, OUTPUTS, (ids,)):
            if output.run_id in found:
                found[output.run_id][output_path(output.task_id)] = output_json(output)
        return found

    def _append(self, run_id: str, news: _News) -> int | None:
        """Append to a run's `events.jsonl`, and say how long it is. None, and nothing done, if it is not as long as it
        should be.
        """
        if news.size is None and news.events[0].version > 1:
            return None
        folder = encode_name(run_id)
        if news.size is None:
            self._make_folders(folder)
        try:
            file = self._disk.open(f"{folder}/events.jsonl", APPEND)
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
        files = Files()
        if news.changed or not self._disk.exists(f"{folder}/run.json"):
            files["run.json"] = run_json(run)
        for task_id, output in news.outputs.items():
            path = output_path(task_id)
            if output is not None:
                files[path] = output_json(output)
            else:
                with contextlib.suppress(FileNotFoundError):
                    self._disk.remove(f"{folder}/{path}")
        self._put(folder, files)
        return not news.changed or set(map(output_path, news.with_output)).issubset(own_files(self._disk, folder))

    def _put(self, folder: str, files: Files, there: Collection[str] = ()) -> None:
        """Write files, but for those that are there with this content already: rebuilding takes half of the time
        with this look, if little is wrong.
        """
        for inner, paths in groupby(sorted(files, key=_folder_of), _folder_of):
            with self._inside(f"{folder}/{inner}".rstrip("/")) as disk:
                for path in paths:
                    name = path.rpartition("/")[2]
                    if path not in there or not _holds(disk, name, files[path]):
                        replace(disk, name, files[path], durable=False)
                        self._pause()

    @contextlib.contextmanager
    def _inside(self, folder: str) -> Iterator[Disk]:
        """A folder, made if it is not there."""
        with contextlib.ExitStack() as stack:
            try:
                disk = stack.enter_context(self._disk.inside(folder))
            except FileNotFoundError:
                self._make_folders(folder)
                disk = stack.enter_context(self._disk.inside(folder))
            yield disk

    def _make_folders(self, folder: str) -> None:
        parts = folder.split("/")
        for depth in range(1, len(parts) + 1):
            self._disk.make_directory("/".join(parts[:depth]))

    def _remove(self, run_id: str, *, known: bool) -> int | None:
        """Remove a folder that this library has made, as far as it is known or its `events.jsonl` tells."""
        folder = encode_name(run_id)
        if not known and not self._disk.exists(f"{folder}/events.jsonl"):
            return None
        for path in list(own_files(self._disk, folder)):
            self._disk.remove(f"{folder}/{path}")
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


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _holds(disk: Disk, name: str, data: bytes) -> bool:
    try:
        file = disk.open(name, READ | os.O_NONBLOCK)  # or a pipe that was put there would wait for a writer
    except OSError:  # it is replaced then, whatever it is
        return False
    try:
        return disk.size(file) == len(data) and disk.read(file, len(data), 0) == data
    finally:
        disk.close(file)


def own_files(disk: Disk, folder: str) -> Iterator[str]:
    """The paths in a run's folder of all files that this library has made, half-written ones of a crash included."""
    for name in disk.names(folder):
        if name in ("run.json", "events.jsonl") or (name.startswith("_") and name.endswith(".new")):
            yield name
    yield from (f"outputs/{path}" for path in files_below(disk, f"{folder}/outputs"))


def files_below(disk: Disk, folder: str) -> Iterator[str]:
    """The paths in a folder of all files in it and in the folders in it."""
    for name, is_folder in disk.entries(folder):
        if is_folder:
            yield from (f"{name}/{path}" for path in files_below(disk, f"{folder}/{name}"))
        else:
            yield name


def run_json(run: Run) -> bytes:
    """The run's row, laid out for reading; `version` tells how fresh it is."""
    return msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n"


def event_json(event: RecordedEvent) -> bytes:
    """The event as one line."""
    opening = f'{{"position":{event.position},"recorded_at":"{timestamp(event.recorded_at)}",'
    return opening.encode() + msgspec.json.encode(event_line(event))[1:] + b"\n"


def output_path(task_id: str) -> str:
    """Where a task's output file stands in its run's folder."""
    return f"outputs/{encode_name(task_id)}.json"


def output_json(output: Output) -> bytes:
    """The output with where it came from; a large one is named by its blob's path."""
    row = msgspec.structs.asdict(output)
    value = row.pop("output")
    if value is not None and isinstance(value.json, msgspec.UnsetType):
        row |= {"blob": blob_path(value.digest), "size": value.size, "preview": value.preview}
    elif value is not None:
        row["output"] = value.json
    return msgspec.json.encode(row) + b"\n"
