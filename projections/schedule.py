"""When the tasks of a trace ran, derived from how long each took; and the shape of a workflow.

Traces tell a task's runtime but not its start. A schedule made of runtimes, dependencies and machines is one
that could have happened; what a trace does not explain (queues, transfers) is not in it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from graphlib import TopologicalSorter
from heapq import heappop, heappush

import msgspec

from projections.wfformat import Trace


class Interval(msgspec.Struct, frozen=True):
    """When a task ran, in seconds since the trace's start, and on which machine; "" if it names none."""

    start: float
    end: float
    machine: str


class Shape(msgspec.Struct, frozen=True):
    """What tells one workflow from another at a glance.

    A task's level is its longest distance from a root; `max_width` is the size of the largest level. The
    critical path is the chain with the longest runtime, in seconds, to the millisecond.
    """

    tasks: int
    edges: int
    roots: int
    leaves: int
    levels: int
    max_width: int
    max_parents: int
    critical_path_s: float


def schedule(trace: Trace) -> dict[str, Interval]:
    """Give every task a start and an end by list scheduling.

    A task is ready when its last parent ends. Each machine has one line of ready tasks, in the order in
    which they became ready, ties in the trace's order; the first starts as soon as its cores are free, and
    none overtakes it. A task runs on the first machine the trace names for it, with no more cores than that
    machine has. A machine of unknown size has room for everything, and so has none at all. Cores freed at an
    instant can be taken at that instant. The same trace always gives the same schedule, in O((V + E) log V)
    time.

    Source: R. L. Graham, "Bounds on Multiprocessing Timing Anomalies", SIAM Journal on Applied Mathematics
    17(2), 1969; here the tasks are bound to machines, so each machine has a list of its own.
    """
    tasks = trace.tasks
    machines = [task.machines[0] if task.machines else "" for task in tasks]
    free = defaultdict(int, trace.machines)
    # Of a machine of unknown size a task takes no cores, so that it always fits.
    cores = [min(task.cores, free[machine]) for task, machine in zip(tasks, machines, strict=True)]
    children, unfinished = defaultdict(list), [len(task.parents) for task in tasks]
    for index, task in enumerate(tasks):
        for parent in task.parents:
            children[parent].append(index)

    lines: dict[str, list[tuple[float, int]]] = defaultdict(list)
    running: list[tuple[float, int]] = []
    intervals: dict[str, Interval] = {}
    now = 0.0
    for index, parents in enumerate(unfinished):
        if not parents:
            heappush(lines[machines[index]], (now, index))
    changed = set(lines)
    while changed:
        for machine in changed:
            line = lines[machine]
            while line and cores[line[0][1]] <= free[machine]:
                index = heappop(line)[1]
                free[machine] -= cores[index]
                intervals[tasks[index].id] = Interval(now, now + tasks[index].runtime, machine)
                heappush(running, (now + tasks[index].runtime, index))
        changed = set()
        if running:
            now = running[0][0]
        while running and running[0][0] == now:
            index = heappop(running)[1]
            free[machines[index]] += cores[index]
            changed.add(machines[index])
            for child in children[tasks[index].id]:
                unfinished[child] -= 1
                if not unfinished[child]:
                    heappush(lines[machines[child]], (now, child))
                    changed.add(machines[child])
    return {task.id: intervals[task.id] for task in tasks}


def shape(parents: Mapping[str, Collection[str]], runtimes: Mapping[str, float]) -> Shape:
    """Measure a workflow given as every task's parents and runtime in seconds.

    Every task is a key of both maps; a parent named twice counts once. Raises `graphlib.CycleError` on a
    cycle.
    """
    levels: dict[str, int] = {}
    ends: dict[str, float] = {}
    for task in TopologicalSorter(parents).static_order():
        levels[task] = max((levels[parent] + 1 for parent in parents[task]), default=0)
        ends[task] = max((ends[parent] for parent in parents[task]), default=0.0) + runtimes[task]
    degrees = [len(set(own)) for own in parents.values()]
    widths = Counter(levels.values())
    return Shape(
        tasks=len(parents),
        edges=sum(degrees),
        roots=degrees.count(0),
        leaves=len(parents) - len({parent for own in parents.values() for parent in own}),
        levels=len(widths),
        max_width=max(widths.values(), default=0),
        max_parents=max(degrees, default=0),
        critical_path_s=round(max(ends.values(), default=0.0), 3),
    )
