"""Judges what engines did by the run's events alone, in a plain and slow way.

No task ran that had an output which counted; none was given a value that did not; nobody wrote on after another had
claimed the run; and the run came to what a clean run comes to. A fork goes on from what its origin's events say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from eventstore.events import (
    RunCompleted,
    RunForked,
    RunResumed,
    RunStarted,
    TaskRunCancelled,
    TaskRunCompleted,
    TaskRunFailed,
    TaskRunInterrupted,
    TaskRunInvalidated,
    TaskRunRetryScheduled,
    TaskRunScheduled,
    TaskRunSkipped,
    TaskRunStarted,
    TaskRunWaiting,
)
from projections import Store, item_of
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
ENDS = {
    TaskRunCompleted: "completed",
    TaskRunFailed: "failed",
    TaskRunInterrupted: "interrupted",
    TaskRunCancelled: "cancelled",
}
Ending = TaskRunCompleted | TaskRunFailed | TaskRunInterrupted | TaskRunCancelled
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
        self.waited: set[Key] = set()
        """The attempts that waited for something outside. Their ends are nobody's effect."""
        self.inherited: set[Key] = set()
        """The attempts that were started in the origin, if the run is a fork."""
        self.always: set[str] = set()
        """The tasks that always run again."""
        self.fresh: set[str] = set()
        """The tasks that were completed since the run was resumed."""
        self.values: dict[tuple[str, str], object] = {}
        """What tasks have put out, by digest."""
        self.reusable: list[dict[str, str]] = [{}]
        """After each event, the tasks whose outputs count, in completion order, with their digests."""
        events, self._before = past(store, run_id)
        for place, event in enumerate(events, 1):
            try:
                self._take(event)
            except AssertionError as error:
                error.add_note(f"version {place - self._before} of {run_id!r}: {event}")
                raise
            self.reusable.append(self._reusable())

    @property
    def completed(self) -> set[Key]:
        """Every attempt that was completed, whether its output still counts or not."""
        return {key for key, end in self.ended.items() if isinstance(end, TaskRunCompleted)}

    def status(self, key: Key) -> str:
        """How an attempt stands, or how it ended."""
        end = self.ended.get(key)
        return ("waiting" if key in self.waited else "running") if end is None else ENDS[type(end)]

    def _take(self, event: msgspec.Struct) -> None:
        if isinstance(event, RunForked):
            self.epoch, self.inherited = 0, set(self.started)
        if isinstance(event, RunResumed):
            self.fresh.clear()
        if isinstance(event, RunCompleted):
            assert self.always & self.completions.keys() <= self.fresh, "what always runs has run since the resumption"
        if isinstance(event, TaskRunScheduled) and event.always_run:
            self.always.add(event.task_id)
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
        if isinstance(event, TaskRunWaiting):
            assert self.running.get(event.task_id) == event.attempt, "only an attempt under way waits"
            self.waited.add((event.task_id, event.attempt))
        waited = isinstance(event, Ending) and (event.task_id, event.attempt) in self.waited
        assert not (waited and isinstance(event, TaskRunInterrupted)), "what waits has no worker to miss"
        if isinstance(event, TaskRunCompleted | TaskRunFailed) and not waited:
            begun = self.started[event.task_id, event.attempt].epoch
            assert begun == self.epoch, "only the engine that has the run ends an attempt"
        if isinstance(event, TaskRunCancelled):
            assert self.running.pop(event.task_id, 0) == event.attempt, "an attempt under way ends with its task"
            if event.attempt:
                self.ended[event.task_id, event.attempt] = event
        if isinstance(event, SUPERSEDES):
            self.completions.pop(event.task_id, None)
        if isinstance(event, TaskRunCompleted):
            self.completions[event.task_id] = event
            self.fresh.add(event.task_id)
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
        moments = [list(reusable.items()) for reusable in self.reusable[self._before :][seen.since : seen.until + 1]]
        assert seen.reusable in moments, f"the plan says something else than the log: {seen}"
        counting = [[(task_id, self.values[task_id, digest]) for task_id, digest in moment] for moment in moments]
        assert seen.outputs in counting, f"the values that are given out are not those that count: {seen}"

    def check_effect(self, effect: Effect) -> None:
        """It was had by who started the attempt, for a reason that the plan gave, with values that counted then."""
        started = self.started.get((effect.task_id, effect.attempt))
        assert started is not None, f"an effect of an attempt that nobody started: {effect}"
        assert (started.worker, started.epoch) == (effect.worker, effect.epoch), f"somebody else's attempt: {effect}"
        assert (effect.task_id, effect.attempt) not in self.inherited, f"the origin's attempt: {effect}"
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


def past(store: Store, run_id: str) -> tuple[list[msgspec.Struct], int]:
    """All that has happened to a run, and how much of that to its origin, before it was forked."""
    own = [store.codec.decode(recorded) for recorded in store.log.read(run_id)]
    if not own or not isinstance(own[0], RunForked):
        return own, 0
    events, before = past(store, own[0].origin)
    inherited = events[: before + own[0].version]
    return [*inherited, *own], len(inherited)


def check(store: Store, entries: Sequence[Entry], run_id: str = RUN) -> Judge:
    """Check a run that is over against all that engines have noted."""
    judge = Judge(store, run_id)
    entries = [entry for entry in entries if entry.run_id == run_id]
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
    assert judge.completed - judge.waited - judge.inherited <= effects.keys(), "nothing is completed that was not done"
    check_result(store, entries, run_id)
    check_totals(store, judge, run_id)
    check_items(store, judge, run_id)
    check_store(store)
    return judge


def check_result(store: Store, entries: Sequence[Entry], run_id: str) -> None:
    """The run came to what a clean run of the definition comes to that its last engine went by."""
    run = store.get_run(run_id)
    assert run is not None
    assert run.status == "completed"
    assert run.output is not None
    (definition,) = [e.definition for e in entries if isinstance(e, Claimed) and e.epoch == run.epoch]
    result = store.load(run.output)
    assert isinstance(result, dict)
    dice = {task_id: output["dice"] for task_id, output in result.items()}
    assert result == definition.outputs(dice), "a clean run comes to something else"


def check_totals(store: Store, judge: Judge, run_id: str) -> None:
    """Every attempt counts once, and so does what it used: for the fork or for its origin."""
    plan = store.resume_plan(run_id)
    for totals, keys in ((plan.totals, judge.started.keys() - judge.inherited), (plan.inherited, judge.inherited)):
        assert totals.attempts == Counter(judge.status(key) for key in keys)
        assert totals.usage.get("effects", 0) == len(judge.completed & keys - judge.waited)


def check_items(store: Store, judge: Judge, run_id: str) -> None:
    """The items of each task are those there are, and their outputs those that are completed."""
    tasks = [task.task_id for task in store.list_task_runs(run_id)]
    for task_id in {item_of(each).task_id for each in tasks}:
        items = [each for each in tasks if each != task_id and item_of(each).task_id == task_id]
        assert [task.task_id for task in store.list_items(run_id, task_id)] == items
        outputs = [each for each in judge.completions if each in items]
        assert [output.task_id for output in store.list_item_outputs(run_id, task_id)] == outputs


def check_store(store: Store) -> None:
    """Nothing is wrong with the store, and its views are what the log says, and stay so when they are made again."""
    check_views(store)
    assert store.verify().clean
    before = tables_of(store)
    store.rebuild()
    assert tables_of(store) == before
