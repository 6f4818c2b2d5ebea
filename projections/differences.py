"""How two runs differ, or one run at two moments: a pure function of their views."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from eventstore.payload import Value
from projections.fold import Fold
from projections.rows import Attempt, Key, Output, Row, Run, TaskRun

COMPARED: tuple[type[Row], ...] = (Run, TaskRun, Attempt, Output)
"""The views of a run, in the order in which differences are told."""
_NOTHING = (None, "")
_PLACES = frozenset({"position", "version", "claimed_version", "forked_version", "inherits", "inherited"})


class Difference(msgspec.Struct, frozen=True):
    """A column that is not the same on both sides. `key` tells the row from the others of its run: nothing, a task, or
    a task and the number of an attempt. A row that one side does not have shows with each of its values against None.
    """

    table: str
    key: Key
    column: str
    left: Any
    right: Any


def differences(left: Fold, right: Fold, *, exact: bool = False) -> list[Difference]:
    """What differs between two folds of one run each: by table, key and column, in that order.

    What differs between any two runs does not count: ids, places in the log, and when things happened, as long as they
    happened on both sides. `exact` counts places and times, too. Values are the same if their JSON is, so 1 is neither
    1.0 nor True; large ones are compared by their digests.
    """
    found = []
    for kind in COMPARED:
        ours, theirs = _rows(left, kind), _rows(right, kind)
        columns = [name for name in kind.__struct_fields__[len(kind.KEY) :] if exact or name not in _PLACES]
        for key in sorted(ours.keys() | theirs.keys()):
            for column in columns:
                sides = (getattr(ours.get(key), column, None), getattr(theirs.get(key), column, None))
                by_presence = not exact and (column == "reused_version" or isinstance(sides[0], datetime))
                if not _same(*sides, by_presence=by_presence):
                    found.append(Difference(kind.TABLE, key, column, *sides))
    return found


def _rows(fold: Fold, kind: type[Row]) -> dict[Key, Row]:
    width = len(kind.KEY)
    return {tuple(getattr(row, name) for name in kind.KEY[1:width]): row for row in fold.rows(kind)}


def _same(left: Any, right: Any, *, by_presence: bool) -> bool:
    if left in _NOTHING or right in _NOTHING or by_presence:
        return (left in _NOTHING) == (right in _NOTHING)
    if isinstance(left, Value) and isinstance(right, Value):
        return left.digest == right.digest
    return _json(left) == _json(right)


def _json(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")
