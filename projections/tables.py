"""The views as SQL tables: applies patches, and reads rows back.

Upserts are made from the row classes' column names, once for each set of columns; all other SQL is fixed text.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterable, Sequence

from projections.rows import BY_TABLE, Key, Patch, Put, RowT, Scalar, parse


def apply(connection: sqlite3.Connection, patches: Iterable[Patch]) -> None:
    """Make the patches, in order, inside the caller's transaction."""
    for patch in patches:
        if isinstance(patch, Put):
            connection.execute(_upsert(patch.table, tuple(patch.values)), (*patch.key, *patch.values.values()))
        else:
            connection.execute(_delete(patch.table, len(patch.key)), patch.key)


def clear(connection: sqlite3.Connection) -> None:
    """Remove every row, inside the caller's transaction."""
    for table in BY_TABLE:
        connection.execute(_delete(table, 0))


def select(connection: sqlite3.Connection, kind: type[RowT], rest: str, arguments: Sequence[Scalar] = ()) -> list[RowT]:
    """The typed rows of a table, for a query that goes on after its FROM with this fixed text.

    Its parameters are `$1`, `$2` …, in the order of the arguments.
    """
    # To SQLite, `$1` is a parameter with the name 1.
    named = {str(place): argument for place, argument in enumerate(arguments, 1)}
    return [parse(kind, row) for row in connection.execute(_select(kind.TABLE, rest), named)]


def contents(connection: sqlite3.Connection, table: str) -> dict[Key, dict[str, Scalar]]:
    """A whole table in the form of `Fold.tables`."""
    kind = BY_TABLE[table]
    width = len(kind.KEY)
    names = kind.__struct_fields__[width:]
    return {row[:width]: dict(zip(names, row[width:], strict=True)) for row in connection.execute(_select(table, ""))}


@functools.cache
def _select(table: str, rest: str) -> str:
    return f"SELECT {', '.join(BY_TABLE[table].__struct_fields__)} FROM {table} {rest}"


@functools.cache
def _upsert(table: str, columns: tuple[str, ...]) -> str:
    key = BY_TABLE[table].KEY
    names = (*key, *columns)
    values = ", ".join("?" * len(names))
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns)
    insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})"
    return f"{insert} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"


@functools.cache
def _delete(table: str, width: int) -> str:
    conditions = [f"{name} = ?" for name in BY_TABLE[table].KEY[:width]]
    return f"DELETE FROM {table} WHERE {' AND '.join(conditions) or 'true'}"
