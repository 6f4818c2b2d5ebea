"""A small workflow runner: all that an engine needs to survive the death of its process. Copy it and change it.

It keeps nothing of its own. What has been done, what may start and what a task is given are read from the store, so a
process that takes a run over after a crash goes the very same way as one that never crashed. One task runs at a time;
those that are ready together are independent of each other and could as well go to a pool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from eventstore.blobs import digest_of
from eventstore.errors import Closed, Conflict, Unavailable
from eventstore.values import encode_value
from projections import Store, Task

Call = Callable[[Mapping[str, Any], int], object]
"""What a task does: given its dependencies' outputs by task id, and the attempt's number, it returns its output.

It must not change what it is given, and it may be called again after a crash, although its effects may have happened.
"""


class Step(msgspec.Struct, frozen=True):
    """A task of a workflow, with the function that does it."""

    id: str
    call: Call
    depends_on: tuple[str, ...] = ()


class Workflow(msgspec.Struct, frozen=True):
    """What to do. The run's output is that of the step named `result`; `input` is kept with the run."""

    name: str
    steps: tuple[Step, ...]
    result: str
    input: object = None

    @property
    def hash(self) -> str:
        """Tells this workflow from others of its name, so that no run goes on with another one than it began with."""
        return digest_of(encode_value([self.result, *((step.id, step.depends_on) for step in self.steps)]))


class TaskFailed(Exception):
    """A task has failed as often as it may. Its last error is the cause."""


class Runner:
    """Runs workflows to their end. Each process needs a `worker` name of its own.

    Nobody else can take a run over until `lease` seconds after it was claimed, except by force; who takes longer than
    that risks the run, not its correctness. Each task may be tried `tries` times, and again that often after a resume.
    """

    def __init__(self, store: Store, worker: str, *, lease: float = 60, tries: int = 3) -> None:
        self._store, self._worker, self._lease, self._tries = store.acting(actor=worker), worker, lease, tries

    def run(self, workflow: Workflow, run_id: str, *, force: bool = False) -> Any:
        """Run a workflow, or what is left of it, and return its output. A completed run gives its output again.

        Use `force` only if the process that has the run is known to be dead. Raises `ClaimHeld` if it may be alive,
        `Fenced` as soon as another process has taken the run over from this one, `Conflict` if the run was begun with
        another workflow or input, and `TaskFailed`; a run that has failed can be run again.
        """
        run = self._store.create_run(workflow.name, run_id=run_id, input=workflow.input, workflow_hash=workflow.hash)
        if run.status != "completed":
            epoch = self._start(run_id) if run.status == "pending" else self._resume(run_id, force)
            self._finish(workflow, run_id, epoch)
        return self._store.get_result(run_id, workflow.result)

    def _start(self, run_id: str) -> int:
        return self._store.start_run(run_id, worker=self._worker, lease=self._lease).epoch

    def _resume(self, run_id: str, force: bool) -> int:
        """Claim the run, note what is reused, and give failed tasks another chance."""
        claim = self._store.resume(run_id, worker=self._worker, lease=self._lease, force=force)
        for done in claim.plan.reusable:
            self._store.reuse_task(run_id, done.task_id, epoch=claim.epoch)
        for task_id in claim.plan.failed:
            self._store.retry_task(run_id, task_id, reason="the run was resumed", epoch=claim.epoch)
        return claim.epoch

    def _finish(self, workflow: Workflow, run_id: str, epoch: int) -> None:
        """Do what the plan says may start, until nothing is left. What is scheduled already is left as it is."""
        steps = {step.id: step for step in workflow.steps}
        tasks = [Task(step.id, depends_on=step.depends_on) for step in workflow.steps]
        self._store.schedule_tasks(run_id, tasks, epoch=epoch)
        try:
            while ready := self._store.resume_plan(run_id).ready:
                outputs = self._store.get_completed_node_outputs(run_id)
                for task_id in ready:
                    step = steps[task_id]
                    self._perform(run_id, epoch, step, {needed: outputs[needed] for needed in step.depends_on})
        except TaskFailed as failure:
            self._store.fail_run(run_id, failure, epoch=epoch)
            raise
        self._store.complete_run(run_id, self._store.get_result(run_id, workflow.result), epoch=epoch)

    def _perform(self, run_id: str, epoch: int, step: Step, inputs: Mapping[str, Any]) -> None:
        """Try a task until it succeeds. An output that cannot be kept is a failure of the task like any other."""
        for tries_left in reversed(range(self._tries)):
            attempt = self._store.start_task(run_id, step.id, worker=self._worker, epoch=epoch).attempt
            try:
                output = step.call(inputs, attempt)
                self._store.complete_task(run_id, step.id, output, attempt=attempt, epoch=epoch)
                return
            except (Conflict, Unavailable, Closed):
                raise  # the store's word, not the task's: the run was taken over, or the disk is full
            except Exception as error:
                self._store.fail_task(run_id, step.id, error, attempt=attempt, retryable=tries_left > 0, epoch=epoch)
                if not tries_left:
                    raise TaskFailed(f"task {step.id!r} has failed {self._tries} times: {error}") from error
                self._store.retry_task(run_id, step.id, reason=f"attempt {attempt} failed", epoch=epoch)
