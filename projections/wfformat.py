"""Workflow traces in WfFormat, the JSON of WfCommons: what ran, after what, for how long and where.

Version 1.4 keeps a task's place in the workflow and its measurements together, and refers to tasks by id or
name; version 1.5 splits them into a specification and an execution, and refers by id. Nobody vouches for such
files: size, nesting, references, cycles and numbers are checked here, before anything acts on them.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import reprlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, TypedDict

import msgspec

from eventstore.errors import InvalidInput
from eventstore.values import MAX_DEPTH, deeper_than
from projections.packed import FETCH_AGAIN, decode_json, read_packed

VERSIONS = ("1.4", "1.5")

MAX_TRACE_BYTES = 256 * 1024 * 1024
"""The most a trace may come to, decompressed."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRACE = "a WfFormat trace"
_TOOLS = "WfCommons and its tools write them."
_WHOLE = "Import a trace of a whole execution."
_QUOTES = reprlib.Repr()
_QUOTES.maxstring = 80  # the middle of a longer one is left out


class TraceTask(msgspec.Struct, frozen=True):
    """One executed task.

    `runtime` is in seconds, `machines` are node names, `cores` is how many it asked for, fractions rounded
    up. `meta` has what the trace tells, and no key for the rest: `command` (`program`, `arguments`), `cpu`
    (average use in %), `memory`, `read_bytes`, `written_bytes` (in bytes), `energy_kwh`, `power_w`,
    `priority`.
    """

    id: str
    name: str
    parents: tuple[str, ...]
    runtime: float
    machines: tuple[str, ...]
    cores: int
    meta: dict[str, object]


class Trace(msgspec.Struct, frozen=True):
    """One execution of a workflow: its tasks in the file's order, free of cycles.

    `machines` maps node names to their number of cores, where the trace knows it. `makespan` is the measured
    one, in seconds. `digest` is the SHA-256, in hex, of the decompressed file.
    """

    name: str
    description: str
    schema_version: str
    executed_at: datetime
    machines: dict[str, int]
    tasks: tuple[TraceTask, ...]
    makespan: float | None
    digest: str


_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Name = Annotated[str, msgspec.Meta(max_length=1_000)]
_Cores = Annotated[float, msgspec.Meta(ge=1, le=2**31)]
_Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | float


class _Version(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: str


class _Command(TypedDict, total=False):
    program: str | None
    arguments: list[str] | None


class _Measures(msgspec.Struct, frozen=True, rename="camel"):
    """What goes into `meta`, under these names."""

    command: _Command | None = None
    cpu: _Number | None = msgspec.field(name="avgCPU", default=None)
    memory: _Number | None = msgspec.field(name="memoryInBytes", default=None)
    read_bytes: _Number | None = None
    written_bytes: _Number | None = None
    energy_kwh: _Number | None = msgspec.field(name="energyInKWh", default=None)
    power_w: _Number | None = msgspec.field(name="avgPowerInW", default=None)
    priority: _Number | None = None


class _Entry(_Measures, frozen=True, rename="camel"):
    """A task where it is specified, where it is executed or, in 1.4, both."""

    id: _Name = ""
    name: _Name = ""
    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    runtime_in_seconds: float | None = None
    machine: _Name | None = None
    machines: tuple[_Name, ...] = ()
    core_count: _Cores | None = None
    cores: _Cores | None = None  # 1.4, and some tools that write 1.5
    energy: _Number | None = None  # 1.4
    avg_power: _Number | None = None  # 1.4


class _Cpu(msgspec.Struct, frozen=True, rename="camel"):
    core_count: _Cores | None = None
    count: _Cores | None = None  # 1.4


class _Machine(msgspec.Struct, frozen=True, rename="camel"):
    node_name: _Text
    cpu: _Cpu | None = None


class _Section(msgspec.Struct, frozen=True, rename="camel"):
    tasks: tuple[_Entry, ...] = ()
    machines: tuple[_Machine, ...] = ()
    makespan_in_seconds: float | None = None
    executed_at: object = None


class _Workflow(_Section, frozen=True):
    specification: _Section = _Section()
    execution: _Section = _Section()


class _File(msgspec.Struct, frozen=True, rename="camel"):
    name: _Text
    workflow: _Workflow
    description: str | None = None
    created_at: object = None


def read_trace(path: Path) -> Trace:
    """Read a trace from a JSON file, compressed by gzip or not, whatever its name says.

    A time without a zone counts as UTC. Without a readable `executedAt` the trace is dated by `createdAt`,
    and without that by the Unix epoch. Raises `InvalidInput`, naming the file, for anything but such a
    trace.
    """
    try:
        return _trace(read_packed(path, MAX_TRACE_BYTES))
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.reason}", error.hint) from None


def _trace(data: bytes) -> Trace:
    if deeper_than(data, MAX_DEPTH):
        raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels", "No WfFormat trace is.")
    version = decode_json(data, _Version, _TRACE, _TOOLS).schema_version
    if version not in VERSIONS:
        hint = f"Convert it to a version that can be read: {', '.join(VERSIONS)}."
        raise InvalidInput(f"WfFormat version {_QUOTES.repr(version)} is not supported", hint)
    file = decode_json(data, _File, _TRACE, _TOOLS)
    specified, executed = file.workflow.specification, file.workflow.execution
    if version == "1.4":
        specified = executed = _with_ids(file.workflow)
    tasks = _tasks(specified.tasks, executed.tasks)
    executed_at = _first_time(executed.executed_at, file.created_at)
    try:
        # No schedule takes longer than one task after the other.
        executed_at + timedelta(seconds=math.fsum(task.runtime for task in tasks))
    except OverflowError:
        raise InvalidInput("its runtimes reach beyond the year 9999", "They are in seconds.") from None
    cpus = {machine.node_name: machine.cpu or _Cpu() for machine in executed.machines}
    return Trace(
        name=file.name,
        description=file.description or "",
        schema_version=version,
        executed_at=executed_at,
        machines={name: int(cores) for name, cpu in cpus.items() if (cores := cpu.core_count or cpu.count)},
        tasks=tasks,
        makespan=executed.makespan_in_seconds,
        digest=hashlib.sha256(data).hexdigest(),
    )


def _with_ids(workflow: _Workflow) -> _Section:
    """A workflow of 1.4 with what 1.5 has: an id for each task, references by id, runtimes and newer names.

    A missing runtime is zero, as in WfCommons' own migration.
    """
    bearers = Counter(entry.name for entry in workflow.tasks)
    ids = {entry.name: entry.id or entry.name for entry in workflow.tasks if bearers[entry.name] == 1}
    ids |= {entry.id: entry.id for entry in workflow.tasks}
    entries = (
        msgspec.structs.replace(
            entry,
            id=entry.id or entry.name,
            parents=tuple(ids.get(parent, parent) for parent in entry.parents),
            children=tuple(ids.get(child, child) for child in entry.children),
            runtime_in_seconds=entry.runtime_in_seconds or 0.0,
            energy_kwh=entry.energy,
            power_w=entry.avg_power,
        )
        for entry in workflow.tasks
    )
    return msgspec.structs.replace(workflow, tasks=tuple(entries))


def _tasks(specified: tuple[_Entry, ...], executed: tuple[_Entry, ...]) -> tuple[TraceTask, ...]:
    if not specified:
        raise InvalidInput("has no tasks", _WHOLE)
    entries, runs = _by_id(specified, "tasks"), _by_id(executed, "execution entries")
    for run in runs:
        if run not in entries:
            raise InvalidInput(f"execution entry {_QUOTES.repr(run)} belongs to no task", FETCH_AGAIN)
    for task in entries:
        if task not in runs:
            raise InvalidInput(f"task {_QUOTES.repr(task)} has no execution entry", _WHOLE)
    parents = _parents(entries)
    return tuple(_task(entry, tuple(parents[task]), runs[task]) for task, entry in entries.items())


def _by_id(entries: tuple[_Entry, ...], what: str) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    for entry in entries:
        if not entry.id:
            raise InvalidInput(f"one of its {what} has no id", FETCH_AGAIN)
        if entry.id in found:
            raise InvalidInput(f"two of its {what} have the id {_QUOTES.repr(entry.id)}", FETCH_AGAIN)
        found[entry.id] = entry
    return found


def _parents(entries: dict[str, _Entry]) -> dict[str, dict[str, None]]:
    """Each task's parents, in order and once each, by what both ends of an edge say. Refuses cycles."""
    parents = {task: dict.fromkeys(entry.parents) for task, entry in entries.items()}
    for task, entry in entries.items():
        for other in (*entry.parents, *entry.children):
            if other not in entries:
                kind = "parent" if other in entry.parents else "child"
                told = f"task {_QUOTES.repr(task)} has the unknown {kind} {_QUOTES.repr(other)}"
                raise InvalidInput(told, FETCH_AGAIN)
        for child in entry.children:
            parents[child][task] = None
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        path = [_QUOTES.repr(task) for task in error.args[1]]
        shown = path if len(path) <= 6 else [*path[:4], f"{len(path) - 5} more", path[-1]]
        raise InvalidInput(f"its tasks wait for each other: {' → '.join(shown)}", "Break the cycle.") from None
    return parents


def _task(entry: _Entry, parents: tuple[str, ...], run: _Entry) -> TraceTask:
    runtime = run.runtime_in_seconds
    if runtime is None or runtime < 0:
        told = "no runtime" if runtime is None else f"the negative runtime {runtime}"
        raise InvalidInput(f"task {_QUOTES.repr(entry.id)} has {told}", "Runtimes are in seconds, from 0.")
    told_of = {name: getattr(run, name) for name in _Measures.__struct_fields__}
    return TraceTask(
        id=entry.id,
        name=entry.name or entry.id,
        parents=parents,
        runtime=runtime,
        machines=run.machines or ((run.machine,) if run.machine else ()),
        cores=math.ceil(run.core_count or run.cores or 1),
        meta={name: value for name, value in told_of.items() if value is not None},
    )


def _first_time(*notations: object) -> datetime:
    """The first that can be read: ISO 8601 in any form, or with the month first, as in 05-10-23T16:23:32Z."""
    for text in notations:
        for read in (datetime.fromisoformat, _month_first):
            with contextlib.suppress(TypeError, ValueError, OverflowError):
                time = read(text)  # type: ignore[arg-type]  # what is no text is a TypeError
                return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    return _EPOCH


def _month_first(text: str) -> datetime:
    return datetime.strptime(text, "%m-%d-%yT%H:%M:%S%z")
