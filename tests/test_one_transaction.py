"""On SQL, an event and what it does to the views are one transaction: nothing can come between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from eventstore.errors import EventStoreError
from eventstore.log import Append, NewEvent, RecordedEvent
from eventstore.session import Batch
from projections import Task, open_store
from tests.postgres import SERVERS, address, dsn, fresh_schema
from tests.sql_stores import SQL, sql_log
from tests.stores import address_of

WRITERS = """SELECT DISTINCT writer FROM (
    SELECT xmin::text AS writer FROM {0}.workflow_events WHERE sequence > 2
    UNION ALL SELECT xmin::text FROM {0}.task_runs UNION ALL SELECT xmin::text FROM {0}.attempts) AS written"""


class Broken:
    """Views whose statement the database refuses."""

    def statements(self, events: Sequence[RecordedEvent]) -> Sequence[Batch]:
        return [Batch("INSERT INTO main.task_runs (run_id, no_such_column) VALUES ($1, 'x')", [(events[0].stream,)])]


@pytest.mark.parametrize("server", SERVERS)
def test_postgres_knows_one_writer_of_the_rows_of_one_append(server: str) -> None:
    """Each row names the transaction that wrote it. Many statements of one text go another way than single ones."""
    with fresh_schema(server) as schema:

        def writers() -> int:
            with psycopg.connect(dsn(server)) as connection:
                return len(connection.execute(WRITERS.format(schema).encode()).fetchall())

        with open_store(address(server, schema)) as store:
            store.create_run("flow", run_id="r")
            store.start_run("r", worker="w")
            store.schedule_tasks("r", [Task(f"task-{number}") for number in range(20)])
            assert writers() == 1
            store.start_task("r", "task-3")
            assert writers() == 2


@pytest.mark.parametrize("backend", SQL)
@pytest.mark.parametrize("size", [1, 5])
def test_an_append_whose_views_the_database_refuses_is_not_there(backend: str, size: int, tmp_path: Path) -> None:
    events = [NewEvent(type="happened", data=b"{}") for _ in range(size)]
    with open_store(address_of(backend, tmp_path / "store")) as store:
        log = sql_log(store)
        views, log.inline = log.inline, Broken()
        with pytest.raises(EventStoreError):
            log.append([Append("r", events)])
        log.inline = views

        assert (log.version("r"), log.head(), list(log.read_all())) == (0, 0, [])
        assert not log.append([Append("r", events, 0)]).repeated
        assert store.verify().clean
