"""Instances of any struct, made by Hypothesis from the types of its fields."""

from __future__ import annotations

import functools
from datetime import UTC, timedelta, timezone
from typing import Any, get_args

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from eventstore.board_events import BoardEvent
from eventstore.events import ResultRejected, RunEvent, WorkflowEvent
from eventstore.log import Purged
from eventstore.values import encode_value

from .json_values import floats, json_values, texts

VOCABULARY: tuple[type[msgspec.Struct], ...] = (
    *get_args(RunEvent),
    *get_args(WorkflowEvent),
    *get_args(BoardEvent),
    ResultRejected,
    Purged,
)

TYPES = {
    "runCreated",
    "runUpdated",
    "childRunCreated",
    "runForked",
    "runForkCreated",
    "runStarted",
    "runWaiting",
    "runResumed",
    "runLeaseRenewed",
    "runCompleted",
    "runFailed",
    "runCancelled",
    "runDeleted",
    "taskRunScheduled",
    "taskRunUpdated",
    "taskRunStarted",
    "taskRunCompleted",
    "taskRunFailed",
    "taskRunRetryScheduled",
    "taskRunSkipped",
    "taskRunCancelled",
    "taskRunInterrupted",
    "taskRunReused",
    "taskRunInvalidated",
    "taskRunWaiting",
    "taskRunApproved",
    "taskRunRejected",
    "taskCreated",
    "taskUpdated",
    "taskMoved",
    "taskUnblocked",
    "taskDependedOn",
    "taskDeleted",
    "workflowSaved",
    "workflowDeleted",
    "resultRejected",
    "streamPurged",
}
"""The names on the log. They are in the logs of users for ever: one may be added, never changed or taken away."""

raws = json_values.map(encode_value).map(msgspec.Raw)
# RFC 3339 has no seconds in an offset, and a moment near the ends of the calendar has none in UTC.
zones = st.just(UTC) | st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@functools.cache
def instances(kind: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    """Instances of a struct: any value each field may have, and every field that has a default also without one."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    required = {field.name: _values(field.type) for field in described.fields if field.required}
    optional = {field.name: _values(field.type) for field in described.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: kind(**fields))


def _values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.StructType():
            return instances(kind.cls)
        case inspect.UnionType():
            return st.one_of([_values(each) for each in kind.types])
        case inspect.StrType():
            return texts
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(-(2**63) if kind.ge is None else kind.ge, 2**64 - 1 if kind.le is None else kind.le)
        case inspect.FloatType():
            return floats
        case inspect.NoneType():
            return st.none()
        case inspect.DateTimeType():
            assert kind.tz, "a time without a zone means another moment on another machine"
            return st.datetimes(timezones=zones)
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.RawType():
            return raws
        case inspect.DictType():
            return st.dictionaries(_values(kind.key_type), _values(kind.value_type), max_size=3)
        case inspect.VarTupleType():
            return st.lists(_values(kind.item_type), max_size=3).map(tuple)
        case inspect.TupleType():
            return st.tuples(*map(_values, kind.item_types))
    raise NotImplementedError(f"no values for {kind}")
