"""A value comes back as it was given, or in the plain form the documentation names."""

from __future__ import annotations

import enum
import json
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventstore.errors import InvalidValue
from eventstore.values import decode_value, encode_value

from .json_values import Box, json_values, scalars, texts

offsets = st.builds(timezone, st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)))


def round_trip(value: object) -> Any:
    return decode_value(encode_value(value))


@given(json_values)
@example("\u2028\u2029\x85\x7f\x00\x1f\ufeff\uffff\U0001f984")
@example([0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e16, 1e22, 1e23])
@example([2**53 + 1, -(2**63), 2**63, 2**64 - 1, 1, 1.0, True, 0, False, None])
@example({"": {"": [[], {}]}, "null": None, "a.b": 1, "\x00": "\x00"})
@example("null")
def test_any_json_value_comes_back_exactly(value: object) -> None:
    """The texts that Python writes for them are equal, so signs of zero, types and the order of keys are too."""
    data = encode_value(value)

    assert repr(decode_value(data)) == repr(value)
    assert repr(json.loads(data)) == repr(value), "another reader of JSON must see the same"
    assert b"\n" not in data


@given(json_values)
def test_equal_values_have_equal_bytes(value: object) -> None:
    assert encode_value(round_trip(value)) == encode_value(value)


@given(st.lists(json_values, max_size=4).map(tuple))
def test_a_tuple_comes_back_as_a_list(value: tuple[object, ...]) -> None:
    assert round_trip(value) == list(value)


@given(st.dictionaries(st.integers(-(2**63), 2**63 - 1), scalars, max_size=5))
def test_number_keys_come_back_as_text(value: dict[int, object]) -> None:
    assert repr(round_trip([value])) == repr([{str(key): item for key, item in value.items()}])


class Colour(enum.Enum):
    RED = "red"
    RGB = (255, 0.5, None)


class Level(enum.IntEnum):
    HIGH = 3


class Name(enum.StrEnum):
    ADA = "ada"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


def test_keys_of_other_kinds_come_back_as_text() -> None:
    given = {
        True: 1,
        None: 2,
        1.5: 3,
        -0.0: 4,
        Colour.RED: 5,
        Level.HIGH: 6,
        UUID(int=1): 7,
        date(2026, 1, 2): 8,
        datetime(2026, 1, 2, tzinfo=UTC): 9,
        "text": 10,
    }

    assert list(round_trip(given)) == [
        "true",
        "null",
        "1.5",
        "-0.0",
        "red",
        "3",
        "00000000-0000-0000-0000-000000000001",
        "2026-01-02",
        "2026-01-02T00:00:00+00:00",
        "text",
    ]


@given(st.datetimes(timezones=st.none() | offsets))
@example(datetime(1937, 1, 1, 12, tzinfo=timezone(timedelta(minutes=19, seconds=32))))
@example(datetime(1, 1, 1))
@example(datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC))
def test_a_datetime_comes_back_as_text_for_the_same_moment(moment: datetime) -> None:
    found = datetime.fromisoformat(round_trip(moment))

    assert (found, found.utcoffset()) == (moment, moment.utcoffset())


@given(st.dates() | st.times(timezones=st.none() | offsets) | st.uuids())
def test_dates_times_and_uuids_come_back_as_their_text(value: date | time | UUID) -> None:
    assert round_trip([value]) == [str(value)]


class Moment(datetime):
    """As the libraries make it that put another class in datetime's place."""


def test_a_subclass_of_datetime_is_a_datetime() -> None:
    assert round_trip(Moment(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05+00:00"


def test_enums_come_back_as_their_values() -> None:
    given = [Colour.RED, Colour.RGB, Level.HIGH, Name.ADA, Access.READ | Access.WRITE]

    assert repr(round_trip(given)) == repr(["red", [255, 0.5, None], 3, "ada", 3])


class Text(str):
    pass


class Count(int):
    pass


class Rows(list[object]):
    pass


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Text("x"), "x"),
        (Count(5), 5),
        (Rows([1, Text("y")]), [1, "y"]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (defaultdict(list, a=[None]), {"a": [None]}),
        ({Text("k"): 1}, {"k": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_subclasses_come_back_as_what_they_extend(value: object, plain: object) -> None:
    assert repr(round_trip(value)) == repr(plain)


@dataclass(slots=True)
class Slotted:
    first: object = 1


@dataclass
class Inheriting(Slotted):
    second: object = 2


@dataclass(frozen=True)
class Private:
    _secret: object = None
    shared: ClassVar[int] = 5
    made: list[object] = field(default_factory=list, init=False)


@given(json_values, texts)
def test_a_dataclass_comes_back_as_a_dictionary_of_its_fields(content: object, label: str) -> None:
    assert repr(round_trip([Box(Box(content), label)])) == repr(
        [{"content": {"content": content, "label": ""}, "label": label}]
    )


def test_a_dataclass_comes_back_with_every_field_it_declares_and_nothing_else() -> None:
    """Fields that are inherited slots, or begin with an underscore, are fields like any other."""
    with_more = Inheriting()
    with_more.__dict__["more"] = "not a field"

    assert round_trip([with_more, Private()]) == [{"first": 1, "second": 2}, {"_secret": None, "made": []}]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"nope",
        b"NaN",
        b"1 2",
        b"1e400",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        rb'"\ud800"',
        b"\xef\xbb\xbf1",
        b"[1,]",
    ],
    ids=repr,
)
def test_bytes_that_are_not_json_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidValue, match="not JSON") as caught:
        decode_value(data)
    assert caught.value.path == "$"


@given(st.binary() | st.text(alphabet='[]{}",:\\ntrue10-eE.').map(str.encode))
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    try:
        value = decode_value(data)
    except InvalidValue:
        return
    assert repr(round_trip(value)) == repr(value)
