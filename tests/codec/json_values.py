"""Values of every kind, and values with one fault planted in them at a place that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

texts = st.text()
integers = st.integers(-(2**63), 2**64 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | integers | floats | texts
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@dataclass
class Box:
    """A dataclass that holds anything."""

    content: object
    label: str = ""


@dataclass
class Planted:
    """A value, and the path to the one part of it that is of interest."""

    value: Any
    path: str


@st.composite
def planted(draw: st.DrawFn, parts: st.SearchStrategy[Any]) -> Planted:
    """One of these parts somewhere inside a value that is sound otherwise."""
    value, path = draw(parts), ""
    for kind in draw(st.lists(st.sampled_from([list, tuple, dict, Box]), max_size=5)):
        if kind is Box:
            value, path = Box(value, draw(texts)), f".content{path}"
        elif kind is dict:
            key, others = draw(texts), draw(st.dictionaries(texts, json_values, max_size=2))
            value, path = _shuffled(draw, {**others, key: value}), f".{key}{path}"
        else:
            before, behind = draw(st.lists(json_values, max_size=2)), draw(st.lists(json_values, max_size=2))
            value, path = kind([*before, value, *behind]), f"[{len(before)}]{path}"
    return Planted(value, f"${path}")


def _shuffled(draw: st.DrawFn, items: dict[str, Any]) -> dict[str, Any]:
    return dict(draw(st.permutations(list(items.items()))))


def nested(kind: type, levels: int, innermost: object) -> object:
    """So many containers of one kind inside each other, around a value."""
    value = innermost
    for _ in range(levels):
        value = {"in": value} if kind is dict else Box(value) if kind is Box else kind([value])
    return value
