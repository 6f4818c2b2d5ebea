"""Items: the iterations of a loop and the parts of a fan-out, each a task run of its own.

An item's id is the id of its task and a scope path, in one text: `review[chapters][3]`. So everything that can be done
with a task can be done with one item, and a run goes on with those that are left. All items of a task, and all below a
path, have ids with one beginning, and are found through the index of ids.
"""

from __future__ import annotations

import re

import msgspec

from eventstore.errors import InvalidInput
from eventstore.validate import check_name

_ITEM = re.compile(r"((?:[^][%]|%25|%5B|%5D)+)((?:\[(?:[^][%]|%25|%5B|%5D)*\])+)", re.DOTALL)
_ESCAPES = str.maketrans({"%": "%25", "[": "%5B", "]": "%5D"})
_AFTER_BRACKET = chr(ord("[") + 1)


class Item(msgspec.Struct, frozen=True):
    """A task, and where in its loops and fan-outs. The path is empty for a task that is no item."""

    task_id: str
    path: tuple[str, ...] = ()


def item(task_id: str, *path: str | int) -> str:
    """The id of one item of a task. Numbers are as good as their texts: 3 and "3" are the same step.

    Any text can be a step, and a task id: brackets and per cent signs in them are written as %5B, %5D and %25. Raises
    `InvalidInput` for a path without steps, or with one that is neither a text nor a whole number, and for what no id
    can be.
    """
    if not path:
        raise InvalidInput(f"an item of task {task_id!r} without a path", "Say which: item('review', 'chapters', 3).")
    return _id_of(task_id, path)


def item_of(task_id: str) -> Item:
    """What an id says: the inverse of `item`. An id that this has not made is a task that is no item."""
    check_name(task_id, "task id")
    match = _ITEM.fullmatch(task_id)
    if match is None:
        return Item(task_id)
    task, path = match.groups()
    return Item(_plain(task), tuple(map(_plain, path[1:-1].split("]["))))


def ids_below(task_id: str, *path: str | int) -> tuple[str, str]:
    """Between which two texts the ids of all items of a task are, in the order of their bytes: from the first on, and
    before the second; with a path, those of the items below it. The id of a task that is no item can be there, too:
    `review[`.
    """
    prefix = _id_of(task_id, path)
    return f"{prefix}[", prefix + _AFTER_BRACKET


def _id_of(task_id: str, path: tuple[str | int, ...]) -> str:
    check_name(task_id, "task id")
    text = task_id.translate(_ESCAPES) + "".join(f"[{_step(step)}]" for step in path)
    check_name(text, "task id")
    return text


def _step(step: str | int) -> str:
    if isinstance(step, bool) or not isinstance(step, str | int):
        raise InvalidInput(f"a step {step!r} is {type(step).__name__}", "Give texts and whole numbers.")
    try:
        return str(step).translate(_ESCAPES)
    except ValueError as error:  # Python writes no number of thousands of digits
        raise InvalidInput("a step is too long a number", "Give a shorter one, or a text.") from error


def _plain(text: str) -> str:
    return text.replace("%5B", "[").replace("%5D", "]").replace("%25", "%")
