"""Several engines that take turns at a run and its forks, with crashes, leases that run out and a workflow that changes
under them, and an operator who decides what waits.

Everything is decided by a seed: who takes the next step, who dies, and what happens while an append is under way. So
whatever goes wrong can be repeated.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from typing import cast

from eventstore.errors import Conflict, NotFound
from eventstore.log import Append, Appended, Checkpoint, Log
from projections import Store, open_store
from tests.stores import NOON

from .definitions import random_definition
from .engine import LEASE, RUN, Engine, create
from .ledger import Memory
from .oracle import Judge, check

RUNS = int(os.environ.get("EVENTSTORE_ENGINE_RUNS", "15"))
RUNS_AT_ONCE = max(1, RUNS // 500)
"""How many runs there are with threads or processes."""
MOST_ALIVE = 3
MOST_RUNS = 3
MOST_TURNS = 20_000
MOST_STEPS_OF_A_ZOMBIE = 40
THRESHOLD = 300
"""Bytes of an output from which on it goes to a blob."""


class Died(BaseException):
    """The engine's process is no more."""


class WatchedLog:
    """A log as one engine has it: something may happen just before an append, and just after."""

    def __init__(self, log: Log, happen: Callable[[], None]) -> None:
        self._log, self._happen = log, happen

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def append(self, commit: Sequence[Append], *, checkpoint: Checkpoint | None = None) -> Appended:
        self._happen()
        appended = self._log.append(commit, checkpoint=checkpoint)
        self._happen()
        return appended


def watched(store: Store, happen: Callable[[], None], clock: Callable[[], datetime]) -> Store:
    """The store as one engine has it, with a clock of its own."""
    log = cast("Log", WatchedLog(store.log, happen))
    return Store(store.address, log, store.views, store.codec, store.values, clock)


def opened(address: str, clock: Callable[[], datetime]) -> Store:
    """The store that engines come to."""
    return open_store(address, durability="none", clock=clock, threshold=THRESHOLD)


def opened_again(store: Store, address: str, clock: Callable[[], datetime]) -> AbstractContextManager[Store]:
    """The store as another process has it; if it is in memory, the very same."""
    return nullcontext(store) if address == "memory:" else opened(address, clock)


def seeds(count: int) -> list[int]:
    """Seeds to repeat what they decided: so many, or the one that EVENTSTORE_CRASH_SEED says."""
    given = os.environ.get("EVENTSTORE_CRASH_SEED")
    return [int(given)] if given else [random.randrange(2**32) for _ in range(count)]


@contextmanager
def told(seed: int) -> Iterator[None]:
    """Whatever fails inside says how to repeat it."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"again: EVENTSTORE_CRASH_SEED={seed} scripts/test tests/engine")
        raise


class Simulation:
    """One run, its forks and all that happens to them. `figures` counts what that was."""

    def __init__(self, seed: int, address: str = "memory:") -> None:
        self._choices = random.Random(seed)
        self._address = address
        self._time = NOON
        self._definition = random_definition(self._choices, waits=True)
        self._trouble = self._choices.randint(0, 40)
        self._alive: dict[str, Generator[None, None, None]] = {}
        self._acting: list[str] = []
        self._ledger = Memory()
        self._runs = [RUN]
        self.figures = Counter[str]()

    def run(self) -> None:
        """Let engines come and go until all runs are over, and check all they did."""
        with opened(self._address, self._clock) as store:
            create(store)
            while self._unfinished(store):
                self.figures["turns"] += 1
                assert self.figures["turns"] < MOST_TURNS, "the runs come to no end"
                self._happen_between(store)
                self._let_act()
            self._let_zombies_act()
            for run_id in self._runs:
                self._count(check(store, self._ledger.entries, run_id))

    def _count(self, judge: Judge) -> None:
        completed = judge.completed - judge.inherited
        repeated = len(completed) - len({task_id for task_id, _ in completed})
        self.figures.update(
            runs=1,
            attempts=len(judge.started.keys() - judge.inherited),
            inherited=len(judge.inherited),
            repeated=repeated,
            waits=len(judge.waited - judge.inherited),
            claims=judge.epoch,
        )

    def _clock(self) -> datetime:
        self._time += timedelta(milliseconds=1)
        return self._time

    def _unfinished(self, store: Store) -> list[str]:
        runs = [store.get_run(run_id) for run_id in self._runs]
        return [run.id for run in runs if run and run.status != "completed"]

    def _happen_between(self, store: Store) -> None:
        """An engine comes or goes, the workflow changes, somebody invalidates, forks or decides something, or a clock
        jumps; or nothing.
        """
        roll = self._choices.random()
        if not self._alive and roll > 0.6:
            self._time += timedelta(seconds=LEASE)
        if not self._alive or (self._trouble and roll < 0.05 and len(self._alive) < MOST_ALIVE):
            self._begin_life(store)
        elif roll > 0.96:
            self._time += timedelta(seconds=LEASE * 2)
        elif self._trouble and roll > 0.84:
            self._trouble -= 1
            self._make_trouble(store, self._choices.randrange(5))
        elif roll > 0.74:
            self._decide(self._operated(store))

    def _make_trouble(self, store: Store, kind: int) -> None:
        task_id, run_id = self._choices.choice(list(self._definition.needs)), self._choices.choice(self._runs)
        if kind == 0:
            self._end_life(self._choices.choice(list(self._alive)))
            self.figures["deaths"] += 1
        elif kind == 1:
            self._definition = self._definition.changed(task_id).grown()
            self.figures["changes"] += 1
        elif kind == 2:
            operated = self._operated(store)
            again = self._choices.choice((operated.invalidate_task, operated.rerun_from))
            with suppress(Conflict, NotFound):
                again(run_id, task_id)
                self.figures["invalidations"] += 1
        elif kind == 3:
            self._fork(self._operated(store), run_id)
        else:
            self._time -= timedelta(seconds=self._choices.choice((1, LEASE, LEASE * 5)))

    def _fork(self, store: Store, run_id: str) -> None:
        """Have a run go on from where this one is, or was: both go their ways."""
        if len(self._runs) < MOST_RUNS:
            version = self._choices.choice((None, self._choices.randint(1, store.log.version(run_id))))
            self._runs.append(store.fork_run(run_id, version=version, fork_id=f"{run_id}.{len(self._runs)}").id)
            self.figures["forks"] += 1

    def _decide(self, store: Store) -> None:
        """Approve or reject one of those that wait, unless somebody or something else has done so meanwhile."""
        waiting = store.list_waiting()
        if not waiting:
            return
        task = self._choices.choice(waiting)
        attempt = self._choices.choice((None, task.attempt))
        with suppress(Conflict):
            if self._choices.random() < 0.2:
                store.reject_task(task.run_id, task.task_id, "no", attempt=attempt)
            else:
                output = self._definition.awaited(task.task_id, self._choices.randrange(3))
                store.approve_task(task.run_id, task.task_id, output, attempt=attempt)
            self.figures["decisions"] += 1

    def _operated(self, store: Store) -> Store:
        """The store as the operator has it: engines act while a command of his is under way."""

        def happen() -> None:
            if self._choices.random() > 0.7:
                self._let_act()

        return watched(store, happen, self._clock)

    def _begin_life(self, store: Store) -> None:
        self.figures["lives"] += 1
        name = f"engine {self.figures['lives']}"
        self._alive[name] = self._life(name, store, self._choices.choice(self._unfinished(store)))

    def _life(self, name: str, store: Store, run_id: str) -> Generator[None, None, None]:
        skew = timedelta(seconds=self._choices.choice((0, 0, LEASE / 2, -LEASE / 2)))
        with opened_again(store, self._address, self._clock) as own:
            seen = watched(own, self._happen_in_append, lambda: self._clock() + skew)
            engine = Engine(name, seen, lambda: self._definition, self._ledger, self._choices, run_id)
            yield from engine.live()
        self.figures["fenced"] += engine.fenced

    def _end_life(self, name: str) -> None:
        self._alive.pop(name).close()

    def _let_act(self) -> None:
        """One engine that is not in the middle of something takes a step."""
        names = [name for name in self._alive if name not in self._acting]
        if not names:
            return
        name = self._choices.choice(names)
        self._acting.append(name)
        try:
            next(self._alive[name])
        except (StopIteration, Died):
            self._end_life(name)
        finally:
            self._acting.pop()

    def _happen_in_append(self) -> None:
        roll = self._choices.random()
        if self._trouble and roll < 0.03:
            self._trouble -= 1
            self.figures["deaths"] += 1
            raise Died
        if roll > 0.9 and len(self._acting) < MOST_ALIVE:
            self._let_act()

    def _let_zombies_act(self) -> None:
        """Those that are left find out that the run is over, and end, or wait for ever."""
        for name in list(self._alive):
            for _ in range(MOST_STEPS_OF_A_ZOMBIE):
                if name in self._alive:
                    self._let_act()
