"""Bits that flip and rows that somebody changes: what is read was written, or an error; `verify` finds the rest.

EVENTSTORE_CRASH_STATES sets how many bits are flipped, one at a time; from the number of the file's bits on it is each
of them. EVENTSTORE_CRASH_SEED says which.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from eventstore.codec import Codec
from eventstore.errors import EventStoreError, LogCorrupt
from eventstore.log import PURGES, RecordedEvent
from eventstore.sqlite import SqliteLog
from projections import open_store
from projections.verify import Report
from projections.verify_sqlite import verify_sqlite
from tests.verify.example import codes, fill

FLIPS = int(os.environ.get("EVENTSTORE_CRASH_STATES", "900"))
SHARES = 3


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, closed, on pages as small as SQLite has them. Not to be changed."""
    path = tmp_path_factory.mktemp("healthy") / "store.db"
    with open_store(f"sqlite:{path}", durability="none", threshold=200) as store:
        fill(store)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM")
    verify(path)
    return path


@pytest.fixture
def damaged(healthy: Path, path: Path) -> Path:
    """A copy of the example, to be damaged."""
    path.write_bytes(healthy.read_bytes())
    return path


def verify(path: Path) -> Report:
    return verify_sqlite(path, Codec())


def found_by_verify(path: Path) -> bool:
    try:
        return bool(verify(path).findings)
    except EventStoreError:
        return True


def read(log: SqliteLog, stream: str | None, backward: bool) -> list[RecordedEvent] | None:
    """The stream or, for None, the whole log, the oldest event first; None if that gives an error."""
    try:
        events = list(log.read_all(backward=backward) if stream is None else log.read(stream, backward=backward))
    except LogCorrupt:
        return None
    return events[::-1] if backward else events


def unplaced(events: Sequence[RecordedEvent]) -> list[RecordedEvent]:
    """The events without their places in the whole log: no row's checksum covers these."""
    return [msgspec.structs.replace(event, position=0, commit=0) for event in events]


@pytest.mark.parametrize("share", range(SHARES))
def test_a_flipped_bit_is_never_read_as_other_data_and_verify_finds_all_that_a_reader_would(
    healthy: Path, path: Path, record_property: Callable[[str, object], None], share: int
) -> None:
    seed = int(os.environ.get("EVENTSTORE_CRASH_SEED") or random.randrange(2**32))
    with closing(SqliteLog(healthy)) as log:
        streams = (None, *sorted({event.stream for event in log.read_all()}))
        readings = [(stream, backward) for stream in streams for backward in (False, True)]
        written = {reading: read(log, *reading) for reading in readings}
    content = healthy.read_bytes()
    bits = range(8 * len(content))
    chosen = random.Random(seed).sample(bits, min(FLIPS, len(bits)))[share::SHARES]
    for bit in chosen:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        where = f"seed {seed}, bit {bit}"
        seen = written
        try:
            with closing(SqliteLog(path)) as log:
                seen = {reading: read(log, *reading) for reading in readings}
        except EventStoreError:
            seen = {}
        if seen != written:
            path.write_bytes(flipped)
            assert found_by_verify(path), where
        for (stream, backward), events in seen.items():
            expected = written[stream, backward]
            assert expected is not None
            # Whole cells or pages that are passed over leave a beginning of a stream, and less of the whole log.
            if events is not None and stream is not None:
                assert unplaced(events) == unplaced(expected[: len(events)]), where
            elif events is not None:
                assert all(event in unplaced(expected) for event in unplaced(events)), where
    record_property("flipped bits in SQLite files", len(chosen))


def changed(path: Path, *statements: str) -> None:
    """Somebody drops the triggers, does this, and makes them again as they were."""
    with closing(sqlite3.connect(path)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, statement
        for _, text in triggers:
            connection.execute(text)
        connection.commit()


CHANGES = {
    "a payload": ("UPDATE workflow_events SET payload = x'7b7d' WHERE position = 3", {"error log-corrupt"}),
    "where in its commit it is": (
        "UPDATE workflow_events SET commit_place = commit_place + 1 WHERE position = 3",
        {"error log-corrupt"},
    ),
    "how large its commit is": (
        "UPDATE workflow_events SET commit_size = 9 WHERE position = 3",
        {"error log-corrupt"},
    ),
    "a row in the middle": (
        "DELETE FROM workflow_events WHERE run_id = 'done' AND sequence = 3",
        {"error events-missing", "error version-gap"},
    ),
    "the end of a stream": (
        "DELETE FROM workflow_events WHERE run_id = 'done' AND sequence > 10",
        {"error events-missing"},
    ),
    "a whole stream": ("DELETE FROM workflow_events WHERE run_id = 'failed'", {"error events-missing"}),
    "the end of the log": (
        "DELETE FROM workflow_events WHERE position = (SELECT max(position) FROM workflow_events)",
        {"error events-missing", "error log-truncated"},
    ),
    "all events": ("DELETE FROM workflow_events", {"error events-missing", "error log-truncated"}),
    "the record of a purge": (f"DELETE FROM workflow_events WHERE run_id = '{PURGES}'", {"error events-missing"}),
    "a view": ("UPDATE workflow_runs SET status = 'failed' WHERE id = 'done'", {"warning view-drift"}),
    "a blob": ("UPDATE blobs SET data = x'00'", {"error blob-corrupt"}),
}


@pytest.mark.parametrize(("statement", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_what_was_changed_or_deleted_behind_the_logs_back_is_found(
    damaged: Path, statement: str, expected: set[str]
) -> None:
    changed(damaged, statement)
    report = verify(damaged)
    assert not report.clean
    assert codes(report) >= expected


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER workflow_events_never_change",
        "DROP INDEX workflow_runs_by_status",
        "CREATE TRIGGER own AFTER INSERT ON workflow_events BEGIN DELETE FROM checkpoints; END",
        "INSERT INTO purging VALUES ('done')",
    ],
)
def test_tables_that_somebody_has_changed_are_told(damaged: Path, statement: str) -> None:
    with closing(sqlite3.connect(damaged)) as connection:
        connection.execute(statement)
        connection.commit()
    assert codes(verify(damaged)) == {"warning schema-drift"}


def test_an_index_that_disagrees_with_its_table_is_found(damaged: Path) -> None:
    with closing(sqlite3.connect(damaged)) as connection:
        connection.executescript(
            """PRAGMA writable_schema = ON;
            UPDATE sqlite_master SET sql = replace(sql, 'projected = 0', 'projected = 1')
            WHERE name = 'workflow_events_unprojected'"""
        )
    assert codes(verify(damaged)) == {"error file-damaged", "warning schema-drift"}


def test_a_page_that_cannot_be_read_does_not_hide_what_else_is_wrong(damaged: Path) -> None:
    changed(damaged, "UPDATE workflow_runs SET status = 'failed' WHERE id = 'done'")
    with closing(sqlite3.connect(damaged)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'checkpoints'").fetchall()
    content = bytearray(damaged.read_bytes())
    content[(page - 1) * 512 : page * 512] = b"\xa5" * 512
    damaged.write_bytes(content)
    assert codes(verify(damaged)) == {"error file-unreadable", "warning view-drift"}


def test_verify_changes_nothing_and_waits_for_nobody(healthy: Path, damaged: Path) -> None:
    assert verify(damaged).findings == ()
    with closing(SqliteLog(damaged, busy_seconds=0.05)) as log:
        before = list(log.read_all())
        with log.database.reading() as session:
            session.rows("SELECT 1 FROM main.workflow_events")
            assert verify(damaged).findings == ()
        assert list(log.read_all()) == before


def test_events_that_were_appended_without_views_are_no_damage(damaged: Path) -> None:
    with closing(SqliteLog(healthy_log := damaged)) as log:
        log.purge("failed")
    assert codes(verify(healthy_log)) - {"info blob-unreferenced"} == {"info view-behind"}
