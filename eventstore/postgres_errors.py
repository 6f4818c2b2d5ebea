"""Postgres errors in this project's form, in one place. No message here ever holds a password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolClosed, PoolTimeout

from eventstore.errors import Closed, Conflict, EventStoreError, InvalidInput, OutcomeUnknown, RowCorrupt, Unavailable

_ENDED = ("08", "57P", "25P03", "25P04")
"""What the codes begin with of errors after which the server closes the connection: for an administrator, for a
restart, or because it was idle for too long.
"""
_FOREIGN = (
    "Something else has such a table there: give the store a schema of its own, with ?schema=NAME in the address."
)
_POOLED = (
    "Try again. If a pooler that carries no prepared statements stands in between, add prepare=off to the address."
)
_HINTS: dict[type[psycopg.Error], str] = {
    errors.InsufficientPrivilege: "Grant this role the rights that the backend's documentation lists.",
    errors.DiskFull: "Free some space on the server and try again: nothing of this call was written.",
    errors.ReadOnlySqlTransaction: "Give the address of the primary: a standby takes no appends.",
    errors.LockNotAvailable: "Another process is writing for a long time: try again.",
    errors.QueryCanceled: "The server stopped the statement, and nothing of this call was written: try again.",
    errors.UndefinedTable: "The store's tables are gone, or its schema was renamed.",
    errors.UndefinedColumn: _FOREIGN,
    errors.DuplicateTable: _FOREIGN,
    errors.DuplicateFunction: _FOREIGN,
    errors.DuplicatePreparedStatement: _POOLED,
    errors.InvalidSqlStatementName: _POOLED,
}


class Retry(Conflict):
    """The database refused in favour of another transaction. Nothing was written; the same call may succeed."""

    code = "retry"
    retriable = True


class ConnectionLost(Unavailable):
    """The connection broke before there was anything to commit."""

    code = "connection-lost"


def lost(error: psycopg.Error) -> bool:
    """Whether the connection is gone, and with it any knowledge of what became of the statement."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_ENDED)


def translated(error: psycopg.Error, store: str, *, committing: bool) -> EventStoreError:
    """The error, with what to do about it. `committing` says that there was something to be committed."""
    said = " ".join(str(error).split())
    reason = f"the store in {store}: {said}"
    if isinstance(error, PoolClosed):
        return Closed(f"the store in {store}")
    if isinstance(error, PoolTimeout):
        return ConnectionLost(
            f"the store in {store}: no connection to be had", "Is the server up? It may be overloaded."
        )
    if lost(error):
        if committing:
            return OutcomeUnknown(reason)
        return ConnectionLost(reason, "Check that the server is up, and host, user, password and database.")
    if isinstance(error, errors.UniqueViolation | errors.NotNullViolation | errors.TransactionRollback):
        return Retry(reason, "Try again.")
    if isinstance(error, errors.DataCorrupted | errors.IndexCorrupted):
        return RowCorrupt(store, "a table", said)
    if isinstance(error, psycopg.ProgrammingError | psycopg.DataError) and error.sqlstate is None:
        return InvalidInput(reason)
    if isinstance(error, errors.CharacterNotInRepertoire):
        return InvalidInput(reason, "Texts cannot contain NUL characters.")
    return Unavailable(reason, next((hint for kind, hint in _HINTS.items() if isinstance(error, kind)), ""))


def parsed(dsn: str) -> dict[str, Any]:
    """What an address says. Raises `InvalidInput`, which does not quote it: who knows where the password begins."""
    try:
        if "\0" not in dsn:  # it would end there
            return dict(conninfo_to_dict(dsn))
    except psycopg.ProgrammingError:
        pass
    hint = "Use postgresql://USER:PASSWORD@HOST/DATABASE, with special characters percent-encoded."
    raise InvalidInput("the Postgres address cannot be read", hint)


def shown(parts: Mapping[str, Any]) -> str:
    """An address without its password."""
    host, port, database = (parts.get(key) for key in ("host", "port", "dbname"))
    user = f"{parts['user']}@" if parts.get("user") else ""
    return f"postgresql://{user}{host or ''}{f':{port}' if port else ''}/{database or ''}"
