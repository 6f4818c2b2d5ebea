"""Which runs are asked for, as SQL: a statement has only the conditions that are asked for.

So the databases can see which of their indexes serve it. Runs are in the order in which the log has their creation,
whatever the clocks said.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from eventstore.chain import timestamp
from eventstore.errors import InvalidInput
from eventstore.session import Argument, Statement
from eventstore.validate import MAX_NUMBER, check_kind, check_zone
from eventstore.values import decode_value, encode_mapping, encode_value
from projections import tables
from projections.rows import Run, metadata_digest, shown
from projections.transitions import RUN_STEPS, Steps
from projections.views import check_text

Status = str | Collection[str] | None
"""One status or several; None for any."""

_CONDITIONS = {
    "status": "status = {0}",
    "statuses": "status IN (SELECT value FROM main.json_each({0}))",
    "workflow": "workflow_name = {0}",
    "workflow_id": "workflow_id = {0}",
    "parent": "parent_run_id = {0}",
    "created_from": "created_at >= {0}",
    "created_before": "created_at < {0}",
    "pair": "id IN (SELECT run_id FROM main.run_metadata WHERE digest = {0})",
    "pairs": """id IN (SELECT run_id FROM main.run_metadata
        WHERE digest IN (SELECT value FROM main.json_each({0}))
        GROUP BY run_id HAVING count(*) = (SELECT count(*) FROM main.json_each({0})))""",
    "after": "position > {0}",
    "before": "position < {0}",
}
_CREATED = "position <> 0"  # with >, SQLite takes the order by position for a filter, and leaves better indexes unused
_LIVE = "deleted_at IS NULL"
TOTAL = "SELECT count(*) FROM main.workflow_runs"
COUNTS = "SELECT status, count(*) FROM main.workflow_runs"


class RunFilter(TypedDict, total=False):
    """What runs can be chosen by, besides their status. Only those are chosen that all of it is true for.

    `workflow` is the name a run was created with, `workflow_id` a stored definition, whichever its version; `parent`
    is a run's id. The range of creation begins with `created_from` and ends just before `created_before`, both with
    their time zones. `metadata` are pairs that a run's metadata must have, among others; values are equal if they are
    the same JSON, whatever the order of names in it, so 1 is neither 1.0 nor True. Deleted runs are left out, unless
    `include_deleted`.
    """

    workflow: str | None
    workflow_id: str | None
    parent: str | None
    created_from: datetime | None
    created_before: datetime | None
    metadata: Mapping[str, Any] | None
    include_deleted: bool


class ChosenRuns:
    """The runs that a filter chooses. Raises `InvalidInput`, a ValueError, for what no filter can mean."""

    def __init__(
        self,
        status: Status = None,
        *,
        workflow: str | None = None,
        workflow_id: str | None = None,
        parent: str | None = None,
        created_from: datetime | None = None,
        created_before: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        include_deleted: bool = False,
    ) -> None:
        chosen = chosen_statuses(status, RUN_STEPS)
        pairs = _digests(metadata) if metadata else None
        asked = {
            "status": _only(chosen),
            "statuses": _several(chosen),
            "workflow": workflow_shown(workflow),
            "workflow_id": workflow_id,
            "parent": parent,
            "created_from": _moment(created_from, "created_from"),
            "created_before": _moment(created_before, "created_before"),
            "pair": _only(pairs),
            "pairs": _several(pairs),
        }
        self._arguments: dict[str, Argument] = {name: value for name, value in asked.items() if value is not None}
        self._deleted = bool(include_deleted)

    def total(self) -> Statement:
        """How many they are."""
        return Statement(f"{TOTAL} {self._where()}", tuple(self._arguments.values()))

    def counts(self) -> Statement:
        """How many they are in each status that any is in."""
        return Statement(f"{COUNTS} {self._where()} GROUP BY status", tuple(self._arguments.values()))

    def rows(self, *, after: int, offset: int, limit: int | None, newest_first: bool) -> Statement:
        """They themselves, behind a position, but for the first few of these. No limit: all of them."""
        check_counts(after=after, offset=offset, limit=limit)
        cursor = {("before" if newest_first else "after"): capped(after)} if after else {}
        names = (*self._arguments, *cursor)
        page = (capped(limit), capped(offset))
        order = (
            f"ORDER BY position {'DESC' if newest_first else 'ASC'} LIMIT ${len(names) + 1} OFFSET ${len(names) + 2}"
        )
        rest = f"{_where(names, self._deleted)} {order}"
        return tables.query(Run, rest, (*self._arguments.values(), *cursor.values(), *page))

    def _where(self) -> str:
        return _where(tuple(self._arguments), self._deleted)


@functools.cache
def _where(names: tuple[str, ...], deleted: bool) -> str:
    asked = [_CONDITIONS[name].format(f"${place}") for place, name in enumerate(names, 1)]
    return "WHERE " + " AND ".join([*asked, _CREATED, *([] if deleted else [_LIVE])])


def workflow_shown(workflow: str | None) -> str | None:
    """The name of a workflow as the views have it. Raises `InvalidInput` for what is no name."""
    if workflow is None:
        return None
    check_kind(workflow, str, "the workflow")
    return shown(workflow)


def chosen_statuses(status: Status, known: Steps) -> list[str] | None:
    """The statuses that are asked for. Raises `InvalidInput` if one of them is unknown."""
    if status is None:
        return None
    if not isinstance(status, Collection):
        raise InvalidInput(f"{status!r} is no status", f"Use one or several of: {', '.join(known)}.")
    chosen = [status] if isinstance(status, str) else list(status)
    for each in chosen:
        if each not in known:
            raise InvalidInput(f"unknown status {each!r}", f"Use one of: {', '.join(known)}.")
    return chosen


def check_counts(**counts: int | None) -> None:
    """Raise `InvalidInput` for one that does not count anything."""
    for name, count in counts.items():
        if count is not None and (type(count) is not int or count < 0):
            raise InvalidInput(f"{name} of {count!r}", "Give a whole number from 0.")


def capped(number: int | None) -> int:
    """A number as a database takes it; for none, the highest there is."""
    return MAX_NUMBER if number is None else min(number, MAX_NUMBER)


def json_texts(texts: Collection[str]) -> str:
    """Texts as one argument, for `main.json_each`. Raises `InvalidInput` if no store can hold one of them."""
    if not isinstance(texts, Collection):
        raise InvalidInput(f"{type(texts).__name__} is no collection of texts", "Give a list.")
    for text in texts:
        check_text(text)
    return encode_value(list(texts)).decode()


def _only(texts: Sequence[str] | None) -> str | None:
    return texts[0] if texts is not None and len(texts) == 1 else None


def _several(texts: Sequence[str] | None) -> str | None:
    return None if texts is None or len(texts) == 1 else json_texts(texts)


def _digests(metadata: Mapping[str, Any]) -> list[str]:
    kept = decode_value(encode_mapping(metadata))
    return [metadata_digest(key, value) for key, value in kept.items()]


def _moment(time: datetime | None, what: str) -> str | None:
    if time is None:
        return None
    check_zone(time, f" in {what}")
    return timestamp(time)
