"""What would not come back as it is, is refused with the exact path to it, wherever it is."""

from __future__ import annotations

import enum
import math
from collections import UserDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventstore.errors import InvalidValue, TooLarge
from eventstore.values import MAX_DEPTH, encode_value

from .json_values import Box, Planted, nested, planted

surrogates = st.characters(categories=["Cs"])
torn_texts = st.builds("{}{}{}".format, st.text(max_size=3), surrogates, st.text(max_size=3))
numbers_that_are_none = st.sampled_from([math.nan, -math.nan, math.inf, -math.inf])
integers_beyond_64_bits = st.integers(min_value=2**64) | st.integers(max_value=-(2**63) - 1) | st.just(10**5_000)


class Fraught(enum.Enum):
    NAN = math.nan
    INSIDE = (1, [math.inf])
    HUGE = 2**64


class Ratio(float, enum.Enum):
    ENDLESS = math.inf


class Point(NamedTuple):
    x: int


class Metres(float):
    pass


class Struct(msgspec.Struct):
    content: object = None


@dataclass(slots=True)
class Slotted:
    content: object = None


def unset() -> Slotted:
    made = Slotted()
    del made.content
    return made


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no text for this")


UNENCODABLE: dict[str, Callable[[], object]] = {
    "bytes": lambda: b"x",
    "a bytearray": lambda: bytearray(b"x"),
    "a memoryview": lambda: memoryview(b"x"),
    "a set": lambda: {1, 2},
    "an empty set": set,
    "a frozenset": lambda: frozenset({"a"}),
    "a complex number": lambda: 1j,
    "a Decimal": lambda: Decimal("1.5"),
    "a Fraction": lambda: Fraction(1, 3),
    "a float of another class": lambda: Metres(1.5),
    "a timedelta": lambda: timedelta(1),
    "a path": lambda: PurePath("a"),
    "a range": lambda: range(3),
    "a generator": lambda: (number for number in range(3)),
    "a deque": lambda: deque([1]),
    "a UserDict": lambda: UserDict(a=1),
    "a read-only mapping": lambda: MappingProxyType({"a": 1}),
    "a named tuple": lambda: Point(1),
    "a class": lambda: Box,
    "a function": lambda: len,
    "an exception": lambda: ValueError("x"),
    "an object": object,
    "an object that cannot be shown": Unspeakable,
    "a struct": lambda: Struct(1),
    "raw JSON": lambda: msgspec.Raw(b"1"),
    "a fragment of JSON": lambda: orjson.Fragment(b"1"),
    "nothing at all": lambda: msgspec.UNSET,
    "a dataclass with an unset slot": unset,
    "a key that is a tuple": lambda: {(1, 10**5_000): 1},
    "a key that is bytes": lambda: {"a": 1, b"b": 2},
    "a key that is an object": lambda: {Unspeakable(): 1},
}


def refused(case: Planted) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        encode_value(case.value)
    assert not isinstance(caught.value, TooLarge)
    assert caught.value.path == case.path
    assert caught.value.hint
    return caught.value


@given(planted(numbers_that_are_none))
@example(Planted(math.nan, "$"))
@example(Planted({"rows": [None, {"price": math.nan}]}, "$.rows[1].price"))
def test_a_nan_or_infinity_is_refused(case: Planted) -> None:
    assert "is not a JSON number" in refused(case).reason


@given(planted(st.sampled_from([Fraught.NAN, Ratio.ENDLESS])))
def test_an_enum_that_stands_for_a_nan_or_infinity_is_refused(case: Planted) -> None:
    assert "is not a JSON number" in refused(case).reason


def test_a_fault_inside_an_enums_value_is_refused_with_the_way_to_it() -> None:
    refused(Planted({"a": Fraught.INSIDE}, "$.a[1][0]"))
    refused(Planted([Fraught.HUGE], "$[0]"))


@given(planted(integers_beyond_64_bits))
@example(Planted([2**64], "$[0]"))
@example(Planted([-(2**63) - 1], "$[0]"))
def test_an_integer_beyond_64_bits_is_refused(case: Planted) -> None:
    assert "beyond 64 bits" in refused(case).reason


@given(planted(torn_texts))
def test_a_lone_surrogate_in_a_text_is_refused(case: Planted) -> None:
    assert "lone surrogate" in refused(case).reason


@given(planted(st.builds(lambda key, value: {"ä": 1, key: value}, torn_texts, st.none() | st.integers(0, 9))))
def test_a_lone_surrogate_in_a_key_is_refused_at_the_dictionary_that_has_it(case: Planted) -> None:
    str(refused(case)).encode()


@given(planted(st.builds(lambda key: {key: None}, numbers_that_are_none | st.just(Fraught.NAN))))
def test_a_key_that_is_no_number_is_refused(case: Planted) -> None:
    assert "key" in refused(case).reason


@given(planted(st.builds(lambda key: {key: None}, integers_beyond_64_bits | st.just(Fraught.HUGE))))
def test_a_key_beyond_64_bits_is_refused(case: Planted) -> None:
    assert "the key" in refused(case).reason


COLLIDING: list[dict[object, int]] = [
    {1: 1, "1": 2},
    {"1": 1, 1: 2},
    {None: 1, "null": 2},
    {True: 1, "true": 2},
    {1.0: 1, "1.0": 2},
    {date(2026, 1, 2): 1, "2026-01-02": 2},
    {"a": 0, 7: 1, "b": 0, "7": 2},
]


@given(planted(st.sampled_from(COLLIDING)))
def test_keys_that_become_the_same_text_are_refused(case: Planted) -> None:
    assert "become the same text" in refused(case).reason


@pytest.mark.parametrize("kind", UNENCODABLE)
def test_what_cannot_be_encoded_is_refused(kind: str) -> None:
    @settings(max_examples=settings().max_examples // 8)
    @given(planted(st.builds(UNENCODABLE[kind])))
    def is_refused(case: Planted) -> None:
        refused(case)

    is_refused()


@given(planted(st.just(math.nan)), planted(st.builds(object)))
def test_of_two_faults_one_is_named(first: Planted, second: Planted) -> None:
    with pytest.raises(InvalidValue) as caught:
        encode_value([first.value, second.value])
    assert caught.value.path in (first.path.replace("$", "$[0]", 1), second.path.replace("$", "$[1]", 1))


KINDS: dict[str, type] = {"list": list, "tuple": tuple, "dict": dict, "dataclass": Box}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("innermost", [1, None, "[{", "null"], ids=repr)
def test_a_value_may_nest_to_the_limit_and_no_deeper(kind: str, innermost: object) -> None:
    encode_value(nested(KINDS[kind], MAX_DEPTH, innermost))

    for levels in (MAX_DEPTH + 1, MAX_DEPTH + 2, 2 * MAX_DEPTH, 100_000):
        with pytest.raises(TooLarge, match=f"nested deeper than {MAX_DEPTH} levels"):
            encode_value(nested(KINDS[kind], levels, innermost))


def test_the_limit_counts_empty_containers_and_number_keys_too() -> None:
    encode_value(nested(list, MAX_DEPTH - 1, {}))
    encode_value({1: nested(list, MAX_DEPTH - 1, None)})
    with pytest.raises(TooLarge):
        encode_value(nested(list, MAX_DEPTH, {}))
    with pytest.raises(TooLarge):
        encode_value({1: nested(list, MAX_DEPTH, None)})


def test_a_fault_at_the_deepest_place_is_still_found() -> None:
    refused(Planted(nested(dict, MAX_DEPTH, math.nan), "$" + ".in" * MAX_DEPTH))


def test_a_path_can_be_shown_whatever_the_keys_on_it_are() -> None:
    refused(Planted({"\ud800": math.nan}, "$.\\ud800"))
    refused(Planted({Fraught: math.nan}, "$.<EnumType>"))
    refused(Planted({7: {None: {"a.b": {"": math.nan}}}}, "$.7.null.a.b."))


def containing_themselves() -> dict[str, Any]:
    by_list: list[object] = [1]
    by_list.append(by_list)
    by_dict: dict[object, object] = {"a": math.nan}
    by_dict["self"] = [by_dict]
    by_key: dict[object, object] = {}
    by_key[1] = by_key
    by_dataclass = Box(None)
    by_dataclass.content = [by_dataclass]
    by_struct = Struct()
    by_struct.content = by_struct
    return {
        "a list": by_list,
        "a dictionary": by_dict,
        "a number key": by_key,
        "a dataclass": by_dataclass,
        "a struct": by_struct,
    }


@pytest.mark.parametrize("kind", containing_themselves())
def test_a_value_that_contains_itself_is_refused(kind: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        encode_value({"outer": containing_themselves()[kind]})
    assert caught.value.path.startswith("$.outer")
    assert len(str(caught.value)) < 200


@given(st.text(), st.integers(0, 3))
def test_a_value_may_be_as_large_as_the_limit_and_no_larger(text: str, excess: int) -> None:
    size = len(encode_value([text]))

    assert len(encode_value([text], max_bytes=size + excess)) == size
    with pytest.raises(TooLarge, match=f"the limit is {size - 1 - min(excess, size - 1):,}") as caught:
        encode_value([text], max_bytes=size - 1 - min(excess, size - 1))
    assert (caught.value.path, caught.value.code) == ("$", "too-large")
