"""What becomes of stores whose disks fail: the same kinds of damage, for each kind of store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from eventstore.blobs import blob_path
from projections.addresses import parse_address
from tests.sql_stores import change, change_event, in_schema


def tear(address: str, folder: Path) -> None:
    """The store has lost half of what it was."""
    scheme = parse_address(address).scheme
    if scheme == "postgresql":
        with in_schema(address) as connection:
            connection.execute("DROP TABLE workflow_events CASCADE")
            connection.commit()
        return
    file = Path(f"{folder}.db") if scheme == "sqlite" else next((folder / "_log").glob("*.jsonl"))
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def damage_event(address: str, folder: Path, *, version: int) -> None:
    """Something has changed the bytes of an event of the run."""
    if parse_address(address).scheme == "jsonl":
        (segment,) = (folder / "_log").glob("*.jsonl")
        lines = segment.read_bytes().split(b"\n")
        lines[version - 1] = lines[version - 1][:-9] + b"#" + lines[version - 1][-8:]
        segment.write_bytes(b"\n".join(lines))
    else:
        change_event(address, "UPDATE workflow_events SET payload = ? WHERE sequence = ?", b"{", version)


def damage_output(address: str, folder: Path) -> None:
    """Something has changed a row of the view that outputs are read from."""
    statement = "UPDATE node_outputs SET output = '{' WHERE task_id = 'small'"
    if parse_address(address).scheme == "jsonl":
        with closing(sqlite3.connect(folder / "_views.db")) as connection:
            connection.execute(statement)
            connection.commit()
    else:
        change(address, statement)


def damage_blob(digest: str, address: str, folder: Path) -> None:
    """Something has changed the bytes of a large value."""
    if parse_address(address).scheme == "jsonl":
        (folder / blob_path(digest)).write_bytes(b"other bytes")
    else:
        change(address, "UPDATE blobs SET data = ?", b"other bytes")


def remove_blob(digest: str, address: str, folder: Path) -> None:
    """Something has removed the bytes of a large value."""
    if parse_address(address).scheme == "jsonl":
        (folder / blob_path(digest)).unlink()
    else:
        change(address, "DELETE FROM blobs WHERE digest = ?", digest)


def lose_row(address: str, folder: Path) -> None:
    """Something has removed a task from the views."""
    statement = "DELETE FROM task_runs WHERE task_id = 'pending'"
    if parse_address(address).scheme == "jsonl":
        with closing(sqlite3.connect(folder / "_views.db")) as connection:
            connection.execute(statement)
            connection.commit()
    else:
        change(address, statement)
