"""A small engine as a user would write one: it claims a run, adapts it to what the workflow is by now, and drives it.

It works in steps. Between two of them it may die, or stand still for as long as others like.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from datetime import timedelta

from eventstore.errors import ClaimHeld, Conflict, Fenced, InvalidTransition
from projections import Resumption, Store, Task
from projections.resume import Plan, Waiting
from projections.rows import Attempt

from .definitions import Definition
from .ledger import Acknowledged, Claimed, Effect, Ledger, Sight

RUN = "run"
LEASE = 30.0
"""Seconds by the store's clock."""
AT_ONCE = 3
"""How many tasks an engine has under way at most."""

Steps = Iterator[None]


def create(store: Store) -> None:
    """The run, to which engines come."""
    store.create_run("flow", run_id=RUN)


class Engine:
    """One life of one worker, which comes to a run. What it decides by itself, `choices` decide."""

    def __init__(
        self,
        name: str,
        store: Store,
        definition: Callable[[], Definition],
        ledger: Ledger,
        choices: random.Random,
        run_id: str = RUN,
    ) -> None:
        self.name, self._store, self._definition, self._ledger, self._choices = name, store, definition, ledger, choices
        self.run_id, self._epoch = run_id, 0
        self.fenced = False

    def live(self) -> Steps:
        """Drive the run to its end, or until it waits, unless another engine has it, or takes it."""
        claim = self._claim()
        if claim is None:
            return
        self.run_id, self._epoch = claim.run.id, claim.epoch
        yield
        try:
            definition = self._definition()
            self._ledger.note(Claimed(self.run_id, self.name, self._epoch, definition))
            yield from self._adapt(definition)
            yield from self._reuse(claim.plan)
            yield from self._drive(definition)
        except Fenced:
            self.fenced = True

    def _claim(self) -> Resumption | None:
        way = self._choices.randrange(10)
        try:
            if way < 3:
                return next(iter(self._store.recover(self.name, LEASE, include_unleased=True).claimed), None)
            lease = None if way == 3 else LEASE
            return self._store.resume(self.run_id, worker=self.name, lease=lease, force=way == 4)
        except (ClaimHeld, InvalidTransition):
            return None

    def _adapt(self, definition: Definition) -> Steps:
        """Have what was made by other editions run again, and make the tasks known as they are now."""
        for change in self._store.drift(self.run_id, definition.fingerprints()).changed:
            if change.status == "completed" and self._choices.random() < 0.5:
                self._store.invalidate_task(self.run_id, change.task_id, "another edition", epoch=self._epoch)
            elif change.status == "completed":
                self._store.rerun_from(self.run_id, change.task_id, reason="another edition", epoch=self._epoch)
            yield
        tasks = [
            Task(
                task_id,
                depends_on=definition.needs[task_id],
                fingerprint=fingerprint,
                always_run=task_id in definition.always,
            )
            for task_id, fingerprint in definition.fingerprints().items()
        ]
        self._store.schedule_tasks(self.run_id, tasks, epoch=self._epoch)
        yield

    def _reuse(self, plan: Plan) -> Steps:
        """Note what the run goes on with, some of it twice; unless it was invalidated meanwhile."""
        for task in plan.reusable:
            if self._choices.random() < 0.3:
                with contextlib.suppress(InvalidTransition):
                    self._store.reuse_task(self.run_id, task.task_id, epoch=self._epoch)
                yield

    def _drive(self, definition: Definition) -> Steps:
        """Run whatever may run, until all tasks have outputs that belong together, or nothing is left but to wait."""
        flights: dict[str, Steps] = {}
        while True:
            if flights and self._choices.random() < 0.6:
                task_id = self._choices.choice(list(flights))
                if next(flights[task_id], flights) is flights:
                    del flights[task_id]
                else:
                    yield
                continue
            plan, seen = self._look()
            yield
            outputs = dict(seen.outputs)
            if not flights and all(task_id in outputs for task_id in definition.tasks):
                result = {task_id: outputs[task_id] for task_id in definition.tasks}
                self._store.complete_run(self.run_id, result, epoch=self._epoch)
                return
            if plan.failed and self._choices.random() < 0.1:
                self._store.fail_run(self.run_id, f"failed in epoch {self._epoch}", epoch=self._epoch)
                return
            for task_id in plan.failed:
                delay = self._choices.choice((0, 0, LEASE / 2))
                self._store.retry_task(self.run_id, task_id, delay=delay, epoch=self._epoch)
                yield
            for timer in plan.due:
                self._complete(timer, definition)
                yield
            ready = [task_id for task_id in plan.ready if task_id in definition.tasks and task_id not in flights]
            if ready and len(flights) < AT_ONCE:
                task_id = self._choices.choice(ready)
                waits = task_id in (*definition.gates, *definition.timers)
                flights[task_id] = (
                    self._wait(task_id, definition) if waits else self._attempt(definition, task_id, seen)
                )
            elif plan.waiting and not flights and self._choices.random() < 0.1:
                self._store.wait_run(self.run_id, "nothing can run", epoch=self._epoch)
                return
            elif self._choices.random() < 0.3:
                self._store.renew_lease(self.run_id, epoch=self._epoch, lease=LEASE)
                yield

    def _look(self) -> tuple[Plan, Sight]:
        since = self._store.log.version(self.run_id)
        plan = self._store.resume_plan(self.run_id)
        outputs = self._store.get_completed_node_outputs(self.run_id)
        until = self._store.log.version(self.run_id)
        reusable = [(task.task_id, task.digest) for task in plan.reusable]
        seen = Sight(self.run_id, since, until, reusable, list(outputs.items()))
        self._ledger.note(seen)
        return plan, seen

    def _attempt(self, definition: Definition, task_id: str, seen: Sight) -> Steps:
        """Start a task, let it have its effect, and say how that went; unless its inputs are not those seen by now."""
        attempt = self._start(task_id)
        if attempt is None:
            return
        yield
        if not (attempt.consumes or {}).items() <= dict(seen.reusable).items():
            self._fail(attempt, "an input was invalidated")
            return
        inputs = {needed: dict(seen.outputs)[needed] for needed in definition.needs[task_id]}
        fails = self._choices.random() < 0.1
        output = None if fails else definition.output(task_id, inputs, self._choices.randrange(3))
        self._ledger.note(Effect(self.run_id, task_id, attempt.attempt, self.name, self._epoch, seen, inputs, output))
        yield
        if output is None:
            self._fail(attempt, "no luck")
            return
        usage = {"effects": 1}
        self._store.complete_task(self.run_id, task_id, output, attempt=attempt.attempt, usage=usage, epoch=self._epoch)
        self._ledger.note(Acknowledged(self.run_id, task_id, attempt.attempt, completed=True))

    def _wait(self, task_id: str, definition: Definition) -> Steps:
        """Have a task wait for somebody, or for a time."""
        attempt = self._start(task_id)
        if attempt is None:
            return
        yield
        until = None
        if task_id in definition.timers:
            assert attempt.started_at
            until = attempt.started_at + timedelta(seconds=LEASE / 2)
        self._store.wait_task(self.run_id, task_id, "its turn", until=until, attempt=attempt.attempt, epoch=self._epoch)

    def _start(self, task_id: str) -> Attempt | None:
        """The attempt that begins; None if the clock has been set back, and the retry is not due any more."""
        try:
            return self._store.start_task(self.run_id, task_id, worker=self.name, epoch=self._epoch)
        except Conflict as refusal:
            if type(refusal) is not Conflict:
                raise
            return None

    def _complete(self, timer: Waiting, definition: Definition) -> None:
        """Say that a time has come, unless somebody has decided meanwhile, or the clock has been set back."""
        output = definition.awaited(timer.task_id, self._choices.randrange(3))
        try:
            self._store.complete_task(self.run_id, timer.task_id, output, attempt=timer.attempt, epoch=self._epoch)
        except Fenced:
            raise
        except Conflict:
            return

    def _fail(self, attempt: Attempt, reason: str) -> None:
        self._store.fail_task(self.run_id, attempt.task_id, reason, attempt=attempt.attempt, epoch=self._epoch)
        self._ledger.note(Acknowledged(self.run_id, attempt.task_id, attempt.attempt, completed=False))
