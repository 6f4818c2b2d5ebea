"""What a command on a workflow definition comes to: pure functions from its row to the events that follow."""

from __future__ import annotations

import json

import msgspec

from eventstore.blobs import digest_of
from eventstore.events import WorkflowDeleted, WorkflowSaved
from projections.decide import Events
from projections.rows import Workflow


def definition_hash(definition: object) -> str:
    """SHA-256 of a JSON value in one form: names sorted, no spaces, everything outside ASCII escaped.

    So the order of names means nothing, while 1 and 1.0 differ.
    """
    return digest_of(json.dumps(definition, sort_keys=True, separators=(",", ":")).encode())


def save(known: Workflow | None, wanted: WorkflowSaved) -> tuple[int, Events]:
    """Save a definition: under which version that is, and what follows. What `wanted` has for a version means nothing.

    With the content of the newest version it is that version; then the events note nothing, or another name, other
    metadata, or that the definition is there again. Any other content is the next version, even if it was there before.
    """
    if known is None or known.definition is None or known.hash != wanted.hash:
        version = 1 if known is None else known.version + 1
        return version, [msgspec.structs.replace(wanted, version=version)]
    same_name = known.name == wanted.name.replace("\0", "\ufffd")  # as the views show it
    if known.deleted_at is None and same_name and _same_metadata(known, wanted):
        return known.version, []
    return known.version, [msgspec.structs.replace(wanted, version=known.version, definition=known.definition)]


def delete(known: Workflow, reason: str) -> Events:
    """Hide a definition. Again: no event."""
    return [] if known.deleted_at is not None else [WorkflowDeleted(known.id, reason)]


def _same_metadata(known: Workflow, wanted: WorkflowSaved) -> bool:
    metadata = {} if isinstance(wanted.metadata, msgspec.UnsetType) else msgspec.json.decode(wanted.metadata)
    return definition_hash(known.metadata or {}) == definition_hash(metadata)  # Python takes 1, 1.0 and True for equal
