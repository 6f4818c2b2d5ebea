"""A store's file may hold tables of an engine's own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from eventstore.codec import Codec
from projections import open_store
from projections.verify_sqlite import verify_sqlite


def test_tables_of_somebody_elses_are_no_finding(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with open_store(f"sqlite:{path}") as store, closing(sqlite3.connect(path)) as engine:
        store.create_run("flow", run_id="r")
        engine.execute("CREATE TABLE orders (id TEXT PRIMARY KEY)")
        engine.execute("CREATE INDEX orders_by_id ON orders (id)")

    assert verify_sqlite(path, Codec()).findings == ()


def test_a_trigger_on_a_table_of_the_stores_is_one(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    open_store(f"sqlite:{path}").close()
    with closing(sqlite3.connect(path)) as engine:
        engine.execute("CREATE TRIGGER spying AFTER INSERT ON workflow_events BEGIN SELECT 1; END")

    (finding,) = verify_sqlite(path, Codec()).findings

    assert (finding.code, finding.where) == ("schema-drift", "trigger spying")
