"""The read side: what the events mean now, or meant then. Start with `open_store`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from projections.asynchronous import open_async
    from projections.board import Board
    from projections.commands import Resumption
    from projections.differences import Difference
    from projections.drift import Drift
    from projections.explain import Explanation
    from projections.finalize import TaskEnd
    from projections.heartbeat import Heartbeat
    from projections.interfaces import IStateStore, ITaskStore, IWorkflowStore
    from projections.purge import PurgedRuns
    from projections.queries import Page
    from projections.recovery import Broken, Recovery
    from projections.resume import Plan
    from projections.rows import Attempt, BoardDependency, BoardTask, Output, Run, TaskRun, Workflow, WorkflowVersion
    from projections.scope import Item, item, item_of
    from projections.state_store import StateStore
    from projections.store import Store, open_store
    from projections.task_commands import Task
    from projections.task_store import TaskStore
    from projections.timeline import Timeline
    from projections.travel import Point
    from projections.tree import Branch
    from projections.upkeep import Collected
    from projections.workflow_store import WorkflowStore
else:

    def __getattr__(name: str) -> object:
        """Load what is used when it is used, so that importing one module of this package is not to import them all."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


_MODULES = {
    "Attempt": "rows",
    "Board": "board",
    "BoardDependency": "rows",
    "BoardTask": "rows",
    "Branch": "tree",
    "Broken": "recovery",
    "Collected": "upkeep",
    "Difference": "differences",
    "Drift": "drift",
    "Explanation": "explain",
    "Heartbeat": "heartbeat",
    "IStateStore": "interfaces",
    "ITaskStore": "interfaces",
    "IWorkflowStore": "interfaces",
    "Item": "scope",
    "Output": "rows",
    "Page": "queries",
    "Plan": "resume",
    "Point": "travel",
    "PurgedRuns": "purge",
    "Recovery": "recovery",
    "Resumption": "commands",
    "Run": "rows",
    "StateStore": "state_store",
    "Store": "store",
    "Task": "task_commands",
    "TaskEnd": "finalize",
    "TaskRun": "rows",
    "TaskStore": "task_store",
    "Timeline": "timeline",
    "Workflow": "rows",
    "WorkflowStore": "workflow_store",
    "WorkflowVersion": "rows",
    "item": "scope",
    "item_of": "scope",
    "open_async": "asynchronous",
    "open_store": "store",
}

__all__ = [
    "Attempt",
    "Board",
    "BoardDependency",
    "BoardTask",
    "Branch",
    "Broken",
    "Collected",
    "Difference",
    "Drift",
    "Explanation",
    "Heartbeat",
    "IStateStore",
    "ITaskStore",
    "IWorkflowStore",
    "Item",
    "Output",
    "Page",
    "Plan",
    "Point",
    "PurgedRuns",
    "Recovery",
    "Resumption",
    "Run",
    "StateStore",
    "Store",
    "Task",
    "TaskEnd",
    "TaskRun",
    "TaskStore",
    "Timeline",
    "Workflow",
    "WorkflowStore",
    "WorkflowVersion",
    "item",
    "item_of",
    "open_async",
    "open_store",
]
