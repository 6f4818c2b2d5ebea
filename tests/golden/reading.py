"""What is read out of a store, as plain data to compare: now, and with what was read when the store was written."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from eventstore.chain import timestamp
from eventstore.log import RecordedEvent
from projections import open_store, tables
from tests.golden.story import codec

CHECKPOINTS = ("mailer", "unknown")
RUNS = ("run-1", "run-3")


def read_store(root: Path) -> dict[str, Any]:
    """Everything in the store that must be read the same for ever."""
    with open_store(f"jsonl:{root}", codec=codec()) as store:
        with store.views.at_once() as session:
            rows = tables.all_contents(session)
        return {
            "head": store.log.head(),
            "checkpoints": {name: store.log.checkpoint(name) for name in CHECKPOINTS},
            "events": [_event(event) for event in store.log.read_all()],
            "tables": {
                table: [{"key": list(key), "columns": columns} for key, columns in sorted(found.items())]
                for table, found in rows.items()
            },
            "outputs": {run_id: store.get_completed_node_outputs(run_id) for run_id in RUNS},
        }


def _event(event: RecordedEvent) -> dict[str, Any]:
    try:
        data = {"data": event.data.decode()}
    except UnicodeDecodeError:
        data = {"data64": base64.b64encode(event.data).decode()}
    return {
        "position": event.position,
        "stream": event.stream,
        "version": event.version,
        "id": str(event.id),
        "type": event.type,
        "schema": event.schema,
        "time": timestamp(event.time),
        "recorded_at": timestamp(event.recorded_at),
        "meta": event.meta,
        "content_type": event.content_type,
        "hash": event.hash,
        **data,
    }


def lasting_files(root: Path) -> dict[str, bytes]:
    """The files of a store that are not made again from others: segments and blobs."""
    files = [*root.glob("_log/*.jsonl"), *root.glob("_blobs/*/*")]
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(files)}
