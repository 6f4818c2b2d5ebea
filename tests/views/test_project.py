"""The one function behind every view is pure, and makes only patches that every view can take."""

from __future__ import annotations

import copy
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import Codec, UnknownEvent
from eventstore.events import RunCreated, TaskRunCompleted, TaskRunStarted
from eventstore.log import PURGES, Append, NewEvent, RecordedEvent
from eventstore.memory import MemoryLog
from eventstore.payload import Value
from projections.fold import Fold
from projections.project import project
from projections.rows import BY_TABLE, Put, parse
from tests.stores import NOON
from tests.views.histories import RUN_IDS, events


def recorded(event: msgspec.Struct | NewEvent, stream: str) -> RecordedEvent:
    new = event if isinstance(event, NewEvent) else Codec().encode(event, id=UUID(int=7), time=NOON)
    return MemoryLog(clock=lambda: NOON).append([Append(stream, [new])]).events[0]


@given(event=events(), stream=st.sampled_from(RUN_IDS))
def test_the_same_event_makes_the_same_patches_every_time(event: msgspec.Struct | NewEvent, stream: str) -> None:
    place = recorded(event, stream)
    decoded = Codec().decode(place)
    untouched = copy.deepcopy((decoded, place))
    assert list(project(decoded, place)) == list(project(decoded, place))
    assert (decoded, place) == untouched


@given(event=events(), stream=st.sampled_from(RUN_IDS))
def test_patches_name_columns_there_are_and_hold_what_a_column_can(
    event: msgspec.Struct | NewEvent, stream: str
) -> None:
    place = recorded(event, stream)
    for patch in project(Codec().decode(place), place):
        kind = BY_TABLE[patch.table]
        if isinstance(patch, Put):
            assert len(patch.key) == len(kind.KEY)
            assert set(patch.values) <= set(kind.__struct_fields__[len(kind.KEY) :])
            assert all(value is None or type(value) in (str, int, float) for value in patch.values.values())


@given(event=events(), stream=st.sampled_from(RUN_IDS))
def test_every_row_that_an_event_makes_has_its_python_types(event: msgspec.Struct | NewEvent, stream: str) -> None:
    folded = Fold.of([recorded(event, stream)], Codec())
    for table, rows in folded.tables.items():
        for key, columns in rows.items():
            row = parse(BY_TABLE[table], (*key, *columns.values()))
            assert msgspec.convert(msgspec.structs.asdict(row), BY_TABLE[table], strict=False) == row


def test_an_event_of_an_unknown_type_means_nothing() -> None:
    event = UnknownEvent("billing.charged", 3, b'{"task_id":"a"}')
    assert list(project(event, recorded(event, "run"))) == []


def test_a_purge_takes_back_all_that_was_folded_before_it() -> None:
    log, codec = MemoryLog(), Codec()
    kept = [TaskRunStarted("a", 1), TaskRunCompleted("a", 1, Value("digest", 1, json=msgspec.Raw(b"1")))]
    for stream in ("purged", "kept"):
        log.append([Append(stream, [codec.encode(event) for event in (RunCreated("flow"), *kept)])])
    before = list(log.read_all())
    log.purge("purged")
    (purge,) = log.read(PURGES)
    assert Fold.of([*before, purge], codec).tables == Fold.of(log.read_all(), codec).tables
