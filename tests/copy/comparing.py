"""What two stores have to have in common to be copies of one another, and how they come to it."""

from __future__ import annotations

import io
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec

from eventstore.copying import COPY, Copied, copy_log
from eventstore.log import RecordedEvent
from projections import Store
from projections.rows import Key
from projections.transfer import ImportedRun, check_run, export_run, import_run
from tests.stores import tables_of

THRESHOLD = 200
"""Values of more bytes go to blobs here."""


def copy(source: Store, target: Store) -> Copied:
    """Copy everything there is."""
    return copy_log(source.log, source.values.blobs, target.log, target.values.blobs)


def said(store: Store) -> list[list[RecordedEvent]]:
    """All commits, without where they stand."""
    return [
        [msgspec.structs.replace(event, position=0, commit=0) for event in commit]
        for _, commit in groupby(store.log.read_all(), key=attrgetter("commit"))
    ]


def views_of(store: Store) -> dict[str, dict[Key, dict[str, Any]]]:
    """All tables of the views, without the positions in them."""
    return {
        table: {key: {n: v for n, v in columns.items() if n != "position"} for key, columns in rows.items()}
        for table, rows in tables_of(store).items()
    }


def blobs_of(store: Store) -> dict[str, bytes]:
    blobs = store.values.blobs
    return {digest: blobs.get(digest) for digest in blobs.digests()}


def consumers_of(store: Store) -> dict[str, int]:
    """The checkpoints, but for a copy's own."""
    return {name: position for name, position in store.log.checkpoints().items() if not name.startswith(COPY)}


def assert_copies(source: Store, target: Store) -> None:
    """Both hold the same events and blobs, show the same, and are in order."""
    assert said(target) == said(source)
    assert blobs_of(target) == blobs_of(source)
    assert views_of(target) == views_of(source)
    assert target.verify().clean
    assert (target.verify().events, target.verify().runs) == (source.verify().events, source.verify().runs)


def exported(store: Store, run_id: str = "done") -> bytes:
    """The run's file."""
    return b"".join(export_run(store, run_id))


def bring_in(store: Store, file: bytes) -> ImportedRun:
    """Check and import a run's file."""
    return import_run(store, check_run(io.BytesIO(file), "run.jsonl", store.codec))
