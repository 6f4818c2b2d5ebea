"""Events of older schema versions are brought up to the newest, one version at a time."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given

from eventstore.codec import Codec, Fields, UnknownEvent, Upcaster
from eventstore.errors import InvalidInput, InvalidValue, UnsupportedSchema
from eventstore.events import RunCreated
from eventstore.log import Append, NewEvent
from eventstore.memory import MemoryLog
from eventstore.values import encode_value

from .json_values import json_values

NAME = "billing.charged"


class Charged1(msgspec.Struct, frozen=True):
    """The oldest form, in one piece of text."""

    customer: str
    sum: str
    notes: msgspec.Raw = msgspec.Raw(b"null")


class Charged3(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest: renamed once, split once, with two new fields."""

    customer_id: str
    amount: int
    currency: str
    notes: msgspec.Raw
    channels: tuple[str, ...] = ()


def rename_customer(fields: Fields) -> Mapping[str, object]:
    kept = {name: value for name, value in fields.items() if name != "customer"}
    return kept | {"customer_id": fields["customer"]}


def split_sum(fields: Fields) -> Mapping[str, object]:
    kept = {name: value for name, value in fields.items() if name != "sum"}
    amount, currency = msgspec.json.decode(fields["sum"], type=str).split()
    return kept | {"amount": int(amount), "currency": currency, "channels": ["web"]}


def newest() -> Codec:
    codec = Codec()
    codec.register(Charged3, NAME, schema=3, upcasters={1: rename_customer, 2: split_sum})
    return codec


def written(data: bytes, schema: int) -> NewEvent:
    return NewEvent(type=NAME, data=data, schema=schema)


def test_each_older_version_is_read_as_the_newest() -> None:
    codec = newest()
    first = written(b'{"customer":"ada","sum":"12 EUR","notes":"n"}', 1)
    second = written(b'{"sum":"12 EUR","notes":"n","customer_id":"ada"}', 2)
    third = written(b'{"customer_id":"ada","amount":12,"currency":"EUR","notes":"n","channels":["web"]}', 3)
    wanted = Charged3("ada", 12, "EUR", msgspec.Raw(b'"n"'), ("web",))

    assert [codec.decode(event) for event in (first, second, third)] == [wanted] * 3
    assert (codec.encode(wanted).schema, codec.encode(wanted).data) == (3, third.data)


def test_a_log_may_hold_all_versions_at_once() -> None:
    older, codec, log = Codec(), newest(), MemoryLog()
    older.register(Charged1, NAME)
    log.append([Append("s", [older.encode(Charged1("ada", "1 EUR")), older.encode(Charged1("bo", "2 EUR"))])])
    log.append([Append("s", [codec.encode(Charged3("cy", 3, "EUR", msgspec.Raw(b"[]")))])])

    found = [codec.decode(event) for event in log.read("s")]

    assert [(event.customer_id, event.amount) for event in found if isinstance(event, Charged3)] == [
        ("ada", 1),
        ("bo", 2),
        ("cy", 3),
    ]
    assert [event.schema for event in log.read("s")] == [1, 1, 3], "what is in the log stays as it was written"


@given(json_values)
def test_values_passed_on_unread_are_exact(value: object) -> None:
    notes = encode_value(value)

    event = newest().decode(written(b'{"customer":"a","sum":"1 X","notes":' + notes + b"}", 1))

    assert isinstance(event, Charged3)
    assert bytes(event.notes) == notes


@pytest.mark.parametrize(
    "notes", [b"1.0", b"1e2", b"18446744073709551616", b'"\\u0041"', b'{ "a" : 1,\n"a" : 2 }'], ids=repr
)
def test_values_passed_on_unread_keep_their_very_spelling(notes: bytes) -> None:
    event = newest().decode(written(b'{"customer":"a","sum":"1 X","notes":' + notes + b"}", 1))

    assert isinstance(event, Charged3)
    assert bytes(event.notes) == notes


@pytest.mark.parametrize(
    ("schema", "starts"), [(2, []), (3, [1]), (3, [2]), (3, [1, 2, 3]), (1, [1]), (3, [0, 1, 2]), (0, []), (-1, [])]
)
def test_there_is_one_upcaster_for_each_older_version(schema: int, starts: list[int]) -> None:
    upcasters: dict[int, Upcaster] = dict.fromkeys(starts, lambda fields: fields)

    with pytest.raises(InvalidInput, match=f"at schema version {schema} but has upcasters from") as caught:
        Codec().register(Charged3, NAME, schema=schema, upcasters=upcasters)

    assert "from 1 to" in caught.value.hint


@pytest.mark.parametrize("schema", [4, 2**63 - 1, 0, -1])
def test_a_version_this_program_does_not_know_is_refused(schema: int) -> None:
    with pytest.raises(
        UnsupportedSchema, match=f"{NAME} has schema version {schema}; this program knows up to 3"
    ) as caught:
        newest().decode(written(b"{}", schema))

    assert (caught.value.type, caught.value.schema, caught.value.known) == (NAME, schema, 3)


def test_a_newer_version_of_the_vocabulary_is_refused_and_of_an_unknown_type_is_kept() -> None:
    with pytest.raises(UnsupportedSchema):
        Codec().decode(NewEvent(type="runCreated", data=b'{"workflow_name":"etl"}', schema=2))

    assert Codec().decode(written(b"{}", 2)) == UnknownEvent(NAME, 2, b"{}")


@pytest.mark.parametrize(
    ("data", "path", "reason"),
    [
        (b"[]", "$", "Expected `object`, got `array`"),
        (b"{", "$", "truncated"),
        (b'{"sum":"1 X"}', "$", "the upcaster of billing.charged from schema version 1 failed: KeyError('customer')"),
        (b'{"customer":"a","sum":"much"}', "$", "from schema version 2 failed: ValueError"),
        (b'{"customer":"a","sum":5}', "$", "from schema version 2 failed: ValidationError"),
        (b'{"customer":null,"sum":"1 X","notes":1}', "$.customer_id", "Expected `str`, got `null`"),
        (b'{"customer":"a","sum":"1 X"}', "$", "missing required field `notes`"),
    ],
    ids=lambda part: repr(part) if isinstance(part, bytes) else "",
)
def test_old_data_that_is_not_what_its_version_says_is_a_typed_error(data: bytes, path: str, reason: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        newest().decode(written(data, 1))

    assert caught.value.path == path
    assert reason in str(caught.value)


def test_the_vocabulary_is_at_its_first_version() -> None:
    assert Codec().encode(RunCreated("etl")).schema == 1
