"""Size and depth are told from the bytes alone, before anything is decoded, and in time linear in their number."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventstore.codec import Codec
from eventstore.errors import TooLarge
from eventstore.log import NewEvent
from eventstore.values import MAX_DEPTH, decode_value, deeper_than, encode_value

from .json_values import json_values


def depth_of_text(data: bytes) -> int:
    """The same question in its plainest form, one byte at a time."""
    depth = deepest = 0
    in_text, at = False, 0
    while at < len(data):
        byte = data[at : at + 1]
        if byte == b"\\" and data[at + 1 : at + 2] in (b"\\", b'"'):
            at += 1
        elif byte == b'"':
            in_text = not in_text
        elif byte in b"[{" and not in_text:
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}" and not in_text:
            depth -= 1
        at += 1
    return deepest


def depth_of_value(value: object) -> int:
    inside: list[object] = []
    if isinstance(value, dict):
        inside = list(value.values())
    elif isinstance(value, list):
        inside = value
    else:
        return 0
    return 1 + max(map(depth_of_value, inside), default=0)


@given(st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b"a", b",", "é".encode()])).map(b"".join))
@example(rb'"\\" [[[')
@example(rb'"\\\" [[["')
@example(b'["[", "]]", [["]"]]')
@example(b'""[""["')
def test_any_text_is_as_deep_as_counting_its_brackets_one_by_one_says(data: bytes) -> None:
    depth = depth_of_text(data)

    assert [deeper_than(data, limit) for limit in range(depth + 2)] == [limit < depth for limit in range(depth + 2)]


@given(json_values)
def test_a_value_is_as_deep_as_its_containers_nest(value: object) -> None:
    data, depth = encode_value(value), depth_of_value(value)

    assert not deeper_than(data, depth)
    assert depth == 0 or deeper_than(data, depth - 1)


LENGTH = 20_000_000
HOSTILE = {
    "opening brackets": b"[" * LENGTH,
    "closing brackets": b"]" * LENGTH,
    "empty objects": b"[" + b"{}," * (LENGTH // 3) + b"{}]",
    "a text of brackets that never ends": b'"' + b"[{" * (LENGTH // 2),
    "a text of escaped quotes that never ends": b"[" * 999 + b'"' + b'\\"' * (LENGTH // 2),
    "a text of backslashes that never ends": b"[" * 999 + b'"' + b"\\" * LENGTH,
    "texts of one bracket": b'"[",' * (LENGTH // 4),
    "quotes": b"[" * 999 + b'"' * LENGTH,
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_hostile_text_of_20_megabytes_takes_seconds_at_most(shape: str) -> None:
    """Two seconds or less here, most far less; anything that looks at a byte more than a few times takes hours."""
    data = HOSTILE[shape]
    before = time.process_time()

    assert deeper_than(data, 2_000) == (shape == "opening brackets")

    assert time.process_time() - before < 60


def test_size_and_depth_of_a_value_are_checked_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []
    monkeypatch.setattr("eventstore.values.orjson", SimpleNamespace(loads=decoded.append))

    with pytest.raises(TooLarge, match="6 bytes of JSON; the limit is 5"):
        decode_value(b"[1, 2]", max_bytes=5)
    with pytest.raises(TooLarge, match="nested deeper"):
        decode_value(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
    assert decoded == []

    decode_value(b"[1, 2]", max_bytes=6)
    decode_value(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert len(decoded) == 2


def test_size_and_depth_of_an_event_are_checked_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []
    monkeypatch.setattr("eventstore.codec.MAX_DATA_BYTES", 1_000)
    monkeypatch.setattr("eventstore.codec._decoded", lambda known, decoder, data: decoded.append(data))
    codec = Codec()

    for data in (b'{"workflow_name":"%s"}' % (b"x" * 1_000), b'{"metadata":%s1%s}' % (b"[" * 150, b"]" * 150)):
        with pytest.raises(TooLarge, match="runCreated"):
            codec.decode(NewEvent(type="runCreated", data=data))
    assert decoded == []

    codec.decode(NewEvent(type="runCreated", data=b'{"workflow_name":"x"}'))
    assert decoded == [b'{"workflow_name":"x"}']
