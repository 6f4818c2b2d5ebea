"""Rescuers of one run in threads of their own: nobody decides who goes next."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from projections import Store
from tests.stores import NOON, Clock, address_of

from .definitions import random_definition
from .engine import RUN, Engine, create
from .ledger import Memory
from .oracle import check
from .simulation import RUNS_AT_ONCE, Died, opened, opened_again, seeds, told, watched

RESCUERS = 3
LIVES = 6
"""How often each of them comes; then one comes alone, until the run is over."""
TICK = timedelta(milliseconds=200)


class Rescuers:
    """Engines that share a run, a ledger and a workflow that each of them may change before it comes."""

    def __init__(self, seed: int, address: str, store: Store) -> None:
        self._seed, self._address, self._store = seed, address, store
        self._definition = random_definition(random.Random(seed))
        self.ledger = Memory()

    def come(self, rescuer: int) -> None:
        """Live several lives, each of which may end before or after an append."""
        choices = random.Random(f"{self._seed} {rescuer}")
        clock = Clock(step=TICK)
        with opened_again(self._store, self._address, clock) as store:
            for life in range(LIVES):
                if choices.random() < 0.3:
                    self._definition = self._definition.changed(choices.choice(self._definition.tasks)).grown()
                self._live(f"{rescuer}.{life}", store, clock, choices, choices.randrange(60))

    def come_last(self) -> None:
        """Live until the run is over, long after all leases have run out."""
        life = 0
        while (run := self._store.get_run(RUN)) and run.status != "completed":
            clock = Clock(NOON + timedelta(days=1 + life))
            self._live(f"last.{life}", self._store, clock, random.Random(f"{self._seed} {life}"), 10**9)
            life += 1

    def _live(self, name: str, store: Store, clock: Clock, choices: random.Random, left: int) -> None:
        def happen() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Died

        engine = Engine(name, watched(store, happen, clock), lambda: self._definition, self.ledger, choices)
        try:
            for _ in engine.live():
                pass
        except Died:
            return


def test_rescuers_at_once_repeat_nothing_that_counts_and_come_to_the_right_end(backend: str, tmp_path: Path) -> None:
    for place, seed in enumerate(seeds(RUNS_AT_ONCE)):
        address = address_of(backend, tmp_path / str(place))
        with told(seed), opened(address, Clock(step=TICK)) as store:
            create(store)
            rescuers = Rescuers(seed, address, store)
            with ThreadPoolExecutor(RESCUERS) as pool:
                list(pool.map(rescuers.come, range(RESCUERS)))
            rescuers.come_last()
            check(store, rescuers.ledger.entries)
