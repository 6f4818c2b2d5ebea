"""Finds rows whose parent was never made. Only imports, partial restores and foreign writers leave such in the log: a
command refuses what belongs to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from eventstore.board_events import BOARD_STREAM
from eventstore.session import Session
from projections.findings import Finding

ORPHAN_RUNS = "SELECT id FROM main.workflow_runs WHERE position = 0 ORDER BY id"
ORPHAN_TASKS = """SELECT run_id, task_id, r.id IS NULL
    FROM main.task_runs AS t LEFT JOIN main.workflow_runs AS r ON r.id = run_id
    WHERE r.id IS NULL OR t.position = 0 ORDER BY run_id, task_id"""
ORPHAN_ATTEMPTS = """SELECT a.run_id, a.task_id, a.attempt
    FROM main.attempts AS a LEFT JOIN main.task_runs AS t ON t.run_id = a.run_id AND t.task_id = a.task_id
    WHERE t.task_id IS NULL OR a.started_at IS NULL ORDER BY a.run_id, a.task_id, a.attempt"""
ORPHAN_BOARD_TASKS = "SELECT id FROM main.board_tasks WHERE position = 0 ORDER BY id"
DANGLING_DEPENDENCIES = """SELECT d.task_id, d.depends_on
    FROM main.board_dependencies AS d
    JOIN main.board_tasks AS t ON t.id = d.task_id
    LEFT JOIN main.board_tasks AS needed ON needed.id = d.depends_on
    WHERE needed.id IS NULL AND t.deleted_at IS NULL ORDER BY d.task_id, d.depends_on"""
RUNS_WITHOUT_PARENT = """SELECT r.id, r.parent_run_id
    FROM main.workflow_runs AS r LEFT JOIN main.workflow_runs AS parent ON parent.id = r.parent_run_id
    WHERE r.parent_run_id IS NOT NULL AND parent.id IS NULL ORDER BY r.id"""

ADOPT_OR_PURGE = "Run `eventstore repair` with --adopt, to have it as a run, or with --purge, to remove its events."
PURGE = "Run `eventstore repair --purge`, to remove its events."
IMPORT_AGAIN = "This cannot be mended: purge the run, and import or restore it again, whole."


def orphans(views: Session) -> Iterator[Finding]:
    """All orphans among the rows of these views, the harmless ones last."""
    for (run_id,) in views.rows(ORPHAN_RUNS):
        yield Finding("error", "orphan-run", f"run {run_id!r}", "it was never created", ADOPT_OR_PURGE, run_id)
    for run_id, task_id, alone in views.rows(ORPHAN_TASKS):
        where = f"task {task_id!r} of run {run_id!r}"
        if alone:
            yield Finding("error", "orphan-task", where, "its run does not exist", ADOPT_OR_PURGE, run_id)
        else:
            yield Finding("error", "orphan-task", where, "it was never scheduled", IMPORT_AGAIN)
    for run_id, task_id, number in views.rows(ORPHAN_ATTEMPTS):
        where = f"attempt {number} of task {task_id!r} of run {run_id!r}"
        yield Finding("error", "orphan-attempt", where, "it never started", IMPORT_AGAIN)
    for (task_id,) in views.rows(ORPHAN_BOARD_TASKS):
        stream = BOARD_STREAM + task_id
        yield Finding("error", "orphan-board-task", f"board task {task_id!r}", "it was never created", PURGE, stream)
    for task_id, needed in views.rows(DANGLING_DEPENDENCIES):
        action = "Create that task, or have this one depend on it no longer."
        message = f"it waits for {needed!r}, which does not exist"
        yield Finding("info", "dependency-missing", f"board task {task_id!r}", message, action)
    for run_id, parent in views.rows(RUNS_WITHOUT_PARENT):
        action = "It does no harm: the parent was purged, or is in another store."
        yield Finding("info", "parent-missing", f"run {run_id!r}", f"its parent {parent!r} does not exist", action)
