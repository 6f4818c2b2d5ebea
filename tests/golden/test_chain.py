"""The hash of an event, pinned: a store's proof that nothing was changed is worth nothing if it changes itself."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventstore.chain import GENESIS, event_hash, timestamp
from eventstore.log import NewEvent, RecordedEvent

EVENT = NewEvent(
    type="taskRunStarted",
    data=b'{"task_id":"a","attempt":1}',
    id=UUID("01949e6c-6d00-7000-8000-00000000002a"),
    schema=1,
    time=datetime(2026, 1, 31, 13, 30, 0, 5, timezone(timedelta(hours=1, minutes=30))),
    meta={"correlation": "c-1", "actor": "Zoë"},
    content_type="application/json",
)
HASH = "a810133fded5f6fccfab3cb786fd8d74a01f8558071f7eaadd11570b76625de1"


def test_the_hash_is_that_of_the_fields_each_behind_its_length() -> None:
    by_hand = b"".join(
        length.to_bytes(8, "big") + field
        for length, field in [
            (0, b""),
            (6, b"r\xc3\xbcn-1"),
            (1, b"1"),
            (16, bytes.fromhex("01949e6c6d007000800000000000002a")),
            (14, b"taskRunStarted"),
            (1, b"1"),
            (27, b"2026-01-31T12:00:00.000005Z"),
            (16, b"application/json"),
            (36, b'{"correlation":"c-1","actor":"Zo\xc3\xab"}'),
            (27, b'{"task_id":"a","attempt":1}'),
        ]
    )

    assert event_hash(GENESIS, "rün-1", 1, EVENT) == hashlib.sha256(by_hand).hexdigest() == HASH


CHANGES: dict[str, Any] = {
    "type": "taskRunStartee",
    "data": b'{"task_id":"b","attempt":1}',
    "id": UUID("01949e6c-6d00-7000-8000-00000000002b"),
    "schema": 2,
    "time": EVENT.time + timedelta(microseconds=1),
    "meta": {"actor": "Zoë", "correlation": "c-1"},
    "content_type": "application/jso",
}


def test_any_change_to_what_its_writer_said_is_another_hash() -> None:
    assert set(CHANGES) == set(NewEvent.__struct_fields__)
    hashes = [
        HASH,
        event_hash(HASH, "rün-1", 1, EVENT),
        event_hash(GENESIS, "run-1", 1, EVENT),
        event_hash(GENESIS, "rün-1", 2, EVENT),
        *(
            event_hash(GENESIS, "rün-1", 1, msgspec.structs.replace(EVENT, **{field: value}))
            for field, value in CHANGES.items()
        ),
    ]

    assert len(set(hashes)) == len(hashes)


def test_what_moves_from_one_field_to_the_next_is_another_hash() -> None:
    moved = msgspec.structs.replace(EVENT, type="taskRunStarted1", schema=1)

    assert event_hash(GENESIS, "s", 1, moved) != event_hash(GENESIS, "s", 1, msgspec.structs.replace(EVENT, schema=11))


def test_the_hash_does_not_depend_on_where_and_when_the_event_was_recorded() -> None:
    """So the chain is the same after a copy to another backend."""
    fields = {name: getattr(EVENT, name) for name in NewEvent.__struct_fields__}
    recorded = RecordedEvent(position=9, commit=8, stream="rün-1", version=1, recorded_at=EVENT.time, hash="", **fields)

    assert event_hash(GENESIS, "rün-1", 1, recorded) == HASH


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.just(UTC)))
def test_a_time_has_one_form_wherever_it_was_written(time: datetime) -> None:
    elsewhere = time.astimezone(timezone(timedelta(hours=5, minutes=45)))

    assert timestamp(elsewhere) == timestamp(time)
    assert datetime.fromisoformat(timestamp(time)) == time
    assert len(timestamp(time)) == 27


def test_a_time_of_a_class_made_from_datetime_has_the_same_form() -> None:
    class Moment(datetime):
        """As a library for data has one."""

    assert timestamp(Moment(2026, 1, 31, 12, 0, 0, 5, UTC)) == timestamp(EVENT.time) == "2026-01-31T12:00:00.000005Z"
