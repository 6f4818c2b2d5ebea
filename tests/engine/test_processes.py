"""Rescuers of one run in processes of their own, which are killed at any moment."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tests.crash.children import Child, Children
from tests.stores import NOON, ONE_OF_EACH, Clock, address_of

from .definitions import Definition, random_definition
from .engine import RUN, Engine, create
from .ledger import File
from .oracle import check
from .simulation import RUNS_AT_ONCE, opened, seeds, told

ROUNDS = 8
"""How often two processes come at once; then one comes alone, until the run is over."""
LIVES = 20
MOST_STEPS = 30


def live(test: Connection, address: str, ledger: Path, definition: Definition, name: str, seed: int, hour: int) -> None:
    """Try to claim the run and to drive it, several times, and tell of every step. A round takes less than an hour."""
    choices = random.Random(f"{seed} {name}")
    with opened(address, Clock(NOON + timedelta(hours=hour))) as store:
        for life in range(LIVES):
            engine = Engine(f"{name}.{life}", store, lambda: definition, File(ledger), choices)
            for _ in engine.live():
                test.send("step")


def let_live(child: Child, steps: int) -> None:
    """Kill the child when it has told of so many steps, if it gets that far."""
    for _ in zip(range(steps), child.rest(), strict=False):
        pass
    child.kill()


def drive(address: str, ledger: Path, children: Children, seed: int) -> int:
    """Bring a run to its end, and say how many processes were killed on the way."""
    choices = random.Random(seed)
    definition = random_definition(choices)
    kills = hour = 0
    with opened(address, Clock()) as store:
        create(store)
        while (run := store.get_run(RUN)) and run.status != "completed":
            hour += 1
            if choices.random() < 0.4:
                definition = definition.changed(choices.choice(definition.tasks)).grown()
            alone = hour > ROUNDS
            names = [f"{hour}.{place}" for place in range(1 if alone else 2)]
            running = [children.start(live, address, ledger, definition, name, seed, hour) for name in names]
            for child in [] if alone else choices.sample(running, len(running)):
                let_live(child, choices.randrange(MOST_STEPS))
            for child in running:
                list(child.rest())
                kills += child.end() == -signal.SIGKILL
        check(store, File(ledger).entries)
    return kills


@pytest.mark.parametrize("backend", ONE_OF_EACH[1:])
def test_killed_rescuers_repeat_nothing_that_counts_and_come_to_the_right_end(
    backend: str, tmp_path: Path, children: Children, record_property: Callable[[str, object], None]
) -> None:
    kills = 0
    for place, seed in enumerate(seeds(RUNS_AT_ONCE)):
        with told(seed):
            address = address_of(backend, tmp_path / str(place))
            kills += drive(address, tmp_path / f"{place}.ledger", children, seed)
    record_property("engines killed", kills)
