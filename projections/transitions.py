"""The state machines of runs, task runs and board tasks, as tables."""

from __future__ import annotations

from collections.abc import Mapping

from eventstore.errors import InvalidTransition
from projections.rows import BoardTask, Run, TaskRun

Steps = Mapping[str, frozenset[str]]

RUN_STEPS: Steps = {
    "pending": frozenset({"running", "failed", "cancelled"}),
    "running": frozenset({"running", "waiting", "completed", "failed", "cancelled"}),
    "waiting": frozenset({"running", "completed", "failed", "cancelled"}),
    "failed": frozenset({"running"}),
    "completed": frozenset(),
    "cancelled": frozenset(),
}

TASK_STEPS: Steps = {
    "pending": frozenset({"running", "skipped", "cancelled"}),
    "running": frozenset({"pending", "waiting", "completed", "failed", "cancelled"}),
    "waiting": frozenset({"running", "waiting", "skipped", "cancelled"}),
    "failed": frozenset({"waiting", "skipped", "cancelled"}),
    "completed": frozenset({"pending"}),
    "skipped": frozenset({"pending"}),
    "cancelled": frozenset({"pending"}),
}

OPEN_WAIT_STEPS = frozenset({"pending", "completed", "failed", "cancelled"})
"""The statuses that may follow in place of those above while a task waits with an attempt that has not ended, for
something outside, and not to be retried.
"""

BOARD_STEPS: Steps = {
    "ready": frozenset({"working", "blocked"}),
    "working": frozenset({"review", "ready"}),
    "blocked": frozenset({"ready"}),
    "review": frozenset({"done", "working", "ready"}),
    "done": frozenset(),
}

TERMINAL = frozenset({"completed", "failed", "cancelled"})
"""Run statuses in which nothing is going on. A failed run is terminal and still resumable: separate questions."""

UNFINISHED = ("pending", "running", "waiting")
"""Task run statuses in which there is no end yet."""

UNDER_WAY = ("running", "waiting")
"""Task run statuses in which there can be an attempt that has not ended; see `is_open`."""

ALIVE = frozenset({"running", "waiting"})
"""Run statuses in which a worker should be there."""

RESUMABLE = frozenset({"pending", "running", "waiting", "failed"})


def check_run(run: Run, wanted: str) -> None:
    """Raise `InvalidTransition` unless the run may take this step."""
    _check(RUN_STEPS, f"run {run.id!r}", run.status, wanted)


def check_task(task: TaskRun, wanted: str) -> None:
    """Raise `InvalidTransition` unless the task run may take this step."""
    if wanted not in task_steps(task):
        raise InvalidTransition(f"task {task.task_id!r} of run {task.run_id!r}", task.status, wanted, task_steps(task))


def task_steps(task: TaskRun) -> tuple[str, ...]:
    """The statuses that may follow the one the task run has, sorted."""
    return steps_from(TASK_STEPS, task.status) if task.waiting_since is None else tuple(sorted(OPEN_WAIT_STEPS))


def is_open(task: TaskRun) -> bool:
    """Whether an attempt has begun and not ended: it runs, or waits for something outside."""
    return task.status == "running" or task.waiting_since is not None


def check_board_task(task: BoardTask, wanted: str) -> None:
    """Raise `InvalidTransition` unless the board task may take this step."""
    _check(BOARD_STEPS, f"board task {task.id!r}", task.status, wanted)


def steps_from(steps: Steps, status: str) -> tuple[str, ...]:
    """The statuses that may follow this one, sorted."""
    return tuple(sorted(steps[status]))


def _check(steps: Steps, what: str, current: str, wanted: str) -> None:
    if wanted not in steps[current]:
        raise InvalidTransition(what, current, wanted, steps_from(steps, current))
