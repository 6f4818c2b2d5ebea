"""langgraph-checkpoint-sqlite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from langgraph.checkpoint.sqlite import SqliteSaver

from benchmarks.bench import Bench, sqlite_settings
from benchmarks.peers import Open, Peer
from benchmarks.peers.langgraph import peer
from benchmarks.rows import Medium
from benchmarks.sizes import sqlite_size


@contextmanager
def on_sqlite(bench: Bench) -> Iterator[Peer]:
    path = f"{bench.path()}.db"
    with SqliteSaver.from_conn_string(path) as saver:
        saver.setup()
        (journal,) = saver.conn.execute("PRAGMA journal_mode").fetchone()
        (level,) = saver.conn.execute("PRAGMA synchronous").fetchone()
        yield peer(saver, sqlite_settings(journal, level), lambda: sqlite_size(path))


OPENERS: Mapping[Medium, Open] = {"SQLite": on_sqlite}
