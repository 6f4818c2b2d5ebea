"""What a command on a board task comes to: pure functions from the tasks as they are to the changes that follow.

No wake-up is lost, though nobody locks anything. Who makes a task depend on another one notes it in that one's stream,
so whoever ends that one has seen all that need it. And whoever leaves a task blocked expects the version of that task
and of another one that is not done: of two who end its last two dependencies at once, the later one decides again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from eventstore.board_errors import CycleError, HasDependents, TaskActive
from eventstore.board_events import (
    BoardStatus,
    TaskChanges,
    TaskCreated,
    TaskDeleted,
    TaskDependedOn,
    TaskMoved,
    TaskUnblocked,
    TaskUpdated,
)
from eventstore.errors import Conflict, InvalidInput, InvalidTransition, NotFound
from projections.decide import Events
from projections.rows import BoardTask
from projections.transitions import BOARD_STEPS, check_board_task, steps_from


class Change(msgspec.Struct, frozen=True):
    """What happens to one task of the board, which must be at this version; without events it must only be there."""

    task_id: str
    version: int
    events: Sequence[msgspec.Struct] = ()


Changes = list[Change]
"""One commit, with at most one change for each task. Empty: the fact is on the log already."""


class Scene(msgspec.Struct, frozen=True):
    """A board task and what is around it, as one decision sees it: tasks by id, and what they need, sorted."""

    task_id: str
    tasks: Mapping[str, BoardTask]
    needs: Mapping[str, tuple[str, ...]]

    @property
    def task(self) -> BoardTask:
        """The task; `NotFound` if there is none, or it was deleted."""
        return self.named(self.task_id)

    def named(self, task_id: str) -> BoardTask:
        """The task of this id; `NotFound` if there is none, or it was deleted."""
        task = self.tasks.get(task_id)
        if task is None or task.deleted_at is not None:
            raise NotFound("board task", task_id, "" if task is None else "It was deleted.")
        return task

    def undone(self, task_ids: Iterable[str]) -> list[BoardTask]:
        """Those of these tasks that are still to be done, oldest first."""
        known = (self.tasks[task_id] for task_id in task_ids if task_id in self.tasks)
        return _by_age(task for task in known if task.status != "done" and task.deleted_at is None)

    def dependents(self) -> list[BoardTask]:
        """The tasks on the board that need this one, oldest first."""
        known = (self.tasks[task_id] for task_id, needs in self.needs.items() if self.task_id in needs)
        return _by_age(task for task in known if task.deleted_at is None)


def create(scene: Scene, wanted: TaskCreated) -> Changes:
    """Put a task on the board. The same again is no change; the same id with other content is a `Conflict`."""
    task_id, known = wanted.task_id, scene.tasks.get(wanted.task_id)
    if known is not None:
        if known.deleted_at is not None:
            raise Conflict(f"board task {task_id!r} was deleted", "Use another id, or purge that task first.")
        if _details(scene, known) != {name: getattr(wanted, name) for name in TaskChanges.__struct_fields__}:
            raise Conflict(f"board task {task_id!r} exists already, with other content", "Use another id.")
        return []
    _check_dependencies(scene, wanted.depends_on)
    undone = scene.undone(wanted.depends_on)
    created = msgspec.structs.replace(wanted, status="blocked" if undone else "ready")
    return [Change(task_id, 0, [created]), *_noted(undone, task_id)]


def update(scene: Scene, given: Mapping[str, Any]) -> Changes:
    """Change these details. What they are already is left out; with nothing left, there is no change."""
    task = scene.task
    known = _details(scene, task)
    changed = {name: (known[name], value) for name, value in given.items() if value != known[name]}
    if not changed:
        return []
    events: Events = [TaskUpdated(task.id, TaskChanges(**changed))]
    if "depends_on" not in changed:
        return [Change(task.id, task.version, events)]
    if task.status not in ("ready", "blocked"):
        hint = "Bring it back to ready first." if BOARD_STEPS[task.status] else ""
        raise Conflict(f"the dependencies of board task {task.id!r} are fixed while its status is {task.status}", hint)
    before, after = changed["depends_on"]
    added = [need for need in after if need not in before]
    _check_dependencies(scene, added)
    undone, walked = scene.undone(after), _walk(scene, added)
    if undone and task.status == "ready":
        events.append(_moved(task, "blocked", reason=f"needs {_names(undone)}"))
    elif not undone and task.status == "blocked" and not task.manual:
        events.append(TaskUnblocked(task.id))
    changes = [Change(task.id, task.version, events), *_noted(scene.undone(added), task.id)]
    return changes + _only_checked([*walked, *undone[:1]], changes)


def delete(scene: Scene, reason: str, *, detach: bool) -> Changes:
    """Take a task off the board, and if told so out of what others need. Again: no change."""
    task = scene.tasks.get(scene.task_id)
    if task is not None and task.deleted_at is not None:
        return []
    task = scene.task
    if task.status in ("working", "review"):
        raise TaskActive(task.id, task.status)
    if task.status == "done":
        raise Conflict(f"board task {task.id!r} is done", "Purge it, if no trace of it is to be kept.")
    dependents = scene.dependents()
    if dependents and not detach:
        raise HasDependents(task.id, tuple(dependent.id for dependent in dependents))
    return [Change(task.id, task.version, [TaskDeleted(task.id, reason)]), *_freed(scene, detach=True)]


def purge(scene: Scene) -> int:
    """The version at which the task's stream may be removed."""
    task = scene.tasks.get(scene.task_id)
    if task is None:
        raise NotFound("board task", scene.task_id)
    if task.deleted_at is None and task.status in ("working", "review"):
        raise TaskActive(task.id, task.status)
    if task.deleted_at is None and task.status != "done":
        raise Conflict(f"board task {task.id!r} is neither done nor deleted", "Delete it first.")
    waiting = tuple(dependent.id for dependent in scene.dependents() if dependent.status != "done")
    if waiting:
        raise HasDependents(task.id, waiting)
    return task.version


def assign(scene: Scene, agent: str | None, lease_until: datetime | None) -> Changes:
    """Give a ready task to somebody."""
    task = _leaving(scene, "ready", "working", "assigned")
    if agent is None:
        raise InvalidInput(f"nobody to work on board task {task.id!r}", "Give the agent.")
    moved = _moved(task, "working", assignee=agent, claim=task.claim + 1, lease_until=lease_until)
    return [Change(task.id, task.version, [moved])]


def submit(scene: Scene, agent: str | None, claim: int | None) -> Changes:
    """Hand in the work for review."""
    task = _leaving(scene, "working", "review", "submitted")
    _check_claim(task, agent, claim)
    return [Change(task.id, task.version, [_moved(task, "review", assignee=task.assignee)])]


def release(scene: Scene, reason: str, agent: str | None, claim: int | None) -> Changes:
    """Give a task back, unfinished."""
    task = _leaving(scene, "working", "ready", "released")
    _check_claim(task, agent, claim)
    return [Change(task.id, task.version, [_moved(task, "ready", reason=reason)])]


def approve(scene: Scene) -> Changes:
    """Call a task done, and unblock whatever needed nothing else."""
    task = _leaving(scene, "review", "done", "approved")
    done = _moved(task, "done", assignee=task.assignee)
    return [Change(task.id, task.version, [done]), *_freed(scene, detach=False)]


def request_changes(scene: Scene, reason: str, lease_until: datetime | None) -> Changes:
    """Give the work back to whoever handed it in, under a claim of its own."""
    task = _leaving(scene, "review", "working", "sent back")
    again = _moved(
        task, "working", assignee=task.assignee, reason=reason, claim=task.claim + 1, lease_until=lease_until
    )
    return [Change(task.id, task.version, [again])]


def revert(scene: Scene, reason: str) -> Changes:
    """Throw away the work: anybody may begin the task again."""
    task = _leaving(scene, "review", "ready", "reverted")
    return [Change(task.id, task.version, [_moved(task, "ready", reason=reason)])]


def block(scene: Scene, reason: str) -> Changes:
    """Block a task by hand."""
    task = _leaving(scene, "ready", "blocked", "blocked")
    if not reason.strip():
        raise InvalidInput(f"no reason to block board task {task.id!r}", "Say what it waits for.")
    return [Change(task.id, task.version, [_moved(task, "blocked", reason=reason, manual=True)])]


def unblock(scene: Scene) -> Changes:
    """Lift a block by hand. What a task needs must be done all the same."""
    task = _leaving(scene, "blocked", "ready", "unblocked")
    undone = scene.undone(scene.needs.get(task.id, ()))
    if undone:
        hint = "It is unblocked by itself once they are done; or change its dependencies."
        raise Conflict(f"board task {task.id!r} needs {_names(undone)}", hint)
    return [Change(task.id, task.version, [TaskUnblocked(task.id)])]


def move(
    scene: Scene,
    status: str,
    *,
    agent: str | None,
    reason: str,
    claim: int | None,
    lease_until: datetime | None,
) -> Changes:
    """Whatever brings the task from the status it is in to this one."""
    task = scene.task
    check_board_task(task, status)
    match task.status, status:
        case "ready", "working":
            return assign(scene, agent, lease_until)
        case "ready", _:
            return block(scene, reason)
        case "working", "review":
            return submit(scene, agent, claim)
        case "working", _:
            return release(scene, reason, agent, claim)
        case "review", "done":
            return approve(scene)
        case "review", "working":
            return request_changes(scene, reason, lease_until)
        case "review", _:
            return revert(scene, reason)
        case _:
            return unblock(scene)


def _leaving(scene: Scene, old: BoardStatus, new: BoardStatus, step: str) -> BoardTask:
    """The task, which this step takes from one status to another."""
    task = scene.task
    check_board_task(task, new)
    if task.status != old:  # another step leads there from where it is
        raise InvalidTransition(f"board task {task.id!r}", task.status, step, steps_from(BOARD_STEPS, task.status))
    return task


def _moved(
    task: BoardTask,
    new: BoardStatus,
    *,
    assignee: str | None = None,
    reason: str = "",
    claim: int | None = None,
    lease_until: datetime | None = None,
    manual: bool = False,
) -> TaskMoved:
    number = task.claim if claim is None else claim
    return TaskMoved(task.id, task.status, new, assignee, reason, number, lease_until, manual)


def _freed(scene: Scene, *, detach: bool) -> Changes:
    """What becomes of the tasks that need this one when it is done, or no longer needed: those that need nothing else
    are unblocked. What was blocked by hand stays so.
    """
    changes: Changes = []
    blockers: list[list[BoardTask]] = []
    for dependent in scene.dependents():
        needs = scene.needs[dependent.id]
        others = tuple(need for need in needs if need != scene.task_id)
        waits, undone = dependent.status == "blocked" and not dependent.manual, scene.undone(others)
        events: Events = [TaskUpdated(dependent.id, TaskChanges(depends_on=(needs, others)))] if detach else []
        if waits and not undone:
            events.append(TaskUnblocked(dependent.id, None if detach else scene.task_id))
        if waits and undone:
            blockers.append(undone)
        if events or waits:
            changes.append(Change(dependent.id, dependent.version, events))
    expected = {change.task_id for change in changes}
    witnesses = [undone[0] for undone in blockers if not any(task.id in expected for task in undone)]
    return changes + _only_checked(witnesses, changes)


def _noted(needed: Iterable[BoardTask], by: str) -> Changes:
    return [Change(task.id, task.version, [TaskDependedOn(task.id, by)]) for task in needed]


def _only_checked(tasks: Iterable[BoardTask], changes: Changes) -> Changes:
    """That these tasks are still as they are, as far as the changes do not say so already."""
    known = {change.task_id for change in changes}
    return list({task.id: Change(task.id, task.version) for task in tasks if task.id not in known}.values())


def _check_dependencies(scene: Scene, added: Sequence[str]) -> None:
    if scene.task_id in added:
        raise CycleError((scene.task_id, scene.task_id))
    for need in added:
        scene.named(need)


def _walk(scene: Scene, added: Sequence[str]) -> list[BoardTask]:
    """Every task that is to be done before the added ones are, these included. `CycleError` if this one is among them.

    Whoever expects their versions makes no circle together with somebody else.
    """
    found = scene.undone(added)
    led_by = {task.id: scene.task_id for task in found}
    for task in found:  # which grows
        needs = scene.needs.get(task.id, ())
        if scene.task_id in needs:
            path = [scene.task_id, task.id]
            while path[-1] != scene.task_id:
                path.append(led_by[path[-1]])
            raise CycleError(tuple(reversed(path)))
        new = scene.undone(need for need in needs if need not in led_by)
        led_by |= {need.id: task.id for need in new}
        found += new
    return found


def _check_claim(task: BoardTask, agent: str | None, claim: int | None) -> None:
    if agent not in (None, task.assignee) or claim not in (None, task.claim):
        hint = "Drop this work: the task was given away since."
        raise Conflict(f"board task {task.id!r} is with {task.assignee!r}, under claim {task.claim}", hint)


def _details(scene: Scene, task: BoardTask) -> dict[str, Any]:
    """What can be updated of a task, as it is."""
    return {
        "title": task.title,
        "description": task.description,
        "acceptance_criteria": task.acceptance_criteria,
        "depends_on": scene.needs.get(task.id, ()),
        "tags": task.tags or (),
        "priority": task.priority,
    }


def _names(tasks: Sequence[BoardTask]) -> str:
    more = f" and {len(tasks) - 5:,} more" if len(tasks) > 5 else ""
    return ", ".join(repr(task.id) for task in tasks[:5]) + more


def _by_age(tasks: Iterable[BoardTask]) -> list[BoardTask]:
    return sorted(tasks, key=lambda task: (task.position, task.id))
