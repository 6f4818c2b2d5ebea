"""The read side: what the events mean now, or meant then. Start with `open_store`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from projections.commands import Resumption
    from projections.resume import Plan
    from projections.rows import Attempt, Output, Run, TaskRun, Workflow
    from projections.store import Store, open_store
    from projections.task_commands import Task
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
    "Output": "rows",
    "Plan": "resume",
    "Resumption": "commands",
    "Run": "rows",
    "Store": "store",
    "Task": "task_commands",
    "TaskRun": "rows",
    "Workflow": "rows",
    "open_store": "store",
}

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
