"""How many bytes a store has, in tables, indexes and files, with nothing left in write-ahead logs."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg

SCHEMA_SIZE = """SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind IN ('r', 'm')"""


def folder_size(path: Path) -> int:
    """The bytes of all files in a folder, as long as they say they are."""
    return sum(os.path.getsize(file) for file in path.rglob("*") if file.is_file())


def sqlite_size(path: str) -> int:
    """The bytes of a SQLite file's pages that are in use."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        ((size,), (pages,), (free,)) = (
            connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "page_count", "freelist_count")
        )
    return int(size * (pages - free))


def postgres_size(dsn: str, schema: str) -> int:
    """The bytes of a schema's tables and their indexes."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(SCHEMA_SIZE, (schema,)).fetchone()
    return int(row[0]) if row else 0
