"""What running a task again, with everything made from it, comes to: a pure function of the rows of a run."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from eventstore.errors import NotFound
from eventstore.events import TaskRunRetryScheduled
from projections.decide import Events, check_not_running, check_open, invalidated
from projections.rows import Output, Run, TaskRun
from projections.transitions import is_open


class RunState(msgspec.Struct, frozen=True):
    """A run with all its task runs and effective outputs."""

    run: Run
    tasks: Sequence[TaskRun]
    outputs: Sequence[Output]


def rerun(state: RunState, task_id: str, reason: str) -> dict[str, Events]:
    """Have a task run again, and all tasks below it that have ended: the events of each. Those that are to run anyway
    are left out; those that wait for something outside will have to wait for it again.

    A task below it that somebody has cancelled stays so. Refused while one of them is running, or once the run is over
    for good.
    """
    if all(task.task_id != task_id for task in state.tasks):
        raise NotFound(f"task of run {state.run.id!r}", task_id, "Schedule it first.")
    check_open(state.run)
    below = dependants(state, task_id)
    why = f"depends on {task_id!r}, which is to run again" + (f": {reason}" if reason else "")
    again: dict[str, Events] = {}
    for task in state.tasks:
        if task.task_id == task_id:
            again[task.task_id] = _again(task, reason)
        elif task.task_id in below and task.status != "cancelled":
            again[task.task_id] = _again(task, why)
    return {task_id: events for task_id, events in again.items() if events}


def dependants(state: RunState, task_id: str) -> set[str]:
    """The tasks that need this one's output or were made from it, those that need or were made from theirs, and so on.

    Works without recursion, so chains may be of any length.
    """
    needing: dict[str, set[str]] = {}
    for task in state.tasks:
        for needed in task.depends_on or ():
            needing.setdefault(needed, set()).add(task.task_id)
    for output in state.outputs:
        for needed in output.consumed or {}:
            needing.setdefault(needed, set()).add(output.task_id)
    found: set[str] = set()
    coming = [task_id]
    while coming:
        for dependant in needing.get(coming.pop(), set()) - found - {task_id}:
            found.add(dependant)
            coming.append(dependant)
    return found


def _again(task: TaskRun, reason: str) -> Events:
    check_not_running(task, "run again")
    if task.status in ("pending", "waiting") and not is_open(task):
        return []
    if task.status == "failed":
        return [TaskRunRetryScheduled(task.task_id, reason)]
    return invalidated(task, reason)
