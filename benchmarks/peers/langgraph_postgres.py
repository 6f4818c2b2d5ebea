"""langgraph-checkpoint-postgres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver

from benchmarks.bench import Bench, postgres_settings
from benchmarks.peers import Open, Peer
from benchmarks.peers.langgraph import peer
from benchmarks.rows import Medium
from benchmarks.sizes import postgres_size


@contextmanager
def on_postgres(bench: Bench) -> Iterator[Peer]:
    schema = bench.schema()
    place = bench.with_options(f"-c search_path={schema}")
    with PostgresSaver.from_conn_string(place, pipeline=False) as saver, psycopg.connect(place) as connection:
        saver.setup()
        yield peer(saver, postgres_settings(connection), lambda: postgres_size(bench.dsn, schema))


OPENERS: Mapping[Medium, Open] = {"Postgres": on_postgres}
