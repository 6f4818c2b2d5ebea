"""User values as JSON bytes and back, exactly or not at all.

orjson does the encoding, once. What it would change in silence is refused here, with the path of the value: NaN and
infinities (it writes null) and keys of different types that become the same text. What it cannot encode at all, it
refuses itself: integers beyond 64 bits, lone surrogates, unknown objects; the path is added here.

Tuples come back as lists, dataclasses and dictionaries with number keys as dictionaries with text keys, datetimes and
UUIDs as text, enums as their values. Integers are exact to 64 bits; JavaScript readers are exact to 53.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import msgspec
import orjson

from eventstore.errors import InvalidInput, InvalidValue, TooLarge
from eventstore.faults import loss_in, plain, refusal_of

MAX_DEPTH = 128
MAX_VALUE_BYTES = 256 * 1024 * 1024

# Left to itself, orjson drops a dataclass's inherited slots and names with an underscore, rounds the UTC offsets of
# datetimes to minutes, and ends the process when a slot is empty or a time zone raises.
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME

_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_MARKS = bytes(set(range(256)) - set(b'"[]{}'))
_TEXT = re.compile(rb'"[^"]*+"?')
_STEPS = {ord("["): 1, ord("]"): -1}


def encode_value(value: object, *, max_bytes: int = MAX_VALUE_BYTES) -> bytes:
    """The value as compact JSON. Raises `InvalidValue` or `TooLarge`; the path starts at `$`, the value itself."""
    if not _surely_shallow(value):
        _refuse_loss(value)
    try:
        data = _encode(value)
    except TypeError:
        _refuse_loss(value)
        data = _encode_any_keys(value)
    if b"null" in data and _may_hold_nan(value):
        _refuse_loss(value)
    _check_limits(data, max_bytes)
    return data


def encode_mapping(value: Mapping[str, Any]) -> bytes:
    """The same for a mapping from names, of any kind. Raises `InvalidInput` for anything else."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{type(value).__name__} is no mapping", "Give a dictionary whose keys are texts.")
    return encode_value(dict(value))


def decode_value(data: bytes, *, max_bytes: int = MAX_VALUE_BYTES) -> Any:
    """The value these bytes hold; size and depth are checked before anything is built.

    Raises `TooLarge`, or `InvalidValue` if they are not JSON.
    """
    _check_limits(data, max_bytes)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidValue("$", f"not JSON: {error}") from None


def deeper_than(data: bytes, limit: int) -> bool:
    """Whether JSON text nests more than `limit` levels, told without building anything."""
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    # Taken away, in this order: escapes, all but quotes and brackets, quotes side by side (they open and close nothing
    # that matters), and the texts with brackets in them.
    marks = data.replace(rb"\\", b"").replace(rb"\"", b"").translate(_BRACKETS, _NO_MARKS).replace(b'""', b"")
    steps = map(_STEPS.__getitem__, _TEXT.sub(b"", marks))
    return max(accumulate(steps), default=0) > limit


def _check_limits(data: bytes, max_bytes: int) -> None:
    if len(data) > max_bytes:
        hint = "Keep it elsewhere, by address."
        raise TooLarge("$", f"{len(data):,} bytes of JSON; the limit is {max_bytes:,}", hint)
    if deeper_than(data, MAX_DEPTH):
        raise TooLarge("$", f"nested deeper than {MAX_DEPTH} levels", "Flatten it.")


def _encode(value: object) -> bytes:
    return orjson.dumps(value, default=plain, option=_OPTIONS)


def _encode_any_keys(value: object) -> bytes:
    def encode(part: object) -> bytes:
        return orjson.dumps(part, default=plain, option=_OPTIONS | orjson.OPT_NON_STR_KEYS)

    try:
        return encode(value)
    except TypeError:
        raise refusal_of(value, encode) from None


def _refuse_loss(value: object) -> None:
    fault = loss_in(value, MAX_DEPTH)
    if fault is not None:
        raise fault


def _surely_shallow(value: object) -> bool:
    """False if it takes a closer look to tell. orjson 3.12 and 3.13 must not see tuples nested thousands deep: they
    follow them without a limit and write over the end of their buffer.
    """
    try:
        return not deeper_than(msgspec.json.encode(value, enc_hook=plain), MAX_DEPTH)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False


def _may_hold_nan(value: object) -> bool:
    """False if there certainly is none. The standard library's encoder is not exact, but stops at a NaN, and fast."""
    try:
        json.dumps(value, allow_nan=False, default=plain)
    except (TypeError, ValueError, RecursionError):
        return True
    return False
