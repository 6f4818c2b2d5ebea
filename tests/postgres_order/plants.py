"""Bugs that other event stores have shipped, to be planted in the processes of a trial.

Where a bug shows only if others come in between, the plant makes that time longer; the right order would stand it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence

import pytest

from eventstore import postgres, postgres_database, postgres_insert
from eventstore.log import RecordedEvent
from eventstore.postgres import ENTER_BESIDE_OTHERS, FLOORS, LAST_GIVEN_OUT, LAST_VALUE, PostgresLog, _settled
from eventstore.postgres_database import PostgresSession
from eventstore.postgres_insert import INSERT_MANY, INSERT_ONE
from eventstore.session import Batch, Statement
from eventstore.sql_reader import all_events

FLOOR = f"pg_advisory_xact_lock_shared($4::bigint::int, ({LAST_VALUE})::bit(32)::int)"
LATE_FLOOR = FLOOR.replace("$4", "$1")
HESITATE = Statement("SELECT pg_sleep(CASE WHEN random() < 0.3 THEN 0.008 ELSE 0 END)")
BLOCK = """    SELECT min(taken) AS first, max(taken) - min(taken) + 1 = count(*) AS whole
    FROM (SELECT nextval('main.workflow_positions') AS taken FROM generate_series(1, cardinality($1::text[]))) AS t
"""
SCATTERED_BLOCK = """    SELECT row_number() OVER () - 1 AS place, taken FROM (
        SELECT nextval('main.workflow_positions') AS taken FROM generate_series(1, cardinality($1::text[]))
        WHERE pg_sleep(0.0003)::text IS NOT NULL) AS t
"""
LAST_BELOW = "SELECT position FROM main.workflow_events WHERE position <= $1 ORDER BY position DESC LIMIT 1"

_planter = pytest.MonkeyPatch()


def plant(bug: str | None) -> None:
    """Plant it in this process, for good."""
    if bug is not None:
        PLANTS[bug]()


def no_floor() -> None:
    _planter.setattr(postgres, "ENTER_BESIDE_OTHERS", _replaced(ENTER_BESIDE_OTHERS, FLOOR, "$4::bigint"))
    _after_the_insert(lambda _: [HESITATE])


def floor_after_the_position() -> None:
    def show_floor(log: PostgresLog) -> Sequence[Statement]:
        key = postgres._signed(log._events_key)
        return [HESITATE, Statement(f"SELECT {LATE_FLOOR} FROM main.workflow_positions", (key,)), HESITATE]

    no_floor()
    _after_the_insert(show_floor)


def floors_before_the_last_position() -> None:
    _after_the_insert(lambda _: [HESITATE])

    def find_end(log: PostgresLog, session: PostgresSession) -> int:
        floors = session.rows(FLOORS, (log._database_key, log._events_key))
        session.rows(*HESITATE)
        ((last, _),) = session.rows(LAST_GIVEN_OUT)
        ((end,),) = session.rows(LAST_BELOW, (_settled(last, floors),)) or [(0,)]
        return int(end)

    _planter.setattr(PostgresLog, "_find_end", find_end)


def one_snapshot() -> None:
    def read_all(
        log: PostgresLog, *, after: int = 0, types: Collection[str] | None = None, limit: int | None = None
    ) -> Iterator[RecordedEvent]:
        with log.database.reading() as session:
            session.rows("SELECT count(*) FROM main.checkpoints")
            session.rows(*HESITATE)
            end = log._find_end(session)
            found = all_events(session.rows, log.name, after, end, types=types, limit=limit)
            return iter(list(itertools.islice(found, limit)))

    _planter.setattr(PostgresLog, "read_all", read_all)


def commits_in_parts() -> None:
    def find_end(log: PostgresLog, session: PostgresSession) -> int:
        ((last, _),) = session.rows(LAST_GIVEN_OUT)
        floors = session.rows(FLOORS, (log._database_key, log._events_key))
        session.rows(*HESITATE)
        ((end,),) = session.rows(LAST_BELOW, (_settled(last, floors),)) or [(0,)]
        return int(end)

    _planter.setattr(PostgresLog, "_find_end", find_end)
    slow = "FROM generate_series(1, cardinality($1::text[])) WHERE pg_sleep(0.0003)::text IS NOT NULL) AS t"
    quick = "FROM generate_series(1, cardinality($1::text[]))) AS t"
    _planter.setattr(postgres_insert, "INSERT_MANY", _replaced(INSERT_MANY, quick, slow))


def positions_not_in_a_row() -> None:
    scattered = _replaced(INSERT_MANY, BLOCK, SCATTERED_BLOCK)
    scattered = _replaced(scattered, "hold AND whole THEN first + commit_place", "hold THEN taken")
    scattered = _replaced(scattered, "    RETURNING", "    WHERE place = commit_place RETURNING")
    _planter.setattr(postgres_insert, "INSERT_MANY", scattered)


def no_guard_on_the_hash() -> None:
    start, end = INSERT_ONE.index("$2 = 1 OR"), INSERT_ONE.index("THEN")
    unguarded = f"{INSERT_ONE[:start]} $16::bytea IS NOT NULL {INSERT_ONE[end:]}"
    _planter.setattr(postgres_insert, "INSERT_ONE", unguarded)
    _planter.setattr(
        postgres_insert, "INSERT_MANY", _replaced(INSERT_MANY, "hold AND whole", "(hold OR true) AND whole")
    )


def nobody_kept_out() -> None:
    _planter.setattr(postgres_database, "LOCK_OUT_OTHERS", "SELECT $1::bigint")


PLANTS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (
        no_floor,
        floor_after_the_position,
        floors_before_the_last_position,
        one_snapshot,
        commits_in_parts,
        positions_not_in_a_row,
        no_guard_on_the_hash,
        nobody_kept_out,
    )
}


def _after_the_insert(run: Callable[[PostgresLog], Sequence[Statement]]) -> None:
    project = PostgresLog._project

    def project_late(log: PostgresLog, commit: Sequence[RecordedEvent]) -> tuple[Sequence[Batch], bool]:
        statements, projected = project(log, commit)
        return (*(Batch(text, [arguments]) for text, arguments in run(log)), *statements), projected

    _planter.setattr(PostgresLog, "_project", project_late)


def _replaced(text: str, old: str, new: str) -> str:
    """Fails where there is nothing to replace: then the bug would not be planted."""
    assert text.count(old) == 1, f"{old!r} is not what is written any more"
    return text.replace(old, new)
