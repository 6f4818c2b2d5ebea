"""Questions about task boards. What is missing is None or empty, never an error.

Every query shows all that was appended before it was asked, by any process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from eventstore.errors import InvalidInput
from eventstore.session import Argument
from eventstore.validate import check_kind
from projections import tables
from projections.decide_board import Scene
from projections.rows import BoardDependency, BoardTask
from projections.run_filter import Status, capped, check_counts, chosen_statuses, json_texts
from projections.transitions import BOARD_STEPS
from projections.views import Views, check_text

BOARD_TASK = "WHERE id = $1"
_HAS_ALL_TAGS = """NOT EXISTS (SELECT 1 FROM main.json_each($1) AS wanted
    WHERE wanted.value NOT IN (SELECT value FROM main.json_each(tags)))"""
BOARD_TASKS = f"""WHERE {_HAS_ALL_TAGS} AND position > $2 AND (CAST($3 AS INTEGER) = 1 OR deleted_at IS NULL)
    AND (CAST($4 AS TEXT) IS NULL OR status IN (SELECT value FROM main.json_each($4)))
    AND (CAST($5 AS TEXT) IS NULL OR assignee = $5)
    AND (CAST($6 AS BIGINT) IS NULL OR priority = $6)
    ORDER BY position, id LIMIT $7"""
_READY = f"WHERE status = 'ready' AND deleted_at IS NULL AND {_HAS_ALL_TAGS}"
OLDEST_READY = f"{_READY} ORDER BY position, id LIMIT 1"
MOST_URGENT_READY = f"{_READY} ORDER BY priority DESC, position, id LIMIT 1"
CLAIMED = "WHERE status = 'working' AND deleted_at IS NULL AND lease_until IS NOT NULL ORDER BY position, id"
NEEDED_BY = """WHERE deleted_at IS NULL
    AND id IN (SELECT depends_on FROM main.board_dependencies WHERE task_id = $1)
    ORDER BY position, id"""
THAT_NEED = """WHERE deleted_at IS NULL
    AND id IN (SELECT task_id FROM main.board_dependencies WHERE depends_on = $1)
    ORDER BY position, id"""

# What is around a task, for a decision about it: the tasks, and what these need.
NEAR = "(SELECT value FROM main.json_each($1))"
"""The tasks that a decision names."""
AROUND = """(SELECT $1 UNION SELECT task_id FROM main.board_dependencies WHERE depends_on = $1)"""
"""A task, and those that need it."""
BELOW = """(WITH RECURSIVE below (id) AS (
        SELECT id FROM main.board_tasks WHERE id IN (SELECT value FROM main.json_each($1))
        UNION
        SELECT edge.depends_on FROM below
        JOIN main.board_tasks AS task ON task.id = below.id AND task.status <> 'done'
        JOIN main.board_dependencies AS edge ON edge.task_id = below.id)
    SELECT id FROM below)"""
"""The tasks that a decision names, what these need, what that needs, and so on, as far as it is not done."""
_AND_WHAT_THEY_NEED = "OR id IN (SELECT depends_on FROM main.board_dependencies WHERE task_id IN"

Tasks = list[BoardTask]


class BoardQueries:
    """The questions that a task board answers."""

    def __init__(self, views: Views, now: Callable[[], datetime]) -> None:
        self._views, self._now = views, now

    def get(self, task_id: str, *, include_deleted: bool = False) -> BoardTask | None:
        """The task, or None; a deleted one only if asked for."""
        task = next(iter(self._tasks(BOARD_TASK, task_id)), None)
        return task if task is None or task.deleted_at is None or include_deleted else None

    def list(
        self,
        *,
        status: Status = None,
        assignee: str | None = None,
        tags: Collection[str] | None = None,
        priority: int | None = None,
        include_deleted: bool = False,
        after: int = 0,
        limit: int | None = None,
    ) -> Tasks:
        """Tasks in the order they were created, all of them unless there is a limit; those that all of this is true of.

        `status` is one or several, none of which may be unknown (`InvalidInput`, a ValueError); an empty collection
        gives an empty list. A task must have every one of the tags. `after` is the position of the last task of the
        page before.
        """
        check_counts(after=after, limit=limit)
        if priority is not None:
            check_kind(priority, int, "the priority")
        chosen = chosen_statuses(status, BOARD_STEPS)
        return self._tasks(
            BOARD_TASKS,
            _listed(tags),
            capped(after),
            int(bool(include_deleted)),
            None if chosen is None else json_texts(chosen),
            assignee,
            priority,
            capped(limit),
        )

    def dependencies(self, task_id: str) -> Tasks:
        """The tasks that this one needs, oldest first."""
        return self._tasks(NEEDED_BY, task_id)

    def dependents(self, task_id: str) -> Tasks:
        """The tasks that need this one, oldest first."""
        return self._tasks(THAT_NEED, task_id)

    def next_ready(self, *, tags: Collection[str] | None = None, by_priority: bool = False) -> BoardTask | None:
        """The ready task that was created first, among those with all these tags; None if there is none.

        `by_priority`: the first created of those with the highest priority. This only looks; see `claim_next`.
        """
        return next(iter(self._tasks(MOST_URGENT_READY if by_priority else OLDEST_READY, _listed(tags))), None)

    def stale_claims(self) -> Tasks:
        """The tasks somebody works on whose lease has run out, oldest first. They stay with whoever has them until
        somebody releases them.
        """
        now = self._now()
        return [task for task in self._tasks(CLAIMED) if task.lease_until is not None and task.lease_until <= now]

    def _near(self, *task_ids: str) -> Scene:
        """The first of these tasks, with the others and what they need."""
        return self._scene(task_ids[0], NEAR, json_texts(task_ids))

    def _around(self, task_id: str) -> Scene:
        """The task, with all that need it and whatever else these need."""
        return self._scene(task_id, AROUND, task_id)

    def _below(self, *task_ids: str) -> Scene:
        """The first of these tasks, with all that has to be done before it or one of the others is."""
        return self._scene(task_ids[0], BELOW, json_texts(task_ids))

    def _scene(self, task_id: str, chosen: str, argument: str) -> Scene:
        check_text(task_id)
        found, edges = self._views.ask(
            tables.query(BoardTask, f"WHERE id IN {chosen} {_AND_WHAT_THEY_NEED} {chosen})", (argument,)),
            tables.query(BoardDependency, f"WHERE task_id IN {chosen}", (argument,)),
        )
        needs: dict[str, list[str]] = {}
        for edge in tables.parsed(BoardDependency, edges):
            needs.setdefault(edge.task_id, []).append(edge.depends_on)
        tasks = {task.id: task for task in tables.parsed(BoardTask, found)}
        return Scene(task_id, tasks, {each: tuple(sorted(names)) for each, names in needs.items()})

    def _tasks(self, rest: str, *arguments: Argument) -> Tasks:
        (rows,) = self._views.ask(tables.query(BoardTask, rest, arguments))
        return tables.parsed(BoardTask, rows)


def _listed(tags: Collection[str] | None) -> str:
    if isinstance(tags, str):
        raise InvalidInput(f"the tags {tags!r} are a text", "Give a list of tags.")
    return json_texts(tags or ())
