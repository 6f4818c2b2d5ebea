"""User values as JSON bytes and back, exactly or not at all.

orjson does the encoding, once. What it would change in silence is refused here, with the path of the value: NaN and
infinities (it writes null) and keys of different types that become the same text. What it cannot encode at all, it
refuses itself: integers beyond 64 bits, lone surrogates, unknown objects; the path is added here.

Tuples come back as lists, dataclasses and dictionaries with number keys as dictionaries with text keys, datetimes and
UUIDs as text. Integers are exact to 64 bits; JavaScript readers are exact to 53.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson

from eventstore.errors import InvalidValue, TooLarge

MAX_DEPTH = 128
MAX_VALUE_BYTES = 256 * 1024 * 1024

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
# Possessive, so that a text cut short costs one pass and not one for each quote in it.
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def encode_value(value: object, *, max_bytes: int = MAX_VALUE_BYTES) -> bytes:
    """The value as compact JSON. Raises `InvalidValue` or `TooLarge`; the path starts at `$`, the value itself."""
    try:
        data = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
        doubtful = b"null" in data  # the only form in which a NaN hides
    except (TypeError, RecursionError):
        data, doubtful = b"", True
    if doubtful:
        fault = fault_in(value)
        if fault is not None:
            raise fault
    if not data:
        try:
            data = orjson.dumps(value, option=_OPTIONS)
        except (TypeError, RecursionError) as error:
            raise InvalidValue("$", str(error), "Turn it into JSON types first.") from None
    if len(data) > max_bytes:
        raise TooLarge(
            "$", f"{len(data):,} bytes of JSON; the limit is {max_bytes:,}", "Keep it elsewhere, by address."
        )
    if deeper_than(data, MAX_DEPTH):
        raise TooLarge("$", f"nested deeper than {MAX_DEPTH} levels", "Flatten it.")
    return data


def decode_value(data: bytes, *, max_bytes: int = MAX_VALUE_BYTES) -> Any:
    """The value these bytes hold; size and depth are checked before anything is built.

    Raises `TooLarge`, or `InvalidValue` if they are not JSON.
    """
    if len(data) > max_bytes:
        raise TooLarge("$", f"{len(data):,} bytes of JSON; the limit is {max_bytes:,}")
    if deeper_than(data, MAX_DEPTH):
        raise TooLarge("$", f"nested deeper than {MAX_DEPTH} levels")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidValue("$", f"not JSON: {error}") from None


def deeper_than(data: bytes, limit: int) -> bool:
    """Whether JSON text nests more than `limit` levels, told without building anything."""
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    depth = 0
    for match in _STRUCTURE.finditer(data):
        first = match[0][:1]
        if first in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif first in b"]}":
            depth -= 1
    return False


def fault_in(value: object) -> InvalidValue | None:
    """The first part of the value that would not come back as it is, if there is one. Slow."""
    return next((fault for path, part in _walk(value) if (fault := _fault(path, part)) is not None), None)


def bad_number_in(value: object) -> InvalidValue | None:
    """The first NaN, infinity or integer beyond 64 bits in the value, if there is one."""
    return next((fault for path, part in _walk(value) if (fault := _bad_number(path, part)) is not None), None)


def _walk(value: object) -> Iterator[tuple[str, object]]:
    stack: list[tuple[str, object, int]] = [("$", value, 0)]
    while stack:
        path, part, depth = stack.pop()
        if depth > MAX_DEPTH:
            path = path if len(path) <= 80 else f"{path[:80]}…"
            raise TooLarge(path, f"nested deeper than {MAX_DEPTH} levels, or contains itself", "Flatten it.")
        yield path, part
        stack += reversed([(inner, item, depth + 1) for inner, item in _parts(path, part)])


def _bad_number(path: str, part: object) -> InvalidValue | None:
    if isinstance(part, float) and not math.isfinite(part):
        return InvalidValue(path, f"{part} is not a JSON number", "Use None or a text instead.")
    if isinstance(part, int) and not -(2**63) <= part < 2**64:
        return InvalidValue(path, f"the integer {part} is beyond 64 bits", "Use a text instead.")
    return None


def _fault(path: str, part: object) -> InvalidValue | None:
    if isinstance(part, int | float):
        return _bad_number(path, part)
    if isinstance(part, dict):
        names: dict[str, object] = {}
        for key in part:
            if isinstance(key, float) and not math.isfinite(key):
                return InvalidValue(path, f"the key {key} is not a JSON number", "Use a text as the key.")
            try:
                (name,) = orjson.loads(orjson.dumps({key: 0}, option=_OPTIONS))
            except TypeError as error:
                return InvalidValue(path, f"the key {key!r} cannot be kept: {error}", "Use text as keys.")
            if name in names:
                return InvalidValue(
                    path, f"the keys {names[name]!r} and {key!r} become the same text", "Use text as keys."
                )
            names[name] = key
    elif not isinstance(part, (list, tuple, msgspec.Struct)) and not dataclasses.is_dataclass(part):
        try:
            orjson.dumps(part, option=_OPTIONS)
        except TypeError as error:
            hint = "Turn it into text, numbers, lists or dictionaries first."
            if isinstance(part, str):
                return InvalidValue(path, "the text contains a lone surrogate", "Decode it with errors='replace'.")
            return InvalidValue(path, f"{type(part).__name__} cannot be kept as JSON: {error}", hint)
    return None


def _parts(path: str, part: object) -> Iterator[tuple[str, object]]:
    if isinstance(part, dict):
        for key, item in part.items():
            yield f"{path}.{key}", item
    elif isinstance(part, (list, tuple)):
        for place, item in enumerate(part):
            yield f"{path}[{place}]", item
    elif isinstance(part, msgspec.Struct):
        for name in part.__struct_fields__:
            yield f"{path}.{name}", getattr(part, name)
    elif dataclasses.is_dataclass(part) and not isinstance(part, type):
        for field in dataclasses.fields(part):
            yield f"{path}.{field.name}", getattr(part, field.name, None)
    elif type(part).__module__ == "numpy" and hasattr(part, "tolist"):
        plain = part.tolist()
        if type(plain) is not type(part):
            yield path, plain
