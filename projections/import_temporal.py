"""Brings histories of Temporal into a store: one run for each.

The run has the id that Temporal knows it by, so children find their parents, whichever is imported first. Its events'
ids follow from the history, so importing it again changes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import msgspec

from eventstore.errors import Conflict, InvalidInput, InvalidValue
from eventstore.events import TaskRunScheduled
from eventstore.log import Append
from eventstore.payload import Value
from projections.store import Store
from projections.temporal import History, read_history
from projections.temporal_execution import happenings

_NAMESPACE = uuid5(NAMESPACE_URL, "https://temporal.io/history")


class ImportedHistory(msgspec.Struct, frozen=True):
    """The run a history became. `events` are the history's own. `repeated` if it had been imported before and nothing
    was written.
    """

    file: str
    run_id: str
    workflow: str
    events: int
    tasks: int
    repeated: bool


def import_temporal(store: Store, path: Path) -> ImportedHistory:
    """Import one history as one run, in one commit: whole or not at all.

    Raises `InvalidInput`, with the file's name, for anything that is not a history, or too large for one commit;
    `Conflict` if the run is there already with another history, as of an execution that has gone on since.
    """
    return import_history(store, read_history(path), path)


def import_history(store: Store, history: History, path: Path) -> ImportedHistory:
    """Import a history that was read from this file, like `import_temporal`."""
    workflow = history.events[0].attributes.workflow_type.name
    run_id = history.run_id.lstrip("$") or f"{workflow[:60].lstrip('$')}-{history.digest[:8]}"
    try:
        for _ in happenings(history, lambda _: Value("", 0)):
            pass  # so that what is refused at its end leaves no blobs of its beginning
        told = list(happenings(history, store.values.keep))
        events = [
            store.codec.encode(happening, id=uuid5(_NAMESPACE, f"{history.digest}/{number}"), time=time)
            for number, (time, happening) in enumerate(told)
        ]
        appended = store.log.append([Append(run_id, events, 0)])
    except Conflict:
        hint = "Purge it first, to import this one, or import into another store."
        raise Conflict(f"{path}: run {run_id!r} is there already, with another history", hint) from None
    except (InvalidInput, InvalidValue) as error:
        raise InvalidInput(f"{path}: {error}", "Export the history again, as JSON.") from None
    return ImportedHistory(
        file=os.fsencode(path).decode(errors="backslashreplace"),
        run_id=run_id,
        workflow=workflow,
        events=len(history.events),
        tasks=sum(isinstance(happening, TaskRunScheduled) for _, happening in told),
        repeated=appended.repeated,
    )
