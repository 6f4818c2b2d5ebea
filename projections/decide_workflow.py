"""What a command on a workflow definition comes to: pure functions from its row to the events that follow."""

from __future__ import annotations

import msgspec

from eventstore.events import WorkflowDeleted, WorkflowSaved
from projections.decide import Events, metadata_of
from projections.rows import Workflow, json_digest, shown


def save(known: Workflow | None, wanted: WorkflowSaved) -> tuple[int, Events]:
    """Save a definition: under which version that is, and what follows. What `wanted` has for a version means nothing.

    With the content of the newest version it is that version; then the events note nothing, or another name, other
    metadata, or that the definition is there again. Any other content is the next version, even if it was there before.
    """
    if known is None or known.definition is None or known.hash != wanted.hash:
        version = 1 if known is None else known.version + 1
        return version, [msgspec.structs.replace(wanted, version=version)]
    same_metadata = json_digest(known.metadata or {}) == json_digest(metadata_of(wanted))
    if known.deleted_at is None and known.name == shown(wanted.name) and same_metadata:
        return known.version, []
    return known.version, [msgspec.structs.replace(wanted, version=known.version, definition=known.definition)]


def delete(known: Workflow, reason: str) -> Events:
    """Hide a definition. Again: no event."""
    return [] if known.deleted_at is not None else [WorkflowDeleted(known.id, reason)]
