"""What a run can go on from: a pure function of its rows, and so of its log.

A completion is *effective* if nothing later supersedes it; the view `node_outputs` holds exactly those. An effective
completion is *reusable* if every output it was made from is still there, byte for byte, and itself reusable. Digests
decide, never clocks: a task that ran again and gave the same bytes leaves its dependants reusable; one that gave other
bytes, or has not ended, makes them stale. So a crash at any point of a re-execution can never pair new inputs with
old outputs. What was made without a dependency's output, because that one was skipped, is stale once there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from projections.rows import Attempt, Output, Run, TaskRun

NO_OUTPUT = ""
"""Stands for the digest of a dependency that has put nothing out."""


class Reusable(msgspec.Struct, frozen=True):
    """A task that need not run again, and the version of the completion that says so."""

    task_id: str
    digest: str
    version: int


class Stale(msgspec.Struct, frozen=True):
    """A completed task whose output was made from something that is no longer so."""

    task_id: str
    reason: str


class InDoubt(msgspec.Struct, frozen=True):
    """A task whose last attempt was started and never ended: its effects may or may not have happened."""

    task_id: str
    attempt: int
    worker: str
    started_at: datetime | None


class Waiting(msgspec.Struct, frozen=True):
    """A task that may go on at a time, or once something outside happens. `attempt` is the one that waits; 0 if the
    task waits to be retried.
    """

    task_id: str
    reason: str
    due: datetime | None
    attempt: int = 0


class Totals(msgspec.Struct, frozen=True):
    """Attempts by how they ended, and what they used; every attempt once, however often the run was resumed."""

    attempts: dict[str, int] = {}
    usage: dict[str, float] = {}


class Plan(msgspec.Struct, frozen=True):
    """A run's resume plan, as of a version of its stream.

    `reusable` is in completion order. `ready` may start now: everything they depend on is reusable or skipped. The
    rest of `blocked` waits for the tasks named. `failed` tasks run again once they are retried. `totals` are the run's
    own; in a fork, the attempts that were started in its origin count in `inherited` instead.

    `waiting` are open gates, and timers and retries whose time has not come. `due` are timers whose time has come: they
    are to be completed, not to be started. `again` are those of the reusable tasks that the next resumption has run
    again, because they always do.
    """

    run_id: str
    status: str
    reusable: tuple[Reusable, ...]
    stale: tuple[Stale, ...]
    in_doubt: tuple[InDoubt, ...]
    waiting: tuple[Waiting, ...]
    failed: tuple[str, ...]
    ready: tuple[str, ...]
    blocked: dict[str, tuple[str, ...]]
    totals: Totals
    due: tuple[Waiting, ...] = ()
    again: tuple[str, ...] = ()
    inherited: Totals = Totals()


def plan(
    run: Run, tasks: Sequence[TaskRun], outputs: Sequence[Output], attempts: Sequence[Attempt], now: datetime
) -> Plan:
    """The plan for these rows, which are all of the run; `outputs` in completion order."""

    def totals_of(which: Iterable[Attempt]) -> Totals:
        chosen = list(which)
        return totals(((attempt.status, 1) for attempt in chosen), (attempt.usage or {} for attempt in chosen))

    return planned(
        run,
        tasks,
        [Reusable(output.task_id, output.digest, output.version) for output in outputs],
        stale_outputs(outputs),
        attempts,
        totals_of(attempt for attempt in attempts if not attempt.inherited),
        totals_of(attempt for attempt in attempts if attempt.inherited),
        now,
    )


def planned(
    run: Run,
    tasks: Sequence[TaskRun],
    completions: Sequence[Reusable],
    why_stale: Mapping[str, str],
    attempts: Iterable[Attempt],
    own: Totals,
    inherited: Totals,
    now: datetime,
) -> Plan:
    """The plan for what a run has come to. Retries that are not due yet wait.

    `tasks` may leave out those that are completed, run only once and are not stale; `attempts` all but the newest of
    tasks that run or are pending. `completions` are the effective ones, in order, some of them perhaps stale.
    """
    reusable = tuple(done for done in completions if done.task_id not in why_stale)
    settled = {done.task_id for done in reusable}
    again = tuple(task.task_id for task in tasks if task.always_run and task.task_id in settled)
    settled.update(task.task_id for task in tasks if task.status == "skipped")
    last = {(attempt.task_id, attempt.attempt): attempt for attempt in attempts}
    ready, blocked, in_doubt = [], {}, []
    waiting: list[Waiting] = []
    due: list[Waiting] = []
    for task in tasks:
        attempt = last.get((task.task_id, task.attempt))
        doubtful = task.status == "running" or (
            task.status == "pending" and attempt is not None and attempt.status == "interrupted"
        )
        if doubtful and attempt is not None:
            in_doubt.append(InDoubt(task.task_id, attempt.attempt, attempt.worker, attempt.started_at))
        if task.waiting_since is not None:
            to_come = task.due is None or task.due > now
            (waiting if to_come else due).append(Waiting(task.task_id, task.reason or "", task.due, task.attempt))
        elif task.status == "waiting" and task.due is not None and task.due > now:
            waiting.append(Waiting(task.task_id, task.reason or "", task.due))
        elif task.status in ("pending", "waiting") or task.task_id in why_stale:
            missing = tuple(needed for needed in task.depends_on or () if needed not in settled)
            if missing:
                blocked[task.task_id] = missing
            else:
                ready.append(task.task_id)
    return Plan(
        run_id=run.id,
        status=run.status,
        reusable=reusable,
        stale=tuple(Stale(task_id, reason) for task_id, reason in why_stale.items()),
        in_doubt=tuple(in_doubt),
        waiting=tuple(waiting),
        failed=tuple(task.task_id for task in tasks if task.status == "failed"),
        ready=tuple(ready),
        blocked=blocked,
        totals=own,
        due=tuple(due),
        again=again,
        inherited=inherited,
    )


def stale_outputs(outputs: Sequence[Output]) -> dict[str, str]:
    """The effective completions that are not reusable, each with the reason; in completion order."""
    digests = {output.task_id: output.digest for output in outputs}
    return why_stale(digests, {output.task_id: output.consumed or {} for output in outputs})


def why_stale(digests: Mapping[str, str], consumed: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The same for outputs of which only the digests are known, and those that they were made from; both by task, in
    completion order.

    Works through the outputs by their dependencies without recursion, so chains may be of any length.
    """
    reasons: dict[str, str] = {}
    for task_id, needs in consumed.items():
        for needed, digest in needs.items():
            there = digests.get(needed, NO_OUTPUT)
            if there == digest:
                continue
            if needed not in digests:
                reasons.setdefault(task_id, f"made from an output of {needed!r} that is no longer there")
            elif digest == NO_OUTPUT:
                reasons.setdefault(task_id, f"made without an output of {needed!r}, which has one now")
            else:
                reasons.setdefault(task_id, f"made from another output of {needed!r}")
    if not reasons:  # as nearly always, and half of the work is done
        return {}
    dependants: dict[str, list[str]] = {}
    for task_id, needs in consumed.items():
        for needed in needs:
            dependants.setdefault(needed, []).append(task_id)
    spreading = list(reasons)
    while spreading:
        cause = spreading.pop()
        for dependant in dependants.get(cause, ()):
            if dependant not in reasons:
                reasons[dependant] = f"made from the output of {cause!r}, which is stale"
                spreading.append(dependant)
    return {task_id: reasons[task_id] for task_id in consumed if task_id in reasons}


def totals(ended: Iterable[tuple[str, int]], used: Iterable[Mapping[str, float]]) -> Totals:
    """Sums of how many attempts have ended how, and of what they used."""
    attempts: dict[str, int] = {}
    for status, number in ended:
        attempts[status] = attempts.get(status, 0) + number
    usage: dict[str, float] = {}
    for some in used:
        for metric, amount in some.items():
            usage[metric] = usage.get(metric, 0) + amount
    return Totals(attempts, usage)


def consumable(depends_on: Iterable[str], outputs: Mapping[str, Output]) -> dict[str, str]:
    """The digests an attempt consumes if it is given what its dependencies have put out."""
    return {needed: outputs[needed].digest if needed in outputs else NO_OUTPUT for needed in depends_on}
