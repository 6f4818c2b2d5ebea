"""Patches become as few statements as they can, and these make the same tables as the patches do one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from eventstore.codec import Codec
from eventstore.events import TaskRunScheduled, TaskRunStarted
from eventstore.log import Append
from eventstore.memory import MemoryLog
from eventstore.session import Batch, Session
from eventstore.sqlite_session import SqliteSession
from projections import open_store, tables
from projections.fold import Fold
from projections.project import project
from projections.rows import BY_TABLE, ROWS, Delete, Key, Patch, Put, Row, Run, defaults
from tests.postgres import SERVERS, address, fresh_schema
from tests.sql_stores import sql_log

COLUMNS: dict[str, dict[str, Sequence[str | int | None]]] = {
    "workflow_runs": {"status": ("a", "b"), "version": (1, 2), "position": (1, 2)},
    "attempts": {"worker": ("a", '{b,"c\\'), "version": (1, 2), "reason": ("null", None)},
    "node_outputs": {"digest": ("a", "b"), "attempt": (1, 2)},
}


def keys(table: str) -> list[Key]:
    """A few keys of a table, and the beginnings of some."""
    whole: list[Key] = [(run, task, number) for run in ("r", "s") for task in ("t", "u") for number in (1, 2)]
    width = len(BY_TABLE[table].KEY)
    return sorted({key[:width] for key in whole})


def patches_of(table: str) -> SearchStrategy[Patch]:
    columns = {name: st.sampled_from(values) for name, values in COLUMNS[table].items()}
    values = st.fixed_dictionaries({}, optional=columns).filter(bool)
    beginnings = st.sampled_from([key[:width] for key in keys(table) for width in range(1, len(key) + 1)])
    put = st.builds(Put, st.just(table), st.sampled_from(keys(table)), values)
    return put | put | st.builds(Delete, st.just(table), beginnings)


patch_lists = st.lists(st.one_of([patches_of(table) for table in COLUMNS]), max_size=12)


@pytest.fixture(scope="module")
def session() -> Iterator[SqliteSession]:
    """The tables, in memory."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(tables.sqlite_schema())
        yield SqliteSession(connection)


@pytest.fixture(scope="module", params=SERVERS)
def postgres(request: pytest.FixtureRequest) -> Iterator[Session]:
    """The tables, in one long transaction."""
    with (
        fresh_schema(request.param) as schema,
        open_store(address(request.param, schema)) as store,
        sql_log(store).database.writing() as session,
    ):
        yield session


def apply_and_compare(session: Session, calls: list[list[Patch]], *, arrays: bool) -> None:
    tables.clear(session)
    folded = Fold()
    for patches in calls:
        tables.apply(session, patches, arrays=arrays)
        for patch in patches:
            folded.apply(patch)
        assert tables.all_contents(session) == folded.tables


@given(calls=st.lists(patch_lists, min_size=1, max_size=3))
def test_statements_make_the_tables_that_the_patches_make(session: SqliteSession, calls: list[list[Patch]]) -> None:
    apply_and_compare(session, calls, arrays=False)


@given(calls=st.lists(patch_lists, min_size=1, max_size=3))
def test_statements_that_take_lists_make_the_same_tables(postgres: Session, calls: list[list[Patch]]) -> None:
    apply_and_compare(postgres, calls, arrays=True)


@given(patches=patch_lists)
def test_no_row_is_put_twice_and_equal_texts_stand_together(patches: list[Patch]) -> None:
    made = tables.statements(patches)
    removed = [patch for patch in patches if isinstance(patch, Delete) and patch.table == Run.TABLE]
    runs = [(text, *row) for text, rows in made for row in rows]
    assert len(set(runs)) == len(runs) <= len(patches) + len(removed)
    assert len({text for text, _ in made}) == len(made)


def test_a_row_put_after_its_deletion_has_the_defaults_in_its_other_columns(session: SqliteSession) -> None:
    tables.clear(session)
    tables.apply(session, [Put("attempts", ("r", "t", 1), {"worker": "first", "version": 1})])
    again: list[Patch] = [Put("attempts", ("r", "t", 1), {"epoch": 7}), Delete("attempts", ("r",))]
    tables.apply(session, [*again, Put("attempts", ("r", "t", 1), {"version": 2})])
    assert tables.contents(session, "attempts") == {("r", "t", 1): defaults("attempts") | {"version": 2}}


def statements_for(*events: TaskRunScheduled | TaskRunStarted, unplaced: bool, arrays: bool = False) -> list[Batch]:
    codec = Codec()
    recorded = MemoryLog().append([Append("run", [codec.encode(event) for event in events])]).events
    patches = [patch for event in recorded for patch in project(codec.decode(event), event)]
    return tables.statements(patches, unplaced=unplaced, arrays=arrays)


def test_tasks_that_are_scheduled_together_are_statements_of_one_text() -> None:
    (made,) = statements_for(*(TaskRunScheduled(f"t{number}") for number in range(10)), unplaced=True)
    assert len(made.rows) == 10


def test_tasks_that_are_scheduled_together_are_one_statement_where_lists_are_taken() -> None:
    (made,) = statements_for(*(TaskRunScheduled(f"t{number}") for number in range(10)), unplaced=True, arrays=True)
    assert [row[:2] for row in made.rows] == [[["run"] * 10, [f"t{number}" for number in range(10)]]]


def test_a_row_alone_is_put_without_lists() -> None:
    made = statements_for(TaskRunScheduled("t"), unplaced=True, arrays=True)
    assert [text for text, _ in made] == [text for text, _ in statements_for(TaskRunScheduled("t"), unplaced=True)]


def test_a_position_nobody_knows_yet_is_that_of_the_event_it_comes_from_and_not_of_a_later_one() -> None:
    (task, *_) = [
        s
        for s in statements_for(TaskRunScheduled("a"), TaskRunStarted("a", 1), unplaced=True)
        if "INTO main.task_runs" in s.text
    ]
    names = task.text.partition("(")[2].partition(")")[0].split(", ")
    values = dict(zip(names, task.rows[0], strict=True))
    assert (values["position"], values["version"]) == (1, 2)
    place = names.index("position") + 1
    assert f"(SELECT position FROM main.workflow_events WHERE run_id = $1 AND sequence = ${place})" in task.text


@pytest.mark.parametrize("kind", ROWS)
def test_a_deletion_by_the_beginning_of_a_key_searches_and_never_scans(session: SqliteSession, kind: type[Row]) -> None:
    for width in range(1, len(kind.KEY) + 1):
        (row, *snapshots) = tables.statements([Delete(kind.TABLE, ("r", "t", 1)[:width])])
        ((*_, plan),) = session.rows(f"EXPLAIN QUERY PLAN {row.text}", row.rows[0])
        assert plan.startswith("SEARCH")
        assert all(f"{name}=?" in plan for name in kind.KEY[:width])
        assert [statement.text for statement in snapshots] == [tables.FORGET_SNAPSHOTS] * (kind is Run)
