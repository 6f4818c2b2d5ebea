"""The tables of SQL stores, in numbered files that are only ever added to, and how they get into a database."""

from __future__ import annotations

import re
from importlib.resources.abc import Traversable

from eventstore.errors import RowCorrupt, UnsupportedStore
from eventstore.session import Session, Statement

VERSIONED = "schema_versions"
"""The first table of every store: each part of the schema, and its version."""

VERSIONS = "CREATE TABLE main.schema_versions (part TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL)"
VERSION = "SELECT version FROM main.schema_versions WHERE part = $1"
SET_VERSION = """INSERT INTO main.schema_versions VALUES ($1, $2)
    ON CONFLICT (part) DO UPDATE SET version = excluded.version"""

_FILE_NAME = re.compile(r"(\d{4})\.sql")
_END_OF_STATEMENT = re.compile(r";\n(?:\n|\Z)")


def migrate(session: Session, part: str, folder: Traversable, *, until: int | None = None) -> bool:
    """Bring a part of the schema up to date, or only to an older version, in the caller's transaction; True if anything
    had to be done.

    In a file, statements end in a semicolon with an empty line behind it. Raises `UnsupportedStore` if a newer program
    made the tables, `RowCorrupt` if nobody can tell.
    """
    if not session.has_table(VERSIONED):
        session.rows(VERSIONS)
    version, newest = version_of(session, part), newest_version(folder)
    if version > newest:
        raise UnsupportedStore(part, version, newest)
    wanted = newest if until is None else until
    for number in range(version + 1, wanted + 1):
        text = folder.joinpath(f"{number:04d}.sql").read_text()
        session.ask([Statement(statement) for statement in _END_OF_STATEMENT.split(text) if statement.strip()])
    if version < wanted:
        session.rows(SET_VERSION, (part, wanted))
    return version < wanted


def version_of(session: Session, part: str) -> int:
    """The version of a part of the schema that a database has; 0 if it has none of it. Raises `RowCorrupt`."""
    (version,) = next(iter(session.rows(VERSION, (part,))), (0,))
    if type(version) is not int:  # SQLite has what is there, whatever the column's type
        raise RowCorrupt(VERSIONED, f"the row of part {part!r}", "its version is no number")
    return version


def newest_version(folder: Traversable) -> int:
    """The version that these files lead to."""
    return max(int(name[1]) for file in folder.iterdir() if (name := _FILE_NAME.fullmatch(file.name)) is not None)
