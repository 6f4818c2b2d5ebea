"""Random workflows, and a small engine that runs them as a user's would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from projections import Plan, Resumption, Store, Task

Dag = dict[str, tuple[str, ...]]
"""Every task's dependencies, in an order in which they can run."""

Work = Callable[[str, dict[str, Any]], object]
"""What a task does: from its id and its dependencies' outputs to its own."""


def dags(most: int = 6) -> SearchStrategy[Dag]:
    """Workflows of one task to `most`, each of which may need any that come before it."""

    def named(needs: list[set[int]]) -> Dag:
        return {
            f"t{number}": tuple(f"t{other}" for other in sorted({n % number for n in needed} if number else ()))
            for number, needed in enumerate(needs)
        }

    return st.lists(st.sets(st.integers(0, most - 1), max_size=3), min_size=1, max_size=most).map(named)


def begin(store: Store, dag: Mapping[str, tuple[str, ...]]) -> None:
    """Create and start the run, and make its tasks known."""
    store.create_run("flow", run_id="run")
    store.schedule_tasks("run", [Task(task_id, depends_on=needed) for task_id, needed in dag.items()])
    store.start_run("run", worker="engine")


def drive(
    store: Store, claim: Resumption, work: Work, tell: Callable[[str, str], object] = lambda step, id: None
) -> None:
    """Run everything the plan says may run, until all is done; then end the run with all outputs.

    `tell` hears of every step, after it was taken.
    """
    epoch = claim.epoch
    tell("claimed", "run")
    while ready := prepare(store, store.resume_plan("run"), epoch):
        for task_id in ready:
            attempt = store.start_task("run", task_id, epoch=epoch)
            tell("started", task_id)
            inputs = {needed: store.get_result("run", needed) for needed in attempt.consumes or ()}
            output = work(task_id, inputs)
            tell("worked", task_id)
            store.complete_task("run", task_id, output, attempt=attempt.attempt, epoch=epoch)
            tell("completed", task_id)
    outputs = dict(sorted(store.get_completed_node_outputs("run").items()))
    store.complete_run("run", outputs, epoch=epoch)


def prepare(store: Store, plan: Plan, epoch: int) -> tuple[str, ...]:
    """Have failed tasks retried, and say which tasks may start."""
    for task_id in plan.failed:
        store.retry_task("run", task_id, epoch=epoch)
    return (*plan.ready, *plan.failed)


def outputs_of(dag: Mapping[str, tuple[str, ...]], work: Work) -> dict[str, object]:
    """What the workflow comes to if nothing goes wrong."""
    outputs: dict[str, object] = {}
    for task_id, needed in dag.items():
        outputs[task_id] = work(task_id, {other: outputs[other] for other in needed})
    return dict(sorted(outputs.items()))
