"""Workflow histories of Temporal, as its command line, web pages and libraries write them in JSON.

A history is a list of events, numbered from 1. What an event says beside its time and type stands in an object that is
named for the type. There are two spellings of types, EVENT_TYPE_TIMER_FIRED and TimerFired; here it is timerFired.
Nobody vouches for such files: size, nesting, order and references are checked before anything acts on them.
"""

from __future__ import annotations

import hashlib
import re
import reprlib
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from eventstore.errors import InvalidInput
from eventstore.values import MAX_DEPTH, deeper_than
from projections.packed import decode_json, read_packed
from projections.temporal_values import value_of

MAX_HISTORY_BYTES = 256 * 1024 * 1024
"""The most a history may come to, decompressed."""

WHOLE = "Export the whole history, as JSON."
STARTED = "workflowExecutionStarted"
ENDS = frozenset(
    f"workflowExecution{end}" for end in ("Completed", "Failed", "TimedOut", "Canceled", "Terminated", "ContinuedAsNew")
)

_T = TypeVar("_T")
_HISTORY = "a history of Temporal"
_SHOUTED = re.compile(r"EVENT_TYPE((?:_[A-Z0-9]+)+)")
_SPELT = re.compile(r"[A-Z][A-Za-z0-9]*")
_QUOTES = reprlib.Repr()
_QUOTES.maxstring = 80  # the middle of a longer one is left out

_Name = Annotated[str, msgspec.Meta(max_length=1_000)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Named(msgspec.Struct, frozen=True):
    """A type of workflows or activities, or a task queue."""

    name: _Name = ""


class Execution(msgspec.Struct, frozen=True, rename="camel"):
    """One execution of a workflow. Its run id is its own; its workflow id may be used again once it has ended."""

    workflow_id: _Name = ""
    run_id: _Name = ""


class Attributes(msgspec.Struct, frozen=True, rename="camel"):
    """What events of all types say, as far as their meaning here depends on it."""

    workflow_type: Named = Named()
    workflow_id: _Name = ""
    original_execution_run_id: _Name = ""
    first_execution_run_id: _Name = ""
    continued_execution_run_id: _Name = ""
    new_execution_run_id: _Name = ""
    new_run_id: _Name = ""
    parent_workflow_execution: Execution | None = None
    activity_id: _Name = ""
    activity_type: Named = Named()
    task_queue: Named = Named()
    timer_id: _Name = ""
    start_to_fire_timeout: str = ""
    signal_name: _Name = ""
    operation: _Name = ""
    identity: _Name = ""
    reason: str = ""
    cause: object = None
    attempt: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    scheduled_event_id: _Count = 0
    started_event_id: _Count = 0
    initiated_event_id: _Count = 0
    workflow_task_completed_event_id: _Count = 0
    input: object = None
    result: object = None
    failure: dict[str, object] | None = None
    last_failure: dict[str, object] | None = None


class _UserMetadata(msgspec.Struct, frozen=True):
    summary: object = None


class _Entry(msgspec.Struct, frozen=True, rename="camel"):
    event_id: _Count
    event_time: datetime
    event_type: str
    user_metadata: _UserMetadata | None = None


class HistoryEvent(msgspec.Struct, frozen=True):
    """An event. `json` is the whole of it as it stands in the file, but for white space."""

    id: int
    type: str
    time: datetime
    attributes: Attributes
    summary: object
    json: bytes


class History(msgspec.Struct, frozen=True):
    """An execution's events, from its start: numbered from 1 without holes, and none after its end, if it has ended.

    `run_id` is the one Temporal knows it by, "" if it does not say. `digest` is the SHA-256, in hex, of the events.
    """

    run_id: str
    events: tuple[HistoryEvent, ...]
    digest: str


class _File(msgspec.Struct, frozen=True):
    events: list[msgspec.Raw]


def read_history(path: Path) -> History:
    """Read a history from a JSON file, compressed by gzip or not, whatever its name says.

    Raises `InvalidInput`, naming the file, for anything but the history of one execution from its start.
    """
    try:
        return _history(read_packed(path, MAX_HISTORY_BYTES))
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.reason}", error.hint) from None


def _history(data: bytes) -> History:
    if deeper_than(data, MAX_DEPTH):
        raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels", "No history of Temporal is.")
    if data.lstrip().startswith(b"["):
        raws = decode_json(data, list[msgspec.Raw], _HISTORY, WHOLE)
    else:
        raws = decode_json(data, _File, _HISTORY, WHOLE).events
    if not raws:
        raise InvalidInput("has no events", WHOLE)
    events = tuple(_event(raw, number) for number, raw in enumerate(raws, 1))
    if events[0].type != STARTED:
        raise InvalidInput(f"begins with {_QUOTES.repr(events[0].type)}, not with {STARTED!r}", WHOLE)
    for event, following in pairwise(events):
        if following.type == STARTED or event.type in ENDS:
            raise InvalidInput(
                f"goes on with another execution after event {event.id}", "Import each execution by itself."
            )
    digest = hashlib.sha256(b"\n".join(event.json for event in events)).hexdigest()
    # A reset makes a new execution, whose history begins with the events of the old one.
    resets = [event.attributes.new_run_id for event in events if event.type == "workflowTaskFailed"]
    own = [run_id for run_id in (events[0].attributes.original_execution_run_id, *resets) if run_id]
    return History(own[-1] if own else "", events, digest)


def _event(raw: msgspec.Raw, number: int) -> HistoryEvent:
    fields = decode_json(raw, dict[str, object], _HISTORY, WHOLE)
    entry = _converted(fields, _Entry, number)
    if entry.event_id != number:
        raise InvalidInput(f"event {entry.event_id} stands where event {number} should", WHOLE)
    try:
        time = entry.event_time.astimezone(UTC) if entry.event_time.tzinfo else None
    except OverflowError:
        time = None
    if time is None:
        raise InvalidInput(f"event {number} has the time {entry.event_time}, without a zone or out of range", WHOLE)
    type = _type(entry.event_type, number)
    summary = entry.user_metadata and entry.user_metadata.summary
    return HistoryEvent(
        id=number,
        type=type,
        time=time,
        attributes=_converted(fields.get(f"{type}EventAttributes") or {}, Attributes, number),
        summary=value_of(summary) if summary else None,
        json=msgspec.json.format(raw, indent=-1),
    )


def _type(spelt: str, number: int) -> str:
    shouted = _SHOUTED.fullmatch(spelt)
    name = "".join(word.capitalize() for word in shouted[1].split("_")) if shouted else spelt
    if len(name) > 200 or not _SPELT.fullmatch(name):
        raise InvalidInput(f"event {number} has the type {_QUOTES.repr(spelt)}", "Temporal has no such event type.")
    return name[0].lower() + name[1:]


def _converted(fields: object, kind: type[_T], number: int) -> _T:
    """The fields that are known. Integers of 64 bits stand in texts, as Protobuf has it; null stands for nothing."""
    given = {name: value for name, value in fields.items() if value is not None} if isinstance(fields, dict) else fields
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"event {number} is not as Temporal writes it: {error}", WHOLE) from None
