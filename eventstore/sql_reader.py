"""Reads events from the table, page by page: no transaction stays open while the caller thinks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import msgspec

from eventstore.errors import RowCorrupt
from eventstore.log import RecordedEvent
from eventstore.session import Argument
from eventstore.sql_events import COLUMNS, event_of

HEAD = "SELECT sequence, position, hash FROM main.workflow_events WHERE run_id = $1 ORDER BY sequence DESC LIMIT 1"
STREAM = f"""SELECT {COLUMNS} FROM main.workflow_events
    WHERE run_id = $1 AND sequence > $2 AND sequence <= $3 AND position <= $4 ORDER BY sequence LIMIT $5"""
STREAM_BACKWARD = STREAM.replace("ORDER BY sequence", "ORDER BY sequence DESC")
STREAM_REMAINS = "SELECT 1 FROM main.workflow_events WHERE run_id = $1 AND position <= $2 LIMIT 1"
ALL = f"""SELECT {COLUMNS} FROM main.workflow_events
    WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3"""
OF_TYPES = ALL.replace("ORDER BY", "AND event_type IN (SELECT value FROM main.json_each($4)) ORDER BY")
OF_STREAMS = ALL.replace("ORDER BY", "AND run_id IN (SELECT value FROM main.json_each($4)) ORDER BY")
OF_TYPES_AND_STREAMS = OF_TYPES.replace("ORDER BY", "AND run_id IN (SELECT value FROM main.json_each($5)) ORDER BY")
FILTERED = {
    (False, False): ALL,
    (True, False): OF_TYPES,
    (False, True): OF_STREAMS,
    (True, True): OF_TYPES_AND_STREAMS,
}
"""The statement, by whether types and whether streams are given."""

PAGE = 1_000
LAST = 2**63 - 1
"""No position and no version is beyond it."""

Rows = Callable[[str, Sequence[Argument]], Sequence[Sequence[Any]]]
"""Runs a statement on whatever is read from."""


def stream_events(
    rows: Rows, store: str, stream: str, after: int, until: int | None, backward: bool, limit: int | None
) -> Iterator[RecordedEvent]:
    """A stream's events with after < version ≤ until, of those there are when the call is made.

    Raises `RowCorrupt` for a row that was changed or is missing; a stream that is purged meanwhile just ends.
    """
    version, position, _ = next(iter(rows(HEAD, (stream,))), (0, 0, b""))
    if not (isinstance(version, int) and isinstance(position, int)):
        raise RowCorrupt(store, f"the last event of stream {stream!r}", f"its version is no number: {version!r}")
    last = version if until is None else min(until, version)
    return _stream_pages(rows, store, stream, max(after, 0), last, (version, position), backward, limit)


def _stream_pages(
    rows: Rows,
    store: str,
    stream: str,
    after: int,
    until: int,
    head: tuple[int, int],
    backward: bool,
    limit: int | None,
) -> Iterator[RecordedEvent]:
    """`head` is the last event's version and position: what is at a later position belongs to a stream made anew under
    this name after a purge.
    """
    version, position = head
    left = LAST if limit is None else limit
    while after < until and left > 0:
        size = min(PAGE, left)
        page = rows(STREAM_BACKWARD if backward else STREAM, (stream, after, until, position, size))
        if not page and not rows(STREAM_REMAINS, (stream, position)):
            return
        for row in page:
            event = event_of(row, store)
            if event.version != (until if backward else after + 1):
                break
            if event.version == version and event.position != position:
                raise RowCorrupt(store, f"stream {stream!r}", f"its index ends with version {version}, its rows do not")
            yield event
            if backward:
                until -= 1
            else:
                after += 1
        else:
            left -= len(page)
            if len(page) == size or after == until:
                continue
        missing = until if backward else after + 1
        raise RowCorrupt(store, f"version {missing} of stream {stream!r}", "it is missing")


def all_events(
    rows: Rows,
    store: str,
    after: int,
    until: int,
    *,
    backward: bool = False,
    types: Collection[str] | None = None,
    streams: Collection[str] | None = None,
    limit: int | None = None,
) -> Iterator[RecordedEvent]:
    """Events with after < position ≤ until, of these types and streams only, where any are given. Raises
    `RowCorrupt`.
    """
    text: str = FILTERED[types is not None, streams is not None]
    if backward:
        text = text.replace("ORDER BY position", "ORDER BY position DESC")
    more = [texts(wanted) for wanted in (types, streams) if wanted is not None]
    left = LAST if limit is None else limit
    while after < until and left > 0:
        size = min(PAGE, left)
        page = rows(text, (after, until, size, *more))
        for row in page:
            event = event_of(row, store)
            position = event.position
            if not after < position <= until:
                raise RowCorrupt(store, f"the event at position {position}", "it is out of order")
            yield event
            if backward:
                until = position - 1
            else:
                after = position
        left -= len(page)
        if len(page) < size:
            return


def texts(elements: Collection[str]) -> str:
    """A list as an argument, to be taken apart by `json_each`."""
    return msgspec.json.encode(list(elements)).decode()
