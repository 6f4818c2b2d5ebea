"""Engines that take turns at a run and its forks, die at any point and come back: nothing is done again without a
reason, nothing is made of what does not count, and each run comes to what it would have come to.

EVENTSTORE_ENGINE_RUNS sets how many runs, with their forks, are simulated in memory; there are fewer elsewhere, and
with threads and processes. What fails says its seed, with which EVENTSTORE_CRASH_SEED repeats that run alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.stores import ONE_OF_EACH, address_of

from .simulation import RUNS, Simulation, seeds, told

SHARES = {"memory": 1.0, "jsonl": 0.07, "sqlite": 0.07, ONE_OF_EACH[-1]: 0.04}
"""How many of the runs are on each kind of store: those in memory take the least time."""


def simulate(seed: int, address: str = "memory:") -> Counter[str]:
    """What has happened in the run of this seed."""
    simulation = Simulation(seed, address)
    with told(seed):
        simulation.run()
    return simulation.figures


def test_engines_that_die_anywhere_repeat_nothing_that_counts_and_come_to_the_right_end(
    backend: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    figures = Counter[str]()
    for place, seed in enumerate(seeds(round(RUNS * SHARES[backend]))):
        figures.update(simulate(seed, address_of(backend, tmp_path / str(place))))
    for figure in ("runs", "claims", "deaths", "fenced"):
        record_property(f"engine {figure}", figures[figure])


def test_a_simulation_is_decided_by_its_seed_alone() -> None:
    assert simulate(7) == simulate(7)


def test_in_the_simulations_happens_what_they_are_for() -> None:
    figures = Counter[str]()
    for seed in range(8):
        figures.update(simulate(seed))
    for figure in (
        "deaths",
        "fenced",
        "changes",
        "invalidations",
        "repeated",
        "forks",
        "inherited",
        "waits",
        "decisions",
    ):
        assert figures[figure] >= 5, f"hardly any {figure}: {figures}"
