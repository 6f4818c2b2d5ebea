"""What stands in a golden store, and how it is written: every event type there is, the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from unittest import mock
from uuid import UUID

import msgspec

from eventstore.blobs import FileBlobs
from eventstore.board_events import (
    TaskChanges,
    TaskCreated,
    TaskDeleted,
    TaskDependedOn,
    TaskMoved,
    TaskUnblocked,
    TaskUpdated,
)
from eventstore.codec import Codec, UnknownEvent
from eventstore.disk import Disk
from eventstore.events import (
    ChildRunCreated,
    ResultRejected,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunDeleted,
    RunFailed,
    RunForkCreated,
    RunForked,
    RunLeaseRenewed,
    RunResumed,
    RunStarted,
    RunUpdated,
    RunWaiting,
    TaskRunApproved,
    TaskRunCancelled,
    TaskRunCompleted,
    TaskRunFailed,
    TaskRunInterrupted,
    TaskRunInvalidated,
    TaskRunRejected,
    TaskRunRetryScheduled,
    TaskRunReused,
    TaskRunScheduled,
    TaskRunSkipped,
    TaskRunStarted,
    TaskRunUpdated,
    TaskRunWaiting,
    WorkflowDeleted,
    WorkflowSaved,
)
from eventstore.failure import Cause, Failure
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, Checkpoint, NewEvent
from eventstore.payload import Values
from eventstore.purges import purge_event

NOON = datetime(2026, 1, 31, 12, 0, 0, 123_456, UTC)
THRESHOLD = 200

Commit = tuple[dict[str, Sequence[msgspec.Struct]], Checkpoint | None]


class Charged(msgspec.Struct, frozen=True):
    """An event type of a user's own."""

    customer: str
    cents: int


def codec() -> Codec:
    """A codec that knows it."""
    known = Codec()
    known.register(Charged, "billing.charged")
    return known


def write_store(root: Path) -> None:
    """Write the store into an empty folder."""
    ids, ticks, known = count(1), count(), codec()

    def clock() -> datetime:
        return NOON + timedelta(days=1, seconds=next(ticks))

    def fixed(event: NewEvent) -> NewEvent:
        number = next(ids)
        return msgspec.structs.replace(event, id=UUID(int=number), time=NOON + timedelta(seconds=number))

    disk = Disk(root)
    values = Values(FileBlobs(disk), threshold=THRESHOLD)
    log = JsonlLog(root, clock=clock, disk=disk)
    with mock.patch("eventstore.jsonl.purge_event", lambda *purged: fixed(purge_event(*purged))):
        for streams, checkpoint in _before_the_purge(values):
            appends = [
                Append(stream, [fixed(known.encode(event, meta=_meta(stream))) for event in events])
                for stream, events in streams.items()
            ]
            log.append(appends, checkpoint=checkpoint)
        log.purge("run-gone")
    log.append([Append("run-2", [fixed(known.encode(RunDeleted("tidying up")))])], checkpoint=Checkpoint("mailer", 8))
    (scheduled,) = log.read("run-4", after=3, until=4)
    note, forked = RunForkCreated("run-5", 4), RunForked("run-4", 4, scheduled.hash, "another way")
    log.append([Append("run-4", [fixed(known.encode(note))]), Append("run-5", [fixed(known.encode(forked))])])
    log.close()


def _meta(stream: str) -> dict[str, str]:
    return {"actor": "ada", "correlation": "ü\n\u2028"} if stream == "run-1" else {}


def _before_the_purge(values: Values) -> Iterator[Commit]:
    small, large = values.keep({"rows": [1, -0.0, None, "\u2028🦄"]}), values.keep([{"row": n} for n in range(100)])
    metadata = msgspec.Raw(b'{"team":"data","cost":1.50}')
    soon = NOON + timedelta(hours=1)
    failure = Failure(
        type="app.Broken",
        message="line 1\nline 2",
        kind="exit",
        traceback="Traceback …",
        causes=(Cause("OSError", "no disk"), Cause("KeyError", "'a'")),
        retryable=True,
        code="E7",
        exit_code=3,
        signal=9,
        full=small,
    )
    saved = WorkflowSaved("report", "Report", 3, "c0ffee", large, metadata)
    yield {"$workflow/report": [saved, WorkflowDeleted("report", "superseded")]}, None
    created = RunCreated("report", "please", small, metadata, "report", 3, "c0ffee", "run-0")
    card = TaskCreated("card", "Write", "blocked", "all of it", "it reads well", ("other",), ("docs",), 5)
    yield {"run-1": [created, RunStarted("worker-1", 1, soon)], "$board/card": [card]}, Checkpoint("mailer", 2)
    yield (
        {
            "run-1": [
                TaskRunScheduled("a", "First", (), small, metadata),
                TaskRunScheduled("b", "Second", ("a",)),
                TaskRunScheduled("c"),
                TaskRunScheduled("d"),
            ]
        },
        None,
    )
    yield {"run-1": [TaskRunStarted("a", 1, "worker-1", {}, 1)]}, None
    yield {"run-1": [TaskRunFailed("a", 1, failure, {"seconds": 1.5})]}, None
    yield {"run-1": [TaskRunRetryScheduled("a", "backing off", soon), TaskRunStarted("a", 2, "worker-1", {}, 1)]}, None
    yield {"run-1": [TaskRunCompleted("a", 2, large, {}, {"seconds": 2.0, "tokens": 7})]}, None
    yield {"run-1": [TaskRunStarted("b", 1, "worker-1", {"a": large.digest}, 1)]}, None
    yield {"run-1": [RunWaiting("approval", soon), RunFailed(failure)]}, None
    yield (
        {"run-1": [RunResumed("worker-2", 2, soon, "rescued"), TaskRunInterrupted("b", 1, "its worker is gone")]},
        None,
    )
    yield {"run-1": [TaskRunReused("a", 11), TaskRunStarted("b", 2, "worker-2", {"a": large.digest}, 2)]}, None
    yield {"run-1": [TaskRunCompleted("b", 2, small, {"a": large.digest}), TaskRunSkipped("c", "not needed")]}, None
    yield {"run-1": [TaskRunCancelled("d", 0, "not wanted"), TaskRunInvalidated("b", "wrong")]}, None
    yield {"run-1": [RunCompleted(small)]}, None
    yield {"run-2": [RunCreated("report"), RunStarted(""), RunCancelled("no longer needed")]}, None
    yield {"run-gone": [RunCreated("secret", "to be removed")], "run-3": [RunCreated("kept")]}, None
    yield (
        {
            "$board/card": [
                TaskUpdated("card", TaskChanges(title=("Write", "Rewrite"))),
                TaskUnblocked("card", "other"),
                TaskMoved("card", "ready", "working", "bo", "has time"),
                TaskDeleted("card", "duplicate"),
            ]
        },
        None,
    )
    yield (
        {
            "Opaque/../1": [
                UnknownEvent("other.bytes", 7, bytes(range(256)), "application/octet-stream"),
                UnknownEvent("other.nothing", 1, b"", "text/plain"),
                UnknownEvent("other.broken", 1, b"{not json"),
                UnknownEvent("other.spelt", 1, b'{ "b":1.0, "a":1e2 }'),
                UnknownEvent("other.lines", 1, b"[1,\n2]"),
            ],
            "invoice-1": [Charged("ada", 1250)],
        },
        None,
    )
    yield {"run-gone": [RunStarted("worker-1")]}, None
    yield from _second_format(soon, values)


def _second_format(soon: datetime, values: Values) -> Iterator[Commit]:
    """What v1 had not."""
    told = RunUpdated(msgspec.Raw(b'{"team":"data","pr":12}'), ("pr",))
    child = RunCreated("part", parent_run_id="run-3")
    yield {"run-3": [told, ChildRunCreated("run-4")], "run-4": [child]}, None
    yield {"$telemetry/run-3": [ResultRejected("a", 1, 1, "fenced", "too late")]}, None
    needed, needing = TaskCreated("base", "Lay it"), TaskCreated("top", "Roof it", "blocked", depends_on=("base",))
    yield {"$board/base": [needed], "$board/top": [needing, TaskDependedOn("top", "roof")]}, None
    changes = TaskChanges(
        description=("", "all"),
        acceptance_criteria=("", "dry"),
        depends_on=(("base",), ()),
        tags=((), ("a", "b")),
        priority=(0, -3),
    )
    given = TaskMoved("top", "ready", "working", "bo", "has time", 1, soon)
    stopped = TaskMoved("top", "ready", "blocked", None, "rain", 1, manual=True)
    yield {"$board/top": [TaskUpdated("top", changes), given, stopped]}, None
    yield {"run-4": [RunStarted("worker-3", 1, soon), RunLeaseRenewed(1, soon + timedelta(hours=1))]}, None
    first, second = msgspec.Raw(b'{"fingerprint":"f1"}'), msgspec.Raw(b'{"fingerprint":"f2"}')
    yield {"run-4": [TaskRunScheduled("a", metadata=first), TaskRunUpdated("a", second)]}, None
    asked: list[msgspec.Struct] = [
        TaskRunScheduled("ask[1]", always_run=True),
        TaskRunScheduled("ask[2]"),
        TaskRunScheduled("nap"),
    ]
    for task_id, due in (("ask[1]", None), ("ask[2]", None), ("nap", soon)):
        asked += [TaskRunStarted(task_id, 1), TaskRunWaiting(task_id, 1, "a decision" if due is None else "", due)]
    asked += [TaskRunApproved("ask[1]", 1, "fine"), TaskRunCompleted("ask[1]", 1, values.keep(True))]
    asked += [TaskRunRejected("ask[2]", 1, "late"), TaskRunFailed("ask[2]", 1, Failure(type="Rejected"))]
    yield {"run-1": asked}, None
