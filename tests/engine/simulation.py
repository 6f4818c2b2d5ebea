"""Several engines that take turns at one run, with crashes, leases that run out and a workflow that changes under it.

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
from .oracle import check

RUNS = int(os.environ.get("EVENTSTORE_ENGINE_RUNS", "60"))
RUNS_AT_ONCE = max(1, RUNS // 500)
"""How many runs there are with threads or processes."""
MOST_ALIVE = 3
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
    """One run and all that happens to it. `figures` counts what that was."""

    def __init__(self, seed: int, address: str = "memory:") -> None:
        self._choices = random.Random(seed)
        self._address = address
        self._time = NOON
        self._definition = random_definition(self._choices)
        self._trouble = self._choices.randint(0, 40)
        self._alive: dict[str, Generator[None, None, None]] = {}
        self._acting: list[str] = []
        self._ledger = Memory()
        self.figures = Counter[str]()

    def run(self) -> None:
        """Let engines come and go until the run is over, and check all they did."""
        with opened(self._address, self._clock) as store:
            create(store)
            while not self._over(store):
                self.figures["turns"] += 1
                assert self.figures["turns"] < MOST_TURNS, "the run comes to no end"
                self._happen_between(store)
                self._let_act()
            self._let_zombies_act()
            judge = check(store, self._ledger.entries)
        repeated = len(judge.completed) - len({task_id for task_id, _ in judge.completed})
        self.figures.update(runs=1, attempts=len(judge.started), repeated=repeated, claims=judge.epoch)

    def _clock(self) -> datetime:
        self._time += timedelta(milliseconds=1)
        return self._time

    def _over(self, store: Store) -> bool:
        run = store.get_run(RUN)
        return run is not None and run.status == "completed"

    def _happen_between(self, store: Store) -> None:
        """An engine comes or goes, the workflow changes, somebody invalidates something, a clock jumps; or nothing."""
        roll = self._choices.random()
        if not self._alive and roll > 0.6:
            self._time += timedelta(seconds=LEASE)
        if not self._alive or (self._trouble and roll < 0.05 and len(self._alive) < MOST_ALIVE):
            self._begin_life(store)
        elif roll > 0.96:
            self._time += timedelta(seconds=LEASE * 2)
        elif self._trouble and roll > 0.84:
            self._trouble -= 1
            self._make_trouble(store, self._choices.randrange(4))

    def _make_trouble(self, store: Store, kind: int) -> None:
        task_id = self._choices.choice(list(self._definition.needs))
        if kind == 0:
            self._end_life(self._choices.choice(list(self._alive)))
            self.figures["deaths"] += 1
        elif kind == 1:
            self._definition = self._definition.changed(task_id).grown()
            self.figures["changes"] += 1
        elif kind == 2:
            again = self._choices.choice((store.invalidate_task, store.rerun_from))
            with suppress(Conflict, NotFound):
                again(RUN, task_id)
                self.figures["invalidations"] += 1
        else:
            self._time -= timedelta(seconds=self._choices.choice((1, LEASE, LEASE * 5)))

    def _begin_life(self, store: Store) -> None:
        self.figures["lives"] += 1
        name = f"engine {self.figures['lives']}"
        self._alive[name] = self._life(name, store)

    def _life(self, name: str, store: Store) -> Generator[None, None, None]:
        skew = timedelta(seconds=self._choices.choice((0, 0, LEASE / 2, -LEASE / 2)))
        with opened_again(store, self._address, self._clock) as own:
            seen = watched(own, self._happen_in_append, lambda: self._clock() + skew)
            engine = Engine(name, seen, lambda: self._definition, self._ledger, self._choices)
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
