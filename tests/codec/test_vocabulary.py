"""Every event of the vocabulary becomes bytes and comes back, under a name that never changes."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.codec import Codec
from eventstore.events import RunCreated, TaskRunStarted
from eventstore.log import JSON

from .vocabulary import TYPES, VOCABULARY, instances


@pytest.mark.parametrize("kind", VOCABULARY, ids=lambda kind: str(kind.__name__))
def test_every_event_comes_back_equal_and_makes_the_same_bytes_again(kind: type[msgspec.Struct]) -> None:
    codec = Codec()

    @settings(max_examples=settings().max_examples // 4)
    @given(instances(kind))
    def comes_back(event: msgspec.Struct) -> None:
        encoded = codec.encode(event)
        decoded = codec.decode(encoded)
        assert (type(decoded), decoded) == (kind, event)
        assert codec.encode(decoded).data == encoded.data
        assert (encoded.schema, encoded.content_type) == (1, JSON)
        assert len(encoded.data.splitlines()) == 1

    comes_back()


def test_the_type_names_on_the_log_are_these_and_no_others() -> None:
    codec = Codec()

    @settings(max_examples=1)
    @given(st.tuples(*map(instances, VOCABULARY)))
    def names_are_known(examples: tuple[msgspec.Struct, ...]) -> None:
        assert {codec.encode(event).type for event in examples} == TYPES

    names_are_known()
    assert len(VOCABULARY) == len(TYPES)


def test_fields_that_hold_their_defaults_are_left_out() -> None:
    codec = Codec()

    assert codec.encode(RunCreated("etl")).data == b'{"workflow_name":"etl"}'
    assert codec.encode(TaskRunStarted("a", 1)).data == b'{"task_id":"a","attempt":1}'
    assert codec.decode(codec.encode(RunCreated("etl"))) == RunCreated("etl")


def test_fields_of_a_later_version_are_passed_over() -> None:
    """Fields are only ever added, with defaults: what an old program does not know, it does not need."""
    codec = Codec()
    later = msgspec.structs.replace(codec.encode(RunCreated("x")), data=b'{"workflow_name":"etl","colour":{"r":[1]}}')

    assert codec.decode(later) == RunCreated("etl")


def structs_of(*packages: str) -> Iterator[type[msgspec.Struct]]:
    for package in packages:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            for thing in vars(importlib.import_module(module.name)).values():
                if isinstance(thing, type) and issubclass(thing, msgspec.Struct) and thing.__module__ == module.name:
                    yield thing


def test_every_struct_is_frozen() -> None:
    structs = set(structs_of("eventstore", "projections"))

    assert {kind.__qualname__ for kind in structs if not kind.__struct_config__.frozen} == set()
    assert set(VOCABULARY) <= structs
