"""Questions about some of the task runs there are: the items of a task, and those that wait for something outside."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from eventstore.errors import InvalidInput
from eventstore.validate import check_zone
from projections.queries import Queries
from projections.resume_queries import OF_LIVE_RUN
from projections.rows import Output, TaskRun, time_column
from projections.run_filter import capped, check_counts
from projections.scope import ids_below, item_of

WaitKind = Literal["gate", "timer"]

_BELOW = f"WHERE {OF_LIVE_RUN} AND task_id >= $2 AND task_id < $3"
ITEMS = f"{_BELOW} ORDER BY position, task_id"
ITEM_OUTPUTS = f"{_BELOW} ORDER BY version"
WAITING = """WHERE waiting_since IS NOT NULL AND position > $1
    AND (CAST($2 AS TEXT) IS NULL OR (due IS NULL) = (CAST($2 AS TEXT) = 'gate'))
    AND (CAST($3 AS TEXT) IS NULL OR due <= $3)
    AND EXISTS (
        SELECT 1 FROM main.workflow_runs AS r
        WHERE r.id = run_id AND r.deleted_at IS NULL AND r.status NOT IN ('completed', 'cancelled'))
    ORDER BY position LIMIT $4"""


class TaskQueries(Queries):
    """Questions about some of the task runs there are. What is missing is an empty list."""

    def list_items(self, run_id: str, task_id: str, *path: str | int) -> list[TaskRun]:
        """The items of a task, or those of them below a path, in the order they were scheduled; see `scope.item`."""
        tasks = self._rows(TaskRun, ITEMS, (run_id, *ids_below(task_id, *path)))
        return [task for task in tasks if item_of(task.task_id).path]

    def list_item_outputs(self, run_id: str, task_id: str, *path: str | int) -> list[Output]:
        """The effective outputs of these items, stale ones included, in completion order."""
        outputs = self._rows(Output, ITEM_OUTPUTS, (run_id, *ids_below(task_id, *path)))
        return [output for output in outputs if item_of(output.task_id).path]

    def list_waiting(
        self,
        *,
        kind: WaitKind | None = None,
        due_by: datetime | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> list[TaskRun]:
        """The tasks of all runs that wait for something outside, in the order they were scheduled: gates, timers, or
        both; with `due_by`, only timers whose time has come by then. What has a run that is over, or deleted, does not
        wait. `after` is the position of the last task of the page before.
        """
        if kind not in (None, "gate", "timer"):
            raise InvalidInput(f"unknown kind {kind!r}", "Use gate or timer.")
        if due_by is not None:
            check_zone(due_by)
        check_counts(after=after, limit=limit)
        return self._rows(TaskRun, WAITING, (capped(after), kind, time_column(due_by), capped(limit)))
