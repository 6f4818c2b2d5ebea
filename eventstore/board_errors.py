"""Why a step of a board task was refused."""

from __future__ import annotations

from eventstore.errors import Conflict


class CycleError(Conflict):
    """A board task would come to need itself. Nothing was written. `path` leads from the task back to it."""

    code = "cycle"

    def __init__(self, path: tuple[str, ...]) -> None:
        Exception.__init__(self, path)
        self.path = path

    def __str__(self) -> str:
        return f"dependencies in a circle: {' -> '.join(self.path)}"

    @property
    def hint(self) -> str:
        return "Leave out one of these dependencies: none of these tasks could ever begin."


class TaskActive(Conflict):
    """Somebody is at work on the board task, or it waits for a review. Nothing was written."""

    code = "task-active"

    def __init__(self, task_id: str, status: str) -> None:
        Exception.__init__(self, task_id, status)
        self.task_id, self.status = task_id, status

    def __str__(self) -> str:
        return f"board task {self.task_id!r} is in status {self.status}"

    @property
    def hint(self) -> str:
        return "Bring it back to ready first."


class HasDependents(Conflict):
    """Other board tasks need this one. Nothing was written. `dependents` has their ids, oldest first."""

    code = "has-dependents"

    def __init__(self, task_id: str, dependents: tuple[str, ...]) -> None:
        Exception.__init__(self, task_id, dependents)
        self.task_id, self.dependents = task_id, dependents

    def __str__(self) -> str:
        more = f" and {len(self.dependents) - 5:,} more" if len(self.dependents) > 5 else ""
        return f"board task {self.task_id!r} is needed by {', '.join(map(repr, self.dependents[:5]))}{more}"

    @property
    def hint(self) -> str:
        return "Delete those first, or have them need it no more: the cascade 'detach' does that."
