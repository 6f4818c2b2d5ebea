"""How events come into Postgres: one statement that gives out positions and refuses what was decided on old heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from psycopg.types.numeric import Int8

from eventstore.admit import Head
from eventstore.log import RecordedEvent
from eventstore.session import Argument
from eventstore.sql_events import WRITTEN, rows_of

_COLUMNS = ", ".join(WRITTEN)
_PARAMETERS = ", ".join(f"${number}" for number in range(1, len(WRITTEN) + 1))
_NUMBERS = ("sequence", "event_schema", "checksum", "commit_place", "commit_size", "projected")
_BYTES = ("payload", "event_id", "hash")
_ARRAYS = ", ".join(
    f"${number}::{'bigint' if column in _NUMBERS else 'bytea' if column in _BYTES else 'text'}[]"
    for number, column in enumerate(WRITTEN, 1)
)

INSERT_ONE = f"""INSERT INTO main.workflow_events (position, {_COLUMNS}) SELECT
    CASE WHEN $2 = 1 OR EXISTS
        (SELECT 1 FROM main.workflow_events WHERE run_id = $1 AND sequence = $2 - 1 AND hash = $16)
    THEN nextval('main.workflow_positions') END, {_PARAMETERS} RETURNING position"""
"""Inserts an event if the one before it in its stream, whose hash is $16, is there. The position is NOT NULL: without
it the statement is refused.
"""
INSERT_MANY = f"""WITH beliefs AS MATERIALIZED (
    SELECT NOT EXISTS (SELECT 1 FROM unnest($16::text[], $17::bigint[], $18::bytea[]) AS head (stream, version, hash)
        WHERE NOT EXISTS (SELECT 1 FROM main.workflow_events AS e
            WHERE e.run_id = stream AND e.sequence = version AND e.hash = head.hash)) AS hold
), block AS MATERIALIZED (
    SELECT min(taken) AS first, max(taken) - min(taken) + 1 = count(*) AS whole
    FROM (SELECT nextval('main.workflow_positions') AS taken FROM generate_series(1, cardinality($1::text[]))) AS t
), inserted AS (
    INSERT INTO main.workflow_events (position, {_COLUMNS})
    SELECT CASE WHEN hold AND whole THEN first + commit_place END, {_COLUMNS}
    FROM beliefs, block, unnest({_ARRAYS}) AS new ({_COLUMNS})
    RETURNING position
) SELECT min(position) FROM inserted"""
"""Inserts a commit if the last event of each of its streams ($16 to $18) is there, and if the positions that it was
given are in a row: another append may have taken some in between.
"""


def insertion(
    commit: Sequence[RecordedEvent], heads: Mapping[str, Head], *, projected: bool
) -> tuple[str, Sequence[Argument]]:
    """The statement that inserts a commit if its streams have these heads, and its arguments. It returns the first
    position. Streams without a head here are not checked: who leaves them out keeps other writers out.
    """
    # Without Int8 the server would be told a type by the size of the numbers.
    rows = list(rows_of(commit, projected=projected))
    if len(rows) == 1 and commit[0].stream in heads:
        return INSERT_ONE, (*rows[0], bytes.fromhex(heads[commit[0].stream].hash))
    rows.sort()  # by stream: whoever appends to the same ones waits for the first, and never in a circle
    streams = {event.stream for event in commit}
    old = [(stream, head) for stream, head in heads.items() if head.version and stream in streams]
    return INSERT_MANY, (
        *(
            list(map(Int8, values)) if column in _NUMBERS else values
            for column, values in zip(WRITTEN, map(list, zip(*rows, strict=True)), strict=True)
        ),
        [stream for stream, _ in old],
        [Int8(head.version) for _, head in old],
        [bytes.fromhex(head.hash) for _, head in old],
    )


def positioned(commit: Sequence[RecordedEvent], first: int) -> tuple[RecordedEvent, ...]:
    """The events of a commit, where they have come to stand."""
    return tuple(
        msgspec.structs.replace(event, position=first + place, commit=first) for place, event in enumerate(commit)
    )
