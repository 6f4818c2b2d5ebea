"""Stores in a database: their logs opened without views, and other programs that reach into their tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg import sql

from eventstore.postgres import PostgresLog
from eventstore.sql_log import SqlLog
from eventstore.sqlite import SqliteLog
from projections import Store
from projections.addresses import parse_address
from tests.postgres import SERVERS
from tests.stores import Clock

SQL = ("sqlite", *SERVERS)


def open_log(address: str, clock: Clock | None = None) -> SqlLog:
    """The log at an address, as a program opens it that has no views."""
    place = parse_address(address)
    if place.scheme == "sqlite":
        return SqliteLog(place.path, durability="none", clock=clock or Clock())
    return PostgresLog(place.dsn, durability="none", clock=clock or Clock(), **place.options)


def sql_log(store: Store) -> SqlLog:
    """The store's log, which is one in a database."""
    assert isinstance(store.log, SqlLog)
    return store.log


def change(address: str, statement: str, *arguments: object) -> None:
    """Another program changes a row; `?` stands for the arguments."""
    place = parse_address(address)
    if place.scheme == "sqlite":
        with closing(sqlite3.connect(place.path)) as connection:
            changed = connection.execute(statement, arguments).rowcount
            connection.commit()
    else:
        with in_schema(address) as other:
            changed = other.execute(statement.replace("?", "%s").encode(), arguments).rowcount
            other.commit()
    assert changed == 1


def change_event(address: str, statement: str, *arguments: object) -> None:
    """Another program does what the database forbids, and leaves no other trace."""
    place = parse_address(address)
    if place.scheme == "sqlite":
        with closing(sqlite3.connect(place.path)) as connection:
            triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _ in triggers:
                connection.execute(f"DROP TRIGGER {name}")
            changed = connection.execute(statement, arguments).rowcount
            for _, made in triggers:
                connection.execute(made)
            connection.commit()
    else:
        with in_schema(address) as other:
            other.execute("ALTER TABLE workflow_events DISABLE TRIGGER USER")
            changed = other.execute(statement.replace("?", "%s").encode(), arguments).rowcount
            other.execute("ALTER TABLE workflow_events ENABLE TRIGGER USER")
            other.commit()
    assert changed == 1


@contextmanager
def in_schema(address: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that knows the tables of a store in Postgres by their names."""
    place = parse_address(address)
    with closing(psycopg.connect(place.dsn)) as connection:
        schema = sql.Identifier(place.options["schema"])
        connection.execute(sql.SQL("SET search_path TO {}").format(schema))
        connection.commit()
        yield connection
