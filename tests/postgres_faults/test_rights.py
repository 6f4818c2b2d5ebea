"""What a role must be allowed to do, and what is said when it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

from eventstore.errors import Unavailable
from eventstore.log import Append, Checkpoint, NewEvent, now
from eventstore.postgres import PostgresLog
from eventstore.sql_blobs import SqlBlobs
from projections import Store, open_store
from tests.postgres import address
from tests.postgres_server import Server

TO_APPEND = (
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    "GRANT SELECT, INSERT ON {schema}.workflow_events TO {role}",
    "GRANT SELECT, USAGE ON SEQUENCE {schema}.workflow_positions TO {role}",
    "GRANT SELECT ON {schema}.checkpoints, {schema}.schema_versions TO {role}",
)
FOR_CHECKPOINTS = ("GRANT INSERT, UPDATE ON {schema}.checkpoints TO {role}",)
FOR_BLOBS = ("GRANT SELECT, INSERT, UPDATE ON {schema}.blobs TO {role}",)
TO_REMOVE_BLOBS = ("GRANT SELECT, DELETE ON {schema}.blobs TO {role}",)
TO_PURGE = (
    "GRANT DELETE ON {schema}.workflow_events TO {role}",
    "GRANT SELECT, INSERT, DELETE ON {schema}.purging TO {role}",
)
FOR_VIEWS = (
    "GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.workflows, {schema}.workflow_runs TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.task_runs, {schema}.attempts, {schema}.node_outputs TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.run_metadata, {schema}.workflow_versions TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.blob_references TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.board_tasks, {schema}.board_dependencies TO {role}",
    "GRANT SELECT, INSERT, UPDATE ON {schema}.caught_up TO {role}",
)
FOR_SNAPSHOTS = ("GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.snapshots TO {role}",)


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    """The store, made by a role that may do anything."""
    with open_store(place) as opened:
        yield opened


@contextmanager
def role(server: Server, schema: str, *grants: str) -> Iterator[str]:
    """The server's address for a role that has these rights and no others."""
    name = f"role_{schema}"
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN".encode())
        for grant in grants:
            connection.execute(grant.format(schema=schema, role=name).encode())
        yield server.dsn.replace("postgres@", f"{name}@")
        connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


def commit() -> list[Append]:
    return [Append("run", [NewEvent(type="written", data=b"{}")])]


@pytest.mark.parametrize("ordering", ["concurrent", "strict"])
@pytest.mark.usefixtures("store")
def test_to_select_and_insert_is_enough_to_open_and_append(server: Server, schema: str, ordering: Any) -> None:
    with (
        role(server, schema, *TO_APPEND) as dsn,
        closing(PostgresLog(dsn, schema=schema, ordering=ordering)) as log,
    ):
        first = commit()
        assert log.append(first).versions == {"run": 1}
        assert log.append(first).repeated
        assert log.append(commit()).versions == {"run": 2}
        assert len([*log.read_all()]) == 2
        assert log.checkpoint("reader") is None
        with psycopg.connect(dsn) as connection:
            assert log.append_within(connection, commit()).versions == {"run": 3}


USES: dict[str, tuple[tuple[str, ...], Callable[[PostgresLog], object]]] = {
    "checkpoints": (FOR_CHECKPOINTS, lambda log: log.append(commit(), checkpoint=Checkpoint("reader", 1))),
    "blobs": (FOR_BLOBS, lambda log: SqlBlobs(log.database).put(b"large")),
    "removals of blobs": (TO_REMOVE_BLOBS, lambda log: SqlBlobs(log.database).remove("", kept_before=now())),
    "purges": (TO_PURGE, lambda log: log.purge("run")),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.usefixtures("store")
def test_whatever_else_a_log_does_needs_its_own_rights(server: Server, schema: str, use: str) -> None:
    grants, call = USES[use]
    with role(server, schema, *TO_APPEND) as dsn, closing(PostgresLog(dsn, schema=schema)) as log:
        log.append(commit())
        with pytest.raises(Unavailable, match="permission denied") as caught:
            call(log)
        assert "Grant" in caught.value.hint
    with role(server, schema, *TO_APPEND, *grants) as dsn, closing(PostgresLog(dsn, schema=schema)) as log:
        call(log)


@pytest.mark.usefixtures("store")
def test_a_store_with_views_needs_the_rights_on_their_tables(server: Server, schema: str) -> None:
    rights = (*TO_APPEND, *FOR_VIEWS, *FOR_SNAPSHOTS)
    with role(server, schema, *rights) as dsn, open_store(f"{dsn}?schema={schema}") as store:
        store.create_run("flow", run_id="run")
        assert store.get_run("run") is not None
        store.rebuild()
    with (
        role(server, schema, *TO_APPEND) as dsn,
        open_store(f"{dsn}?schema={schema}") as store,
        pytest.raises(Unavailable, match="permission denied"),
    ):
        store.create_run("flow")


def test_who_may_not_keep_or_read_snapshots_folds_the_events_instead(server: Server, schema: str, store: Store) -> None:
    store.create_run("flow", run_id="run")
    store.start_run("run", lease=60)
    rights = (*TO_APPEND, *FOR_VIEWS)
    for more in ((), (FOR_SNAPSHOTS[0].replace(", INSERT, UPDATE, DELETE", ""),)):
        with (
            role(server, schema, *rights, *more) as dsn,
            open_store(f"{dsn}?schema={schema}", snapshot_every=0) as reader,
        ):
            assert reader.as_of("run").tables == store.as_of("run").tables
            reader.renew_lease("run", epoch=1, lease=60)
    assert store.log.version("run") == 4


@pytest.mark.usefixtures("store")
def test_what_a_role_may_not_vacuum_is_left_to_the_server(server: Server, schema: str) -> None:
    with role(server, schema, *TO_APPEND) as dsn, closing(PostgresLog(dsn, schema=schema)) as log:
        log.database.reclaim("workflow_events", "blobs")


def test_a_role_that_may_not_make_the_store_is_told(server: Server, schema: str) -> None:
    with role(server, schema) as dsn, pytest.raises(Unavailable, match="permission denied") as caught:
        PostgresLog(dsn, schema=schema)
    assert "Grant" in caught.value.hint


def test_a_server_that_takes_no_writes_is_read_and_says_where_to_append(
    server: Server, schema: str, store: Store
) -> None:
    run = store.create_run("flow", run_id="run")
    with open_store(f"{address(server, schema)}&options=-cdefault_transaction_read_only=on") as standby:
        assert standby.get_run("run") is not None
        assert len([*standby.log.read_all()]) == 1
        for call in (lambda: standby.log.append(commit()), lambda: standby.log.purge("run")):
            with pytest.raises(Unavailable, match="read-only") as caught:
                call()
            assert "primary" in caught.value.hint
    assert run is not None


def test_no_store_is_made_on_a_server_that_takes_no_writes(server: Server, schema: str) -> None:
    with pytest.raises(Unavailable, match="read-only") as caught:
        PostgresLog(f"{server.dsn}?options=-cdefault_transaction_read_only%3Don", schema=schema)
    assert "primary" in caught.value.hint
