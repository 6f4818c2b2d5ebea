"""Judges what engines did by the run's events alone, in a plain and slow way.

No task ran that had an output which counted; none was given a value that did not; nobody wrote on after another had
claimed the run; and the run came to what a clean run comes to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from eventstore.events import (
    RunResumed,
    RunStarted,
    TaskRunCancelled,
    TaskRunCompleted,
    TaskRunFailed,
    TaskRunInterrupted,
    TaskRunInvalidated,
    TaskRunRetryScheduled,
    TaskRunSkipped,
    TaskRunStarted,
)
from projections import Store
from tests.stores import check_views, tables_of

from .engine import RUN
from .ledger import Acknowledged, Claimed, Effect, Entry, Sight

SUPERSEDES = (
    TaskRunStarted,
    TaskRunFailed,
    TaskRunRetryScheduled,
    TaskRunSkipped,
    TaskRunCancelled,
    TaskRunInvalidated,
)
ENDS = {TaskRunCompleted: "completed", TaskRunFailed: "failed", TaskRunInterrupted: "interrupted"}
Ending = TaskRunCompleted | TaskRunFailed | TaskRunInterrupted
Key = tuple[str, int]


class Judge:
    """Reads the events of a run, and fails at the first that should not be there."""

    def __init__(self, store: Store, run_id: str = RUN) -> None:
        self._store = store
        self.epoch = 0
        self.running: dict[str, int] = {}
        self.completions: dict[str, TaskRunCompleted] = {}
        self.started: dict[Key, TaskRunStarted] = {}
        self.ended: dict[Key, Ending] = {}
        self.values: dict[tuple[str, str], object] = {}
        """What tasks have put out, by digest."""
        self.reusable: list[dict[str, str]] = [{}]
        """At each version of the run, the tasks whose outputs count, in completion order, with their digests."""
        for recorded in store.log.read(run_id):
            event = store.codec.decode(recorded)
            try:
                self._take(event)
            except AssertionError as error:
                error.add_note(f"version {recorded.version}: {event}")
                raise
            self.reusable.append(self._reusable())

    @property
    def completed(self) -> set[Key]:
        """Every attempt that was completed, whether its output still counts or not."""
        return {key for key, end in self.ended.items() if isinstance(end, TaskRunCompleted)}

    def _take(self, event: msgspec.Struct) -> None:
        if isinstance(event, RunStarted | RunResumed):
            assert event.epoch == self.epoch + 1, "the epoch of a claim is the next one"
            self.epoch = event.epoch
        if isinstance(event, TaskRunStarted):
            assert event.epoch == self.epoch, "only the engine that has the run starts a task"
            assert event.task_id not in self.running, "a task is started once"
            assert event.task_id not in self.reusable[-1], "no output that counts is made again"
            assert event.attempt == sum(task_id == event.task_id for task_id, _ in self.started) + 1
            self.running[event.task_id] = event.attempt
            self.started[event.task_id, event.attempt] = event
        if isinstance(event, TaskRunCompleted | TaskRunFailed | TaskRunInterrupted):
            assert self.running.pop(event.task_id, None) == event.attempt, "only an attempt under way ends"
            self.ended[event.task_id, event.attempt] = event
        if isinstance(event, TaskRunCompleted | TaskRunFailed):
            begun = self.started[event.task_id, event.attempt].epoch
            assert begun == self.epoch, "only the engine that has the run ends an attempt"
        if isinstance(event, TaskRunCancelled):
            self.running.pop(event.task_id, None)
        if isinstance(event, SUPERSEDES):
            self.completions.pop(event.task_id, None)
        if isinstance(event, TaskRunCompleted):
            self.completions[event.task_id] = event
            self.values[event.task_id, event.output.digest] = self._store.load(event.output)

    def _reusable(self) -> dict[str, str]:
        known: dict[str, bool] = {}

        def holds(task_id: str) -> bool:
            if task_id not in known:
                completion = self.completions.get(task_id)
                known[task_id] = completion is not None and all(
                    given(needed, digest) for needed, digest in completion.consumed.items()
                )
            return known[task_id]

        def given(needed: str, digest: str) -> bool:
            if needed not in self.completions:
                return digest == ""
            return holds(needed) and self.completions[needed].output.digest == digest

        return {task_id: event.output.digest for task_id, event in self.completions.items() if holds(task_id)}

    def check_sight(self, seen: Sight) -> None:
        """What the plan and the values say is what counted at a moment between the two looks at the version."""
        moments = [list(reusable.items()) for reusable in self.reusable[seen.since : seen.until + 1]]
        assert seen.reusable in moments, f"the plan says something else than the log: {seen}"
        counting = [[(task_id, self.values[task_id, digest]) for task_id, digest in moment] for moment in moments]
        assert seen.outputs in counting, f"the values that are given out are not those that count: {seen}"

    def check_effect(self, effect: Effect) -> None:
        """It was had by who started the attempt, for a reason that the plan gave, with values that counted then."""
        started = self.started.get((effect.task_id, effect.attempt))
        assert started is not None, f"an effect of an attempt that nobody started: {effect}"
        assert (started.worker, started.epoch) == (effect.worker, effect.epoch), f"somebody else's attempt: {effect}"
        plan = dict(effect.seen.reusable)
        assert effect.task_id not in plan, f"an effect that was not to be repeated: {effect}"
        given = {task_id: plan.get(task_id) for task_id in effect.inputs}
        assert started.consumes == given, f"the start does not say what the effect was made of: {effect}"
        for task_id, value in effect.inputs.items():
            made = self.values.get((task_id, given[task_id] or ""))
            assert value == made, f"{task_id!r} never put this out: {effect}"
        end = self.ended.get((effect.task_id, effect.attempt))
        if isinstance(end, TaskRunCompleted):
            assert self.values[end.task_id, end.output.digest] == effect.output, (
                f"another output was kept than {effect}"
            )
            assert end.consumed == started.consumes, f"{end} was not made from what it says"


def check(store: Store, entries: Sequence[Entry]) -> Judge:
    """Check a run that is over against all that engines have noted."""
    judge = Judge(store)
    effects = {(entry.task_id, entry.attempt): entry for entry in entries if isinstance(entry, Effect)}
    assert len(effects) == sum(isinstance(entry, Effect) for entry in entries), "an attempt has its effect once"
    for entry in entries:
        if isinstance(entry, Sight):
            judge.check_sight(entry)
        elif isinstance(entry, Effect):
            judge.check_effect(entry)
        elif isinstance(entry, Acknowledged):
            end = judge.ended.get((entry.task_id, entry.attempt))
            assert isinstance(end, TaskRunCompleted if entry.completed else TaskRunFailed), f"lost: {entry}"
    assert judge.completed <= effects.keys(), "nothing is completed that was not done"
    check_result(store, entries)
    check_totals(store, judge)
    check_store(store)
    return judge


def check_result(store: Store, entries: Sequence[Entry]) -> None:
    """The run came to what a clean run of the definition comes to that its last engine went by."""
    run = store.get_run(RUN)
    assert run is not None
    assert run.status == "completed"
    assert run.output is not None
    (definition,) = [e.definition for e in entries if isinstance(e, Claimed) and e.epoch == run.epoch]
    result = store.load(run.output)
    assert isinstance(result, dict)
    dice = {task_id: output["dice"] for task_id, output in result.items()}
    assert result == definition.outputs(dice), "a clean run comes to something else"


def check_totals(store: Store, judge: Judge) -> None:
    """Every attempt counts once, and so does what it used."""
    totals = store.resume_plan(RUN).totals
    ends = [judge.ended.get(key) for key in judge.started]
    assert totals.attempts == Counter("running" if end is None else ENDS[type(end)] for end in ends)
    assert totals.usage.get("effects", 0) == sum(isinstance(end, TaskRunCompleted) for end in ends)


def check_store(store: Store) -> None:
    """Nothing is wrong with the store, and its views are what the log says, and stay so when they are made again."""
    check_views(store)
    assert store.verify().clean
    before = tables_of(store)
    store.rebuild()
    assert tables_of(store) == before
