"""Event types of a user's own: registered, appended, read back typed, and kept whole by who does not know them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import Codec, UnknownEvent
from eventstore.errors import InvalidInput
from eventstore.events import RunCreated
from eventstore.jsonl import JsonlLog
from eventstore.log import JSON, Append, Log, NewEvent, Purged
from eventstore.memory import MemoryLog

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Line(msgspec.Struct, frozen=True):
    item: str
    price: Decimal


class Charged(msgspec.Struct, frozen=True, omit_defaults=True):
    customer: UUID
    lines: tuple[Line, ...]
    on: date
    paid: bool = False
    weights: dict[int, float] = {}
    raw: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    signature: bytes = b""


class Refunded(msgspec.Struct, frozen=True):
    reason: str


CHARGED = Charged(
    UUID(int=7),
    (Line("tea \u2028 \U0001f375", Decimal("1.10")), Line("", Decimal("-0"))),
    date(2026, 1, 31),
    weights={1: -0.0, 2: 5e-324},
    raw=msgspec.Raw(b'{"b":1.0,"a":[1e2, 18446744073709551615]}'),
    signature=bytes(range(256)),
)


def billing() -> Codec:
    codec = Codec()
    codec.register(Charged, "billing.charged")
    codec.register(Refunded, "billing.refunded")
    return codec


def jsonl_log(folder: Path) -> Log:
    return JsonlLog(folder)


def memory_log(folder: Path) -> Log:
    return MemoryLog()


@pytest.mark.parametrize("open_log", [memory_log, jsonl_log])
def test_a_registered_type_is_appended_and_read_back_typed(open_log: Callable[[Path], Log], tmp_path: Path) -> None:
    codec, log = billing(), open_log(tmp_path)
    given = [CHARGED, RunCreated("etl"), Refunded("late")]
    log.append([Append("invoice-1", [codec.encode(event) for event in given])])

    found = list(log.read("invoice-1"))

    assert [codec.decode(event) for event in found] == given
    assert [event.type for event in found] == ["billing.charged", "runCreated", "billing.refunded"]
    log.close()


@pytest.mark.parametrize("open_log", [memory_log, jsonl_log])
def test_a_reader_without_the_class_rewrites_the_event_and_loses_nothing(
    open_log: Callable[[Path], Log], tmp_path: Path
) -> None:
    codec, stranger = billing(), Codec()
    first, second = open_log(tmp_path / "first"), open_log(tmp_path / "second")
    given = codec.encode(CHARGED, id=UUID(int=1), time=NOON, meta={"actor": "ada"})
    (original,) = first.append([Append("invoice-1", [given])]).events

    for event in first.read_all():
        unknown = stranger.decode(event)
        assert isinstance(unknown, UnknownEvent)
        again = stranger.encode(unknown, id=event.id, time=event.time, meta=event.meta)
        second.append([Append(event.stream, [again])])

    (copy,) = second.read_all()
    assert codec.decode(copy) == CHARGED
    assert copy.hash == original.hash, "the chain covers type, schema, content type, time, meta and every byte"
    first.close()
    second.close()


@given(
    st.builds(
        UnknownEvent,
        st.text(min_size=1).map(lambda name: f"other.{name}"),
        st.integers(1, 2**63 - 1),
        st.binary(),
        st.sampled_from([JSON, "application/cbor"]) | st.text(),
    )
)
def test_any_unknown_event_comes_back_as_it_is(event: UnknownEvent) -> None:
    codec = Codec()
    encoded = codec.encode(event)

    assert (encoded.type, encoded.schema, encoded.data, encoded.content_type) == (
        event.type,
        event.schema,
        event.data,
        event.content_type,
    )
    assert codec.decode(encoded) == event


def test_a_known_type_in_another_form_than_json_is_unknown_too() -> None:
    event = NewEvent(type="runCreated", data=b"\xa1\x61\x78", content_type="application/cbor", schema=9)

    assert Codec().decode(event) == UnknownEvent("runCreated", 9, b"\xa1\x61\x78", "application/cbor")


def test_an_event_is_given_a_fresh_id_and_the_current_time_unless_told() -> None:
    codec = Codec()
    before = datetime.now(UTC)
    first, second = codec.encode(RunCreated("a")), codec.encode(RunCreated("a"))
    told = codec.encode(RunCreated("a"), id=UUID(int=5), time=NOON, meta={"actor": "ada"})

    assert first.id != second.id
    assert before <= first.time <= second.time <= before + timedelta(hours=1)
    assert (told.id, told.time, told.meta) == (UUID(int=5), NOON, {"actor": "ada"})


def test_codecs_do_not_share_what_they_are_told() -> None:
    billing()

    with pytest.raises(InvalidInput):
        Codec().encode(Refunded("late"))


def test_registering_the_same_again_does_nothing() -> None:
    codec = billing()
    codec.register(Charged, "billing.charged")

    assert codec.encode(Refunded("late")).type == "billing.refunded"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Refunded, "billing.charged"),
        (Charged, "billing.paid"),
        (RunCreated, "billing.run"),
        (Purged, "billing.purged"),
    ],
    ids=lambda part: part if isinstance(part, str) else str(part.__name__),
)
def test_a_type_has_one_name_and_a_name_one_type(kind: type[msgspec.Struct], name: str) -> None:
    codec = billing()

    with pytest.raises(InvalidInput, match="is registered already, for schema version 1 of"):
        codec.register(kind, name)

    assert codec.encode(CHARGED).type == "billing.charged"
    assert codec.encode(RunCreated("etl")).type == "runCreated"


def test_a_type_has_one_schema_version_at_a_time() -> None:
    with pytest.raises(InvalidInput, match=r"billing\.charged is registered already, for schema version 1 of Charged"):
        billing().register(Charged, "billing.charged", schema=2, upcasters={1: dict})


@pytest.mark.parametrize("name", ["", "charged", "runCreated", "streamPurged"])
def test_a_name_without_a_dot_is_for_the_vocabulary_alone(name: str) -> None:
    with pytest.raises(InvalidInput, match="has no dot") as caught:
        Codec().register(Charged, name)
    assert "billing.charged" in caught.value.hint
