"""Whoever asks about the past keeps no writer waiting, and waits for none."""

from __future__ import annotations

import psycopg
import pytest

from eventstore.errors import Unavailable
from eventstore.log import Append, NewEvent
from eventstore.postgres import PostgresLog
from projections import open_store
from projections.snapshot import Replay
from tests.postgres_server import Server

KEPT = "SELECT version FROM main.snapshots"


def test_no_snapshot_is_kept_while_a_transaction_has_the_store_to_itself(server: Server, place: str) -> None:
    with open_store(place, snapshot_every=0) as store:
        store.create_run("flow", run_id="run")
        log, replay = store.log, Replay()
        assert isinstance(log, PostgresLog)
        replay.take(log.read("run"), store.codec)
        with psycopg.connect(server.dsn) as own:
            log.append_within(own, [Append("other", [NewEvent(type="written", data=b"{}")])])
            with pytest.raises(Unavailable, match="to themselves"):
                store.views.keep(replay.snapshot())
            assert store.as_of("run").tables == replay.fold.tables
            assert log.database.rows(KEPT) == []
        store.as_of("run")
        assert log.database.rows(KEPT) == [(1,)]
