"""Turns a WfFormat trace into a run: what happened, as if an engine had recorded it here.

The run's id and its events' ids follow from the file's content, so importing it again changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from graphlib import TopologicalSorter
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import msgspec

from eventstore.errors import InvalidInput, TooLarge
from eventstore.events import (
    RunCompleted,
    RunCreated,
    RunStarted,
    TaskRunCompleted,
    TaskRunScheduled,
    TaskRunStarted,
)
from eventstore.log import Append, NewEvent
from eventstore.payload import Value
from eventstore.validate import check_name
from eventstore.values import encode_value
from projections.schedule import Interval, schedule
from projections.store import Store
from projections.wfformat import Trace, read_trace

_NAMESPACE = uuid5(NAMESPACE_URL, "https://wfcommons.org/format")


class Imported(msgspec.Struct, frozen=True):
    """The run a trace became. `repeated` if it had been imported before and nothing was written."""

    file: str
    run_id: str
    tasks: int
    edges: int
    makespan: float
    repeated: bool


def import_wfformat(store: Store, path: Path) -> Imported:
    """Import one trace as one run, in one commit: whole or not at all.

    Tasks start and end where list scheduling of the traced runtimes on the traced machines puts them.
    Raises `InvalidInput`, with the file's name, for anything that is not a trace, or too large for one commit.
    """
    return import_trace(store, read_trace(path), path)


def import_trace(store: Store, trace: Trace, path: Path) -> Imported:
    """Import a trace that was read from this file, like `import_wfformat`."""
    intervals = schedule(trace)
    run_id = f"{trace.name[:60].lstrip('$')}-{trace.digest[:8]}"
    try:
        for task in trace.tasks:
            check_name(task.id, "task id")
        appended = store.log.append([Append(run_id, list(_events(store, trace, intervals)), 0)])
    except TooLarge as error:
        raise InvalidInput(f"{path}: {error}", "Import a smaller trace.") from None
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}", "Fetch the file again.") from None
    return Imported(
        file=os.fsencode(path).decode(errors="backslashreplace"),
        run_id=run_id,
        tasks=len(trace.tasks),
        edges=sum(len(task.parents) for task in trace.tasks),
        makespan=_makespan(intervals),
        repeated=appended.repeated,
    )


def _events(store: Store, trace: Trace, intervals: dict[str, Interval]) -> Iterator[NewEvent]:
    for number, (seconds, event) in enumerate(_happenings(store, trace, intervals)):
        yield store.codec.encode(
            event,
            id=uuid5(_NAMESPACE, f"{trace.digest}/{number}"),
            time=trace.executed_at + timedelta(seconds=seconds),
        )


def _happenings(store: Store, trace: Trace, intervals: dict[str, Interval]) -> Iterator[tuple[float, msgspec.Struct]]:
    """Every event with its seconds since the start, in an order in which no task starts before its parents end."""
    keep = store.values.keep
    facts = {
        "source": "wfformat",
        "schema_version": trace.schema_version,
        "machines": trace.machines,
        "traced_makespan_s": trace.makespan,
    }
    yield 0.0, RunCreated(trace.name, trace.description, metadata=msgspec.Raw(encode_value(facts)))
    yield 0.0, RunStarted(worker="wfformat")
    for task in trace.tasks:
        meta = msgspec.Raw(encode_value(task.meta)) if task.meta else msgspec.UNSET
        yield 0.0, TaskRunScheduled(task.id, task.name, task.parents, metadata=meta)
    by_id = {task.id: task for task in trace.tasks}
    outputs = {
        task.id: keep({"task": task.id, "runtime_s": task.runtime, "machine": intervals[task.id].machine})
        for task in trace.tasks
    }
    order = TopologicalSorter({task.id: task.parents for task in trace.tasks}).static_order()
    steps = []
    for rank, task_id in enumerate(order):
        steps.append((intervals[task_id].start, rank, "start", task_id))
        steps.append((intervals[task_id].end, rank, "stop", task_id))
    for seconds, _, step, task_id in sorted(steps):
        consumed = _consumed(by_id[task_id].parents, outputs)
        if step == "start":
            yield seconds, TaskRunStarted(task_id, 1, intervals[task_id].machine, consumed, epoch=1)
        else:
            yield seconds, TaskRunCompleted(task_id, 1, outputs[task_id], consumed)
    makespan = _makespan(intervals)
    yield makespan, RunCompleted(keep({"tasks": len(trace.tasks), "makespan_s": makespan}))


def _consumed(parents: tuple[str, ...], outputs: dict[str, Value]) -> dict[str, str]:
    return {parent: outputs[parent].digest for parent in parents}


def _makespan(intervals: dict[str, Interval]) -> float:
    return max(interval.end for interval in intervals.values())
