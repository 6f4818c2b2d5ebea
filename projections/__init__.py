"""The read side: what the events mean now, or meant then. Start with `open_store`."""

from __future__ import annotations

from projections.commands import Resumption
from projections.resume import Plan
from projections.rows import Attempt, Output, Run, TaskRun, Workflow
from projections.store import Store, open_store
from projections.task_commands import Task

__all__ = [
    "Attempt",
    "Output",
    "Plan",
    "Resumption",
    "Run",
    "Store",
    "Task",
    "TaskRun",
    "Workflow",
    "open_store",
]
