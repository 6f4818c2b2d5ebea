"""Completions as an engine asks for them first after a crash, made straight from the columns: their values, and what
the plan says of them.

No row becomes an object of all its columns on the way, which took as long as all the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from eventstore.payload import Value, Values
from eventstore.values import MAX_DEPTH
from projections.resume import NO_OUTPUT, Reusable, why_stale
from projections.rows import Output
from projections.tables import damaged

_SHORT = 2 * MAX_DEPTH
"""No JSON of so few characters nests too deep: each level takes two."""


class _Decoded(msgspec.Struct, frozen=True):
    """A `Value` whose JSON is decoded with it."""

    digest: str
    size: int
    json: Any = msgspec.UNSET


_decode = msgspec.json.Decoder(_Decoded).decode
_decode_apart = msgspec.json.Decoder(Value).decode
_decode_consumed = msgspec.json.Decoder(dict[str, str]).decode


def reusable_values(rows: Sequence[tuple[Any, ...]], values: Values) -> dict[str, Any]:
    """The values of the reusable completions of a run, by task. A row for each effective one, in completion order: its
    task, its output, and what that was made from.

    Raises `DamagedViews`, and whatever goes wrong with a value that is kept elsewhere.
    """
    found: dict[str, Any] = {}
    digests: dict[str, str] = {}
    apart: dict[str, Value] = {}
    try:
        for task_id, output, _ in rows:
            decoded = _decode(output)
            found[task_id] = decoded.json
            digests[task_id] = decoded.digest
            if decoded.json is msgspec.UNSET or (len(output) > _SHORT and _may_be_deep(output)):
                apart[task_id] = _decode_apart(output)
        for task_id in _stale(rows, digests):
            del found[task_id]
            apart.pop(task_id, None)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise damaged(Output.TABLE, error) from error
    for task_id, value in apart.items():
        found[task_id] = values.load(value)
    return found


def completions(rows: Sequence[tuple[Any, ...]]) -> tuple[list[Reusable], dict[str, str]]:
    """All effective completions of a run, and the reasons of those that are not reusable. Their tasks, digests, what
    they were made from, and versions are given, in completion order. Raises `DamagedViews`.
    """
    done = [Reusable(task_id, digest, version) for task_id, digest, _, version in rows]
    try:
        return done, _stale(rows, {task_id: digest for task_id, digest, _, _ in rows})
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise damaged(Output.TABLE, error) from error


def _stale(rows: Sequence[tuple[Any, ...]], digests: Mapping[str, str]) -> dict[str, str]:
    """The stale ones among all effective completions of a run, each with the reason; in the rows' order. A row begins
    with the task, something else, and what the output was made from.
    """
    if not _any_is_stale(rows, digests):
        return {}
    return why_stale(digests, {row[0]: _decode_consumed(row[2] or "{}") for row in rows})


def _any_is_stale(rows: Sequence[tuple[Any, ...]], digests: Mapping[str, str]) -> bool:
    """Whether an output was made from anything but what is there: nearly never, so nothing is kept to tell which."""
    for row in rows:
        if row[2] is not None:
            consumed = _decode_consumed(row[2])
            for needed in consumed:
                if digests.get(needed, NO_OUTPUT) != consumed[needed]:
                    return True
    return False


def _may_be_deep(output: str) -> bool:
    return output.count("[") + output.count("{") > MAX_DEPTH
