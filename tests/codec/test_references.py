"""Which blobs an event refers to is found by the types of its fields."""

from __future__ import annotations

import typing
from typing import Annotated, Any

import msgspec
import pytest

from eventstore.failure import Failure
from eventstore.payload import Value
from eventstore.references import blob_digests

ALIAS: Any = getattr(typing, "TypeAliasType", lambda name, value: value)  # what a `type` statement makes, from 3.12 on

KEPT, HERE = Value("a" * 64, 9), Value("b" * 64, 1, json=msgspec.Raw(b"1"))


HINTS = [Value, Value | None, ALIAS("Kept", Value | None), ALIAS("Kept", ALIAS("Deep", Value)), Annotated[Value, "so"]]


@pytest.mark.parametrize("hint", HINTS)
def test_a_value_that_is_kept_elsewhere_is_a_blob_and_one_that_stands_in_the_event_is_none(hint: Any) -> None:
    noted = msgspec.defstruct("Noted", [("text", str), ("value", hint)])
    assert list(blob_digests(noted("", KEPT))) == ["a" * 64]
    assert list(blob_digests(noted("", HERE))) == []


def test_a_failure_in_an_event_has_its_own_blob() -> None:
    noted = msgspec.defstruct("Noted", [("failure", Failure | None)])
    assert list(blob_digests(noted(Failure(type="Error", full=KEPT)))) == ["a" * 64]
    assert list(blob_digests(noted(None))) == []
