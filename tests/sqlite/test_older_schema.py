"""A file whose tables an older program has made: verified as it is, and brought up to date by whoever opens it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from eventstore.codec import Codec
from eventstore.schema import migrate, newest_version
from eventstore.sqlite_database import APPLICATION_ID
from eventstore.sqlite_session import SqliteSession, connect, transaction
from projections.verify_sqlite import SCHEMAS, verify_sqlite
from tests.stores import check_views, open_again, run_of


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file with the first version of every part."""
    path = tmp_path / "old.db"
    with closing(connect(str(path))) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")
        with transaction(connection):
            for part, folder in SCHEMAS.items():
                migrate(SqliteSession(connection), part, folder, until=1)
    return path


def test_the_tables_of_an_older_program_are_no_damage_and_are_left_as_they_are(old: Path) -> None:
    before = old.read_bytes()
    report = verify_sqlite(old, Codec())
    assert report.clean
    assert [finding.code for finding in report.findings] == ["view-other-format"]
    assert old.read_bytes() == before


def test_who_opens_the_file_brings_its_tables_up_to_date(old: Path) -> None:
    with open_again(f"sqlite:{old}") as store:
        run_of(store, "a")
        store.board.create("Paint", task_id="paint")
        check_views(store)
    assert verify_sqlite(old, Codec()).findings == ()
    with closing(connect(str(old))) as connection:
        versions = dict(connection.execute("SELECT part, version FROM schema_versions").fetchall())
    assert versions == {part: newest_version(folder) for part, folder in SCHEMAS.items()}
