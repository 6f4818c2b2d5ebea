"""No event is written that could not be read, and none is read that is not what its type says."""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventstore.board_events import TaskMoved
from eventstore.codec import Codec
from eventstore.errors import InvalidInput, InvalidValue, TooLarge, UnsupportedSchema
from eventstore.events import RunCreated, RunFailed, RunWaiting, TaskRunCompleted, TaskRunStarted
from eventstore.failure import Failure
from eventstore.log import NewEvent
from eventstore.payload import Value
from projections import open_store

from .json_values import Box, Planted, nested, planted

CREATED = RunCreated("etl")
STARTED = TaskRunStarted("a", 1)
COMPLETED = TaskRunCompleted("a", 1, Value("d", 1, preview="x"))

WRONG: dict[str, tuple[msgspec.Struct, dict[str, Any], str]] = {
    "a number for a text": (CREATED, {"workflow_name": 5}, "$.workflow_name"),
    "a text for a number": (STARTED, {"attempt": "1"}, "$.attempt"),
    "a number no table holds": (CREATED, {"workflow_version": 2**63}, "$.workflow_version"),
    "a number below zero": (STARTED, {"attempt": -1}, "$.attempt"),
    "a time without a zone": (RunWaiting("x"), {"until": datetime.fromisoformat("2026-01-02")}, "$.until"),
    "an unknown status": (TaskMoved("t", "ready", "done"), {"new": "lost"}, "$.new"),
    "nothing where something must be": (COMPLETED, {"output": None}, "$.output"),
    "a fault deep inside": (
        COMPLETED,
        {"output": msgspec.structs.replace(COMPLETED.output, size="many")},
        "$.output.size",
    ),
    "raw bytes that are not JSON": (CREATED, {"metadata": msgspec.Raw(b"nope")}, "$"),
    "a NaN": (COMPLETED, {"usage": {"cost": math.nan}}, "$.usage.cost"),
    "a lone surrogate": (RunFailed(Failure(type="E")), {"failure": Failure(type="\udcff")}, "$.failure.type"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_field_that_could_not_be_read_again_is_refused_with_its_path(kind: str) -> None:
    event, wrong, path = WRONG[kind]

    with pytest.raises(InvalidValue) as caught:
        Codec().encode(msgspec.structs.replace(event, **wrong))

    assert caught.value.path == path


def test_a_wrong_argument_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """One event that nobody can read would break every view for ever."""
    anything: Any = 5
    with open_store(f"jsonl:{tmp_path}") as store:
        store.create_run("etl", run_id="run")
        store.start_run("run")
        wrongs: list[Callable[[], object]] = [
            lambda: store.create_run(anything),
            lambda: store.create_run("etl", workflow_version=2**63),
            lambda: store.wait_run("run", anything),
            lambda: store.wait_run("run", "x", until=datetime.fromisoformat("2026-01-02")),
            lambda: store.complete_run("run", orjson.Fragment(b"{")),
            lambda: store.cancel_run("run", "\ud800"),
        ]
        for wrong in wrongs:
            with pytest.raises(InvalidValue):
                wrong()
        assert store.log.head() == 2
        assert [run.status for run in store.list_runs()] == ["running"]


class Noted(msgspec.Struct, frozen=True):
    """An event type of a user's own that says nothing about what is in it."""

    content: Any = None


def codec_with(kind: type[msgspec.Struct]) -> Codec:
    codec = Codec()
    codec.register(kind, f"my.{kind.__name__.lower()}")
    return codec


class Fraught(enum.Enum):
    NAN = math.nan
    HUGE = 2**64


@dataclass
class Hidden:
    _content: object


LOST: dict[str, object] = {
    "a NaN": math.nan,
    "an infinity": -math.inf,
    "an integer beyond 64 bits": 2**64,
    "a negative integer beyond 64 bits": -(2**63) - 1,
    "an integer beyond all bounds": 10**5_000,
    "an enum's NaN": Fraught.NAN,
    "an enum's huge integer": Fraught.HUGE,
    "a lone surrogate": "x\ud800",
    "a lone surrogate in a key": {"\udfff": 1},
    "a NaN as a key": {math.nan: 1},
    "an infinity as a key": {-math.inf: 1},
    "an integer beyond 64 bits as a key": {2**70: 1},
    "keys that become the same text": {1: "a", "1": "b"},
    "a NaN in a set": {math.nan},
    "an object": object(),
    "a complex number": 1j,
    "a deque": deque([1]),
    "a generator": (number for number in range(3)),
    "a key that is a tuple": {(1, 2): 1},
}


@pytest.mark.parametrize("kind", LOST)
def test_what_would_not_come_back_is_refused_with_its_path_inside_a_users_own_struct(kind: str) -> None:
    codec = codec_with(Noted)

    for content, path in (
        (LOST[kind], "$.content"),
        ({"rows": [None, {"price": LOST[kind]}]}, "$.content.rows[1].price"),
        (Noted([Box((1, LOST[kind]))]), "$.content.content[0].content[1]"),
        (Hidden([LOST[kind]]), "$.content._content[0]"),
    ):
        with pytest.raises(InvalidValue) as caught:
            codec.encode(Noted(content))
        assert (type(caught.value), caught.value.path) == (InvalidValue, path)


@given(planted(st.sampled_from([math.nan, -math.inf, 2**64, "\ud800"])))
@example(Planted(math.nan, "$"))
def test_a_fault_anywhere_inside_a_users_own_struct_is_found(case: Planted) -> None:
    with pytest.raises(InvalidValue) as caught:
        codec_with(Noted).encode(Noted(case.value))
    assert caught.value.path == case.path.replace("$", "$.content", 1)


@pytest.mark.parametrize(
    "content", ["null", '"nan" and "inf"', "1" * 40, {"nan": 1, "inf": None}, [None, -0.0, 2**64 - 1]]
)
def test_what_only_looks_like_a_fault_comes_back(content: object) -> None:
    codec = codec_with(Noted)

    assert repr(codec.decode(codec.encode(Noted(content)))) == repr(Noted(content))


def test_an_event_may_nest_a_little_deeper_than_a_value_and_no_more() -> None:
    codec = codec_with(Noted)
    event = Noted(nested(list, 143, None))

    assert codec.decode(codec.encode(event)) == event
    for levels in (144, 1_000, 100_000):
        for kind in (list, dict, Noted):
            with pytest.raises(TooLarge, match="nested deeper than 144 levels"):
                codec.encode(Noted(_nested_structs(levels) if kind is Noted else nested(kind, levels, None)))


def _nested_structs(levels: int) -> Noted:
    event = Noted()
    for _ in range(levels):
        event = Noted(event)
    return event


def test_an_event_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append({"again": endless})

    with pytest.raises(TooLarge, match="contains itself"):
        codec_with(Noted).encode(Noted(endless))


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"", "$"),
        (b"[", "$"),
        (b"[]", "$"),
        (b"null", "$"),
        (b"{}", "$"),
        (b"\xff", "$"),
        (b'{"task_id":"\xff","attempt":1}', "$"),
        (b'{"task_id":"a","attempt":1} {}', "$"),
        (b'{"task_id":"a","attempt":1.5}', "$.attempt"),
        (b'{"task_id":"a","attempt":1e400}', "$.attempt"),
        (b'{"task_id":"a","attempt":-1}', "$.attempt"),
        (b'{"task_id":null,"attempt":1}', "$.task_id"),
        (b'{"task_id":"a","attempt":1,"consumes":{"b":2}}', "$.consumes[...]"),
    ],
    ids=repr,
)
def test_data_that_is_not_what_its_type_says_is_refused_with_the_path(data: bytes, path: str) -> None:
    with pytest.raises(InvalidValue, match="not a taskRunStarted") as caught:
        Codec().decode(NewEvent(type="taskRunStarted", data=data))
    assert caught.value.path == path


@given(
    st.sampled_from(["runCreated", "taskRunCompleted", "taskUpdated", "streamPurged"]), st.binary(), st.integers(0, 2)
)
def test_any_bytes_under_a_known_type_are_an_event_or_a_typed_error(name: str, data: bytes, schema: int) -> None:
    try:
        Codec().decode(NewEvent(type=name, data=data, schema=schema))
    except (InvalidValue, UnsupportedSchema):
        return
    assert data.lstrip()[:1] == b"{"


def test_an_unregistered_type_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Noted is not a registered event type") as caught:
        Codec().encode(Noted())
    assert caught.value.hint
