"""Finding the part of a value that cannot be kept, and the path to it. Slow: only for values that are in doubt.

Two things can be wrong with a part. An encoder may change it in silence (a NaN becomes null, two keys become the same
text), which `loss_in` finds; or refuse it without saying where it is, which `refusal_of` finds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from datetime import date, time
from enum import Enum
from uuid import UUID

import msgspec
import orjson

from eventstore.errors import InvalidValue, TooLarge

Encode = Callable[[object], bytes]

_HINT = "Turn it into text, numbers, lists or dictionaries first."


def plain(part: object) -> object:
    """What stands for a part that is not of JSON's own types. Raises TypeError if nothing does."""
    if isinstance(part, date | time):
        return part.isoformat()
    if isinstance(part, UUID):
        return str(part)
    if isinstance(part, Enum):
        return part.value
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    if type(part).__module__ == "numpy" and hasattr(part, "tolist"):
        simple: object = part.tolist()
        named_fields = getattr(getattr(part, "dtype", None), "names", None)  # a list would lose the names
        if type(simple) is not type(part) and not named_fields:
            return simple
    raise TypeError(f"{type(part).__name__} has no plain form")


def loss_in(value: object, depth: int) -> InvalidValue | None:
    """The first part that an encoder would change in silence, if there is one.

    Raises `TooLarge` if the value nests more than `depth` levels, as one that contains itself does.
    """
    for path, part in _walk(value, depth):
        fault = _bad_keys(path, part) if isinstance(part, dict) else _bad_number(path, part)
        if isinstance(part, orjson.Fragment):
            fault = InvalidValue(path, "a fragment is JSON that nobody has checked", "Decode it first.")
        if fault is not None:
            return fault
    return None


def refusal_of(value: object, encode: Encode) -> InvalidValue:
    """The innermost part of a value that this encoder refuses. The value must be known not to contain itself."""
    path, part = "$", value
    inner: tuple[str, object] | None = (path, part)
    while inner is not None:
        path, part = inner
        inner = next((each for each in _parts(path, _opened(part)) if _refused(encode, each[1]) is not None), None)
    if isinstance(part, str):
        return InvalidValue(path, "the text contains a lone surrogate", "Decode it with errors='replace'.")
    if isinstance(part, dict):
        for key in part:
            error = _refused(encode, {key: 0})
            if error is not None:
                what = f"the key {key!r:.80}" if isinstance(key, str) else f"a key of type {type(key).__name__}"
                return InvalidValue(path, f"{what} cannot be kept: {error}", "Use text as keys.")
    return InvalidValue(path, f"{type(part).__name__} cannot be kept as JSON: {_refused(encode, part)}", _HINT)


def _refused(encode: Encode, part: object) -> Exception | None:
    try:
        encode(part)
    except (TypeError, ValueError, OverflowError) as error:
        return error
    return None


def _walk(value: object, depth: int) -> Iterator[tuple[str, object]]:
    """Every part with its path, opened, from the outside in."""
    stack: list[tuple[str, object, int]] = [("$", value, 0)]
    while stack:
        path, part, level = stack.pop()
        if level > depth:
            path = path if len(path) <= 80 else f"{path[:80]}…"
            raise TooLarge(path, f"nested deeper than {depth} levels, or contains itself", "Flatten it.")
        part = _opened(part)
        yield path, part
        stack += reversed([(inner, item, level + 1) for inner, item in _parts(path, part)])


def _opened(part: object) -> object:
    with contextlib.suppress(TypeError, AttributeError):
        while True:
            part = plain(part)
    return part


def _parts(path: str, part: object) -> Iterator[tuple[str, object]]:
    if isinstance(part, dict):
        for key, item in part.items():
            name = _name(key)
            shown = f"<{type(key).__name__}>" if name is None else name.encode(errors="backslashreplace").decode()
            yield f"{path}.{shown}", item
    elif isinstance(part, list | tuple):
        for place, item in enumerate(part):
            yield f"{path}[{place}]", item
    elif isinstance(part, set | frozenset):
        for item in part:
            yield path, item
    elif isinstance(part, msgspec.Struct):
        for name in part.__struct_fields__:
            yield f"{path}.{name}", getattr(part, name)


def _bad_number(path: str, part: object, what: str = "") -> InvalidValue | None:
    if isinstance(part, float) and not math.isfinite(part):
        return InvalidValue(path, f"{what}{part} is not a JSON number", "Use None or a text instead.")
    if isinstance(part, int) and not -(2**63) <= part < 2**64:
        return InvalidValue(path, f"{what or 'it '}is an integer beyond 64 bits", "Use a text instead.")
    return None


def _bad_keys(path: str, part: dict[object, object]) -> InvalidValue | None:
    names: dict[str, object] = {}
    for key in part:
        fault = _bad_number(path, _opened(key), "the key ")
        if fault is not None:
            return fault
        name = _name(key)
        if name in names:
            reason = f"the keys {names[name]!r:.80} and {key!r:.80} become the same text"
            return InvalidValue(path, reason, "Use text as keys.")
        if name is not None:
            names[name] = key
    return None


def _name(key: object) -> str | None:
    """The text a key becomes, None if it becomes none."""
    if isinstance(key, str) and not isinstance(key, Enum):
        return str(key)
    try:
        (name,) = orjson.loads(orjson.dumps({key: 0}, option=orjson.OPT_NON_STR_KEYS))
    except TypeError:
        return None
    return str(name)
