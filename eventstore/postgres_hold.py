"""Names that one worker at a time holds, in a Postgres database: an advisory lock for each, on a connection of its own.

The lock is a transaction's, so a pooler can stand in between. That transaction does nothing else: it has no snapshot,
and keeps no vacuum and no reader waiting.
"""

from __future__ import annotations

import contextlib
import hashlib

import psycopg
from psycopg.conninfo import make_conninfo

from eventstore.errors import NameHeld
from eventstore.hold import Hold, worker
from eventstore.postgres_database import BEGIN, PROBED, Connection, PostgresDatabase, ended

HOLD = "SELECT pg_try_advisory_xact_lock($1), set_config('idle_in_transaction_session_timeout', '0', true)"
HOLDER = """SELECT coalesce(application_name, '') FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = ($1 >> 32 & 4294967295)::oid AND objid = ($1 & 4294967295)::oid AND objsubid = 1 AND granted"""

_APPLICATION = "flowledger "


def hold_name(database: PostgresDatabase, store: int, name: str) -> Hold:
    """Hold a name in the store of this number. Raises `NameHeld`, `Unavailable`."""
    holder = name_holder(database, store, name)
    if holder is not None:
        raise NameHeld(name, holder)
    conninfo = make_conninfo(database.conninfo, application_name=_APPLICATION + worker(), **PROBED)
    with database.translating():
        connection = database.connect(conninfo)
        try:
            session = database.session(connection)
            session.rows(BEGIN)
            ((taken, _),) = session.rows(HOLD, (_key(store, name),))
        except BaseException:
            connection.close()
            raise
    if not taken:
        connection.close()
        raise NameHeld(name, name_holder(database, store, name) or "")
    return Hold(
        name,
        lambda: _let_go(connection),
        lost=lambda: connection.closed or ended(connection),
        descriptor=connection.fileno,
    )


def _let_go(connection: Connection) -> None:
    with contextlib.suppress(psycopg.Error), connection:
        connection.rollback()  # else the server would let go some time after the connection is closed


def name_holder(database: PostgresDatabase, store: int, name: str) -> str | None:
    """Who holds a name; empty if this role may not know, None if nobody does."""
    for (application,) in database.rows(HOLDER, (_key(store, name),)):
        return str(application).removeprefix(_APPLICATION) if application.startswith(_APPLICATION) else ""
    return None


def _key(store: int, name: str) -> int:
    digest = hashlib.blake2b(f"{store}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
