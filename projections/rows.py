"""The rows of every view, and the patches that change them.

A row's fields are its table's columns, in order; the first ones are its key. `STREAMS` is what stands before the first
column of the key in the name of the stream that the row follows from. In a table, times are RFC 3339 text and
everything that is not text or a number is JSON text; `parse` gives a row its Python types.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import UnionType
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from eventstore.blobs import digest_of
from eventstore.board_events import BOARD_STREAM, BoardStatus
from eventstore.chain import timestamp
from eventstore.events import WORKFLOW_STREAM
from eventstore.failure import Failure
from eventstore.payload import Value

Scalar = str | int | float | None
Key = tuple[str | int, ...]

_MANY = 4
"""From so many rows on, reading them column by column is quicker."""


class Put(msgspec.Struct, frozen=True):
    """Set these columns of one row, which comes into being with the defaults for all others."""

    table: str
    key: Key
    values: Mapping[str, Scalar]


class Delete(msgspec.Struct, frozen=True):
    """Remove the row with this key, or every row whose key begins with it. Nothing happens if there is none."""

    table: str
    key: Key


Patch = Put | Delete


class Workflow(msgspec.Struct, frozen=True):
    """A workflow definition, at its newest version."""

    TABLE: ClassVar[str] = "workflows"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    STREAMS: ClassVar[str] = WORKFLOW_STREAM

    id: str
    name: str = ""
    version: int = 0
    hash: str = ""
    definition: Value | None = None
    metadata: dict[str, Any] | None = None
    saved_at: datetime | None = None
    deleted_at: datetime | None = None


class WorkflowVersion(msgspec.Struct, frozen=True):
    """What a workflow definition was at one of its versions. The metadata are the newest that this version had."""

    TABLE: ClassVar[str] = "workflow_versions"
    KEY: ClassVar[tuple[str, ...]] = ("workflow_id", "version")
    STREAMS: ClassVar[str] = WORKFLOW_STREAM

    workflow_id: str
    version: int
    name: str = ""
    hash: str = ""
    definition: Value | None = None
    metadata: dict[str, Any] | None = None
    saved_at: datetime | None = None


class Run(msgspec.Struct, frozen=True):
    """One execution of a workflow. `version` is that of the last event about the run itself, not about its tasks, and
    `claimed_version` that of the last start or resumption. `write_once` names the metadata that never change again.

    A fork is `forked_from` its origin at the origin's version `forked_version`; `inherits` is 1 if what the origin was
    then is in the fork's rows. Those of them with a version below 1 are as they were there.
    """

    TABLE: ClassVar[str] = "workflow_runs"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    STREAMS: ClassVar[str] = ""

    id: str
    workflow_name: str = ""
    status: str = "pending"
    user_message: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    waiting_reason: str | None = None
    waiting_until: datetime | None = None
    input: Value | None = None
    output: Value | None = None
    failure: Failure | None = None
    metadata: dict[str, Any] | None = None
    workflow_id: str | None = None
    workflow_version: int | None = None
    workflow_hash: str | None = None
    parent_run_id: str | None = None
    worker: str | None = None
    epoch: int = 0
    lease_until: datetime | None = None
    deleted_at: datetime | None = None
    position: int = 0
    version: int = 0
    write_once: tuple[str, ...] | None = None
    claimed_version: int = 0
    forked_from: str | None = None
    forked_version: int | None = None
    inherits: int = 0


class RunMetadata(msgspec.Struct, frozen=True):
    """One thing that a run's metadata say, by the digest of its key and value; see `metadata_digest`."""

    TABLE: ClassVar[str] = "run_metadata"
    KEY: ClassVar[tuple[str, ...]] = ("run_id", "digest")
    STREAMS: ClassVar[str] = ""

    run_id: str
    digest: str


class TaskRun(msgspec.Struct, frozen=True):
    """One task of a run. `attempt` is the newest one's number, 0 before the first. `waiting_since` is when that began
    to wait for something outside; None if it does not. `always_run` is 1 if every resumption runs the task again.
    """

    TABLE: ClassVar[str] = "task_runs"
    KEY: ClassVar[tuple[str, ...]] = ("run_id", "task_id")
    STREAMS: ClassVar[str] = ""

    run_id: str
    task_id: str
    name: str = ""
    status: str = "pending"
    attempt: int = 0
    depends_on: tuple[str, ...] | None = None
    input: Value | None = None
    metadata: dict[str, Any] | None = None
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    due: datetime | None = None
    reused_version: int | None = None
    position: int = 0
    version: int = 0
    always_run: int = 0
    waiting_since: datetime | None = None


class Attempt(msgspec.Struct, frozen=True):
    """One try of a task run. `digest` is that of its output, which the event of its end holds, at this `version`.
    `decision` is `approved` or `rejected` if it waited and somebody has decided that, and `decided_by` who, if noted.
    `inherited` is 1 if it was started in the run's origin.
    """

    TABLE: ClassVar[str] = "attempts"
    KEY: ClassVar[tuple[str, ...]] = ("run_id", "task_id", "attempt")
    STREAMS: ClassVar[str] = ""

    run_id: str
    task_id: str
    attempt: int
    status: str = "running"
    worker: str = ""
    epoch: int = 0
    consumes: dict[str, str] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure: Failure | None = None
    reason: str | None = None
    usage: dict[str, float] | None = None
    version: int = 0
    digest: str | None = None
    decision: str | None = None
    decided_by: str | None = None
    inherited: int = 0


class Output(msgspec.Struct, frozen=True):
    """The output of a task's effective completion: the one that nothing later in the run supersedes."""

    TABLE: ClassVar[str] = "node_outputs"
    KEY: ClassVar[tuple[str, ...]] = ("run_id", "task_id")
    STREAMS: ClassVar[str] = ""

    run_id: str
    task_id: str
    attempt: int = 0
    output: Value | None = None
    digest: str = ""
    consumed: dict[str, str] | None = None
    completed_at: datetime | None = None
    version: int = 0


class BlobReference(msgspec.Struct, frozen=True):
    """A stream has an event that refers to a blob."""

    TABLE: ClassVar[str] = "blob_references"
    KEY: ClassVar[tuple[str, ...]] = ("stream", "digest")
    STREAMS: ClassVar[str] = ""

    stream: str
    digest: str


class BoardTask(msgspec.Struct, frozen=True):
    """One task of the board. `claim` counts how often it was given to somebody, and fences. `manual` is 1 if it was
    blocked by hand. `version` is that of the task's last event.
    """

    TABLE: ClassVar[str] = "board_tasks"
    KEY: ClassVar[tuple[str, ...]] = ("id",)
    STREAMS: ClassVar[str] = BOARD_STREAM

    id: str
    title: str = ""
    status: BoardStatus = "ready"
    description: str = ""
    acceptance_criteria: str = ""
    tags: tuple[str, ...] | None = None
    priority: int = 0
    assignee: str | None = None
    claim: int = 0
    lease_until: datetime | None = None
    reason: str | None = None
    manual: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    position: int = 0
    version: int = 0


class BoardDependency(msgspec.Struct, frozen=True):
    """One task of the board needs another one to be done."""

    TABLE: ClassVar[str] = "board_dependencies"
    KEY: ClassVar[tuple[str, ...]] = ("task_id", "depends_on")
    STREAMS: ClassVar[str] = BOARD_STREAM

    task_id: str
    depends_on: str


Row = (
    Workflow
    | WorkflowVersion
    | Run
    | RunMetadata
    | TaskRun
    | Attempt
    | Output
    | BlobReference
    | BoardTask
    | BoardDependency
)
RowT = TypeVar("RowT", bound=Row)

ROWS: tuple[type[Row], ...] = get_args(Row)
BY_TABLE: dict[str, type[Row]] = {kind.TABLE: kind for kind in ROWS}


def duration(row: Run | TaskRun | Attempt) -> timedelta | None:
    """How long it took; None until it has ended. Never negative, though the clock may have been set back meanwhile."""
    if row.started_at is None or row.finished_at is None:
        return None
    return max(row.finished_at - row.started_at, timedelta())


def metadata_digest(key: str, value: object) -> str:
    """What stands for one thing that a run's metadata say: SHA-256 of the key and the JSON value, names sorted."""
    return json_digest([key, value])


def json_digest(value: object) -> str:
    """SHA-256 of a JSON value in one form: names sorted, no spaces, everything outside ASCII escaped.

    So the order of names means nothing, while 1, 1.0 and true differ, which to Python are equal.
    """
    return digest_of(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def shown(text: str) -> str:
    """A text as the views have it: a NUL character, which not every database can keep, shows as U+FFFD."""
    return text.replace("\0", "\ufffd")


def parse(kind: type[RowT], columns: tuple[Scalar, ...]) -> RowT:
    """The row these columns, in the order of the table, stand for."""
    values: list[Any] = [
        None if column is None else parser(column)
        for column, (parser, _) in zip(columns, _parsers(kind.TABLE), strict=True)
    ]
    return kind(*values)


def parse_all(kind: type[RowT], rows: Sequence[tuple[Scalar, ...]]) -> list[RowT]:
    """The same for many rows."""
    if len(rows) < _MANY:
        return [parse(kind, row) for row in rows]
    # Column by column, as most hold values already: a third of the time that it takes row by row.
    values: list[Sequence[Any]] = [
        column if done.issuperset(map(type, column)) else [None if c is None else parser(c) for c in column]
        for column, (parser, done) in zip(zip(*rows, strict=True), _parsers(kind.TABLE), strict=True)
    ]
    return list(map(kind, *values))


def json_column(value: object) -> str | None:
    """JSON text for a column; None for nothing at all."""
    if value is None or isinstance(value, msgspec.UnsetType) or (not value and value in ({}, ())):
        return None
    return msgspec.json.encode(value).decode()


def time_column(value: datetime | None) -> str | None:
    """A time for a column."""
    return None if value is None else timestamp(value)


@functools.cache
def defaults(table: str) -> dict[str, Scalar]:
    """The columns that are not the key, with what they hold until something is put there."""
    kind = BY_TABLE[table]
    return {field.name: field.default for field in msgspec.structs.fields(kind) if field.name not in kind.KEY}


@functools.cache
def _parsers(table: str) -> tuple[tuple[Callable[[Any], Any], frozenset[object]], ...]:
    """What makes a value of each column, and the types of those that are values already."""
    kind = BY_TABLE[table]
    hints = get_type_hints(kind)
    parsers = [_parser(hints[name]) for name in kind.__struct_fields__]
    return tuple((parser, frozenset((parser, type(None)))) for parser in parsers)


def _parser(hint: Any) -> Callable[[Any], Any]:
    if isinstance(hint, UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is Literal:
        hint = str
    if hint in (str, int, float):
        return hint  # type: ignore[no-any-return]  # it is one of these three types
    if hint is datetime:
        return datetime.fromisoformat
    return msgspec.json.Decoder(hint).decode
