"""Commands on workflow definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eventstore.errors import NotFound, WrongExpectedVersion
from eventstore.events import WORKFLOW_STREAM, WorkflowSaved
from eventstore.validate import check_kind, check_name
from projections import decide_workflow
from projections.commands import Actor
from projections.decide import Events
from projections.rows import Workflow, json_digest


class WorkflowCommands(Actor):
    """What can be done with a workflow definition. Runs need none; one that is created from a definition may name its
    id, version and hash, and keeps them whatever becomes of the definition.
    """

    def save_workflow(
        self,
        workflow_id: str,
        definition: object,
        *,
        name: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> Workflow:
        """Save a workflow definition, any JSON value, and return it with the version and hash that runs can refer to.

        The content of the newest version again makes no new one, whatever the order of its names; a new name and new
        metadata, which are not part of the hash, replace those of that version. Any other content is the next version.
        A deleted definition is there again. Of several savers at once, those of the same content get one version, and
        those of different contents get one each.
        """
        check_name(workflow_id, "workflow id")
        check_kind(name, str, "the name")
        kept = self._values.keep(definition)
        hash = json_digest(self._values.load(kept))
        wanted = WorkflowSaved(workflow_id, name, 0, hash, kept, self._raw(metadata))
        version = 0

        def decision(known: Workflow | None) -> Events:
            nonlocal version
            version, events = decide_workflow.save(known, wanted)
            return events

        self._change_workflow(workflow_id, decision)
        saved = self._queries.get_workflow_version(workflow_id, version=version)
        if saved is None:
            raise NotFound("workflow", workflow_id, "It was purged meanwhile.")
        return Workflow(
            id=workflow_id,
            name=saved.name,
            version=saved.version,
            hash=saved.hash,
            definition=saved.definition,
            metadata=saved.metadata,
            saved_at=saved.saved_at,
        )

    def delete_workflow(self, workflow_id: str, reason: str = "") -> Workflow:
        """No longer offer a workflow definition. Its versions can still be read, and its runs stay as they are.

        Again: nothing happens. Raises `NotFound` if there is none.
        """
        check_name(workflow_id, "workflow id")

        def decision(known: Workflow | None) -> Events:
            if known is None:
                raise NotFound("workflow", workflow_id, "List them with `eventstore workflows`.")
            return decide_workflow.delete(known, reason)

        self._change_workflow(workflow_id, decision)
        deleted = self._queries.get_workflow(workflow_id, include_deleted=True)
        if deleted is None:
            raise NotFound("workflow", workflow_id, "It was purged meanwhile.")
        return deleted

    def _change_workflow(self, workflow_id: str, decide: Callable[[Workflow | None], Events]) -> None:
        """Append what the decision on the definition comes to; again whenever it has changed meanwhile."""
        stream = WORKFLOW_STREAM + workflow_id
        with self._turn(stream):
            while True:
                version = self._log.version(stream)
                events = decide(self._queries.get_workflow(workflow_id, include_deleted=True))
                try:
                    self._append(stream, events, version)
                except WrongExpectedVersion:
                    continue
                return
