"""Workflow store in databases: the tables have the columns that were asked for, and no engine sees a difference."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from eventstore.copying import copy_log
from eventstore.errors import Conflict, InvalidInput, InvalidTransition, InvalidValue, NotFound
from eventstore.log import RecordedEvent
from projections import Store, WorkflowStore
from projections.addresses import parse_address
from tests.commands.test_concurrency import at_once
from tests.faces.engines import REPORTING, RUN, WRITE
from tests.faces.test_one_engine_everywhere import THRESHOLD, live
from tests.sql_stores import SQL, in_schema
from tests.stores import BACKENDS, Clock, address_of, completed, open_again, run_of, tables_of

COLUMNS = {
    "workflow_runs": {"id", "workflow_name", "status", "user_message", "created_at", "updated_at"},
    "workflow_events": {"run_id", "sequence", "event_type", "timestamp", "payload", "position", "event_id"},
    "node_outputs": {"run_id", "task_id", "output", "digest", "version", "attempt"},
}
"""`task_id` is the node's id, and `version` the sequence of its completion."""


@pytest.fixture(params=SQL)
def address(request: pytest.FixtureRequest, folder: Path) -> str:
    """Where a store in a database is kept: SQLite, and each version of Postgres."""
    return address_of(request.param, folder)


def rows(address: str, query: str) -> list[tuple[Any, ...]]:
    """What another program finds that knows nothing of this library."""
    place = parse_address(address)
    if place.scheme == "sqlite":
        with closing(sqlite3.connect(place.path)) as connection:
            return connection.execute(query).fetchall()
    with in_schema(address) as other:
        return other.execute(query.encode()).fetchall()


def columns(address: str, table: str) -> set[str]:
    if address.startswith("sqlite:"):
        query = f"SELECT name FROM pragma_table_info('{table}')"
    else:
        query = f"""SELECT column_name FROM information_schema.columns
            WHERE table_schema = current_schema() AND table_name = '{table}'"""
    return {name for (name,) in rows(address, query)}


@pytest.mark.parametrize("table", ["workflow_runs"])
def test_s2_09_runs_are_in_a_table_with_the_columns_asked_for(address: str, table: str) -> None:
    with open_again(address) as store:
        assert columns(address, table) >= COLUMNS[table]
        store.create_run("flow", run_id="run", user_message="do it")
        store.start_run("run")
        query = "SELECT id, workflow_name, status, user_message, created_at, updated_at FROM workflow_runs"
        run = store.get_run("run")
    assert run is not None
    assert run.created_at is not None
    assert run.updated_at is not None
    assert rows(address, query) == [
        (
            "run",
            "flow",
            "running",
            "do it",
            *(f"{time:%Y-%m-%dT%H:%M:%S.%fZ}" for time in (run.created_at, run.updated_at)),
        )
    ]


def test_s2_10_events_are_in_a_table_with_the_columns_asked_for(address: str) -> None:
    with open_again(address) as store:
        assert columns(address, "workflow_events") >= COLUMNS["workflow_events"]
        store.create_run("flow", run_id="run")
        event = WorkflowStore(store).create_workflow_event("run", "custom.said", {"n": 1})
    query = "SELECT run_id, sequence, event_type, payload, position, event_id FROM workflow_events ORDER BY position"
    *_, last = rows(address, query)
    assert last == ("run", 2, "custom.said", b'{"n":1}', event.position, event.id.bytes)


@pytest.mark.parametrize("unique", ["run_id, sequence", "event_id", "position"])
def test_s2_10_a_sequence_number_an_event_id_and_a_position_are_there_once(address: str, unique: str) -> None:
    with open_again(address) as store:
        store.create_run("flow", run_id="run")
    every = sorted(columns(address, "workflow_events"))
    fresh = {"position": "position + 1", "sequence": "sequence + 1", "event_id": "payload"}
    values = ", ".join(fresh[name] if name in fresh and name not in unique else name for name in every)
    again = f"INSERT INTO workflow_events ({', '.join(every)}) SELECT {values} FROM workflow_events"
    with pytest.raises((sqlite3.IntegrityError, psycopg.errors.UniqueViolation)):
        rows(address, again)


def test_s2_11_a_table_holds_the_effective_output_of_each_node(address: str) -> None:
    with open_again(address, threshold=20) as store:
        assert columns(address, "node_outputs") >= COLUMNS["node_outputs"]
        run_of(store, "a", "b", "c")
        completed(store, "run", "a", "first")
        store.invalidate_task("run", "a")
        completed(store, "run", "a", "second")
        completed(store, "run", "b", "x" * 50)
        completed(store, "run", "c", "gone")
        store.invalidate_task("run", "c")
        kept = {output.task_id: output for output in store.list_outputs("run")}
    query = "SELECT run_id, task_id, attempt, version, digest FROM node_outputs ORDER BY version"
    assert rows(address, query) == [
        ("run", "a", 2, kept["a"].version, kept["a"].digest),
        ("run", "b", 1, kept["b"].version, kept["b"].digest),
    ]
    ((large,),) = rows(address, "SELECT output FROM node_outputs WHERE task_id = 'b'")
    assert kept["b"].digest in large  # a reference: the bytes are a blob


def test_s2_12_all_databases_have_the_same_tables(tmp_path: Path) -> None:
    found = []
    for kind in SQL:
        address = address_of(kind, tmp_path / kind)
        with open_again(address):
            found.append({table: columns(address, table) for table in COLUMNS})
    assert len(found) > 1
    assert all(each == found[0] for each in found)


def test_s2_12_many_that_open_a_fresh_database_at_once_find_it_whole(address: str) -> None:
    def work(number: int) -> None:
        with open_again(address) as store:
            store.create_run("flow", run_id=str(number))

    assert at_once(*(partial(work, number) for number in range(4))) == [None] * 4
    with open_again(address) as store:
        assert {run.id for run in store.list_runs()} == {"0", "1", "2", "3"}


@pytest.mark.parametrize("kind", BACKENDS)
def test_s2_13_an_engine_is_switched_by_its_address_alone(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for address in ("memory:", address_of(kind, tmp_path / "store")):
        numbers = count(1)
        monkeypatch.setattr("eventstore.codec.new_id", lambda numbers=numbers: UUID(int=next(numbers)))
        found.append(live(WorkflowStore, address, REPORTING))
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", BACKENDS)
def test_s2_13_a_copy_in_another_backend_keeps_order_ids_and_times(kind: str, store: Store, tmp_path: Path) -> None:
    def said(of: Store) -> list[tuple[object, ...]]:
        return [
            (event.stream, event.version, event.id, event.type, event.data, event.time, event.recorded_at, event.hash)
            for event in of.log.read_all()
        ]

    for life in REPORTING:
        life(WorkflowStore(store))
    with WorkflowStore.open(
        address_of(kind, tmp_path / "copy"), durability="none", clock=Clock(), threshold=THRESHOLD
    ) as target:
        copy_log(store.log, store.values.blobs, target.store.log, target.store.values.blobs)
        assert said(target.store) == said(store)
        positions = [event.position for event in target.store.log.read_all()]
        assert positions == sorted(set(positions))
        assert tables_of(target.store) == tables_of(store)
        outputs = target.get_completed_dag_node_outputs(RUN)
        assert outputs == WorkflowStore(store).get_completed_dag_node_outputs(RUN)
        assert WRITE in outputs


Mistake = Callable[[WorkflowStore], object]
MISTAKES: dict[type[Exception], Mistake] = {
    NotFound: lambda workflows: workflows.update_workflow_run("nobody", status="running"),
    InvalidTransition: lambda workflows: workflows.update_workflow_run("run", status="completed"),
    Conflict: lambda workflows: workflows.create_workflow_run("other", id="run"),
    InvalidValue: lambda workflows: workflows.create_workflow_event("run", "custom.said", float("inf")),
    InvalidInput: lambda workflows: workflows.list_workflow_runs(status="unheard-of"),
}


@pytest.mark.parametrize("error", MISTAKES)
def test_s2_13_a_mistake_is_the_same_error_on_every_backend(store: Store, error: type[Exception]) -> None:
    workflows = WorkflowStore(store)
    workflows.create_workflow_run("flow", id="run")
    before: list[RecordedEvent] = workflows.list_workflow_events("run")
    with pytest.raises(error) as raised:
        MISTAKES[error](workflows)
    assert raised.type is error
    assert workflows.list_workflow_events("run") == before
