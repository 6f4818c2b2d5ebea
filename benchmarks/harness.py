"""Runs rows: each contender has a turn in every round, in changing order, so that all see the same machine."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median, quantiles

from benchmarks.bench import Bench
from benchmarks.rows import Contender, Figure, Result, Row


def timed(work: Callable[[], object]) -> float:
    """How many seconds the work took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def milliseconds(ask: Callable[[], object], times: int) -> float:
    """What one of so many takes."""

    def work() -> None:
        for _ in range(times):
            ask()

    return 1_000 * timed(work) / times


@contextmanager
def clean_memory() -> Iterator[None]:
    """Collect all garbage, and keep the collector off what is there by now.

    All the systems that are loaded are some 100,000 objects. Whoever made the collector walk through them paid for all:
    the first one in a round to make many objects took twice as long. What a contender makes itself, it pays for.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def order(contenders: int, number: int) -> list[int]:
    """Who comes when in a round: each in turn begins one, and every other goes backwards, so neighbours change too."""
    step = -1 if number % 2 else 1
    return [(number + step * place) % contenders for place in range(contenders)]


def measure(row: Row, bench: Bench) -> Result:
    """Prepare a row's contenders, and give each its turns. One round before the first does not count.

    Another system that fails is out of the row, and named in `bench.missing`; any other failure is the row's.
    """
    start = time.perf_counter()
    with row.contenders(bench) as contenders:
        turns: list[list[float]] = [[] for _ in contenders]
        rounds = row.rounds or bench.scale.rounds
        out: set[int] = set()
        for number in range(-1 if rounds > 1 else 0, rounds):
            with clean_memory():
                _round(row, bench, contenders, number, turns, out)
        stayed = [which for which in range(len(contenders)) if which not in out]
        found = figures(row, [contenders[which] for which in stayed], [turns[which] for which in stayed])
    return Result(row.name, row.medium, row.unit, row.about, found, seconds=time.perf_counter() - start)


def _round(
    row: Row, bench: Bench, contenders: Sequence[Contender], number: int, turns: list[list[float]], out: set[int]
) -> None:
    """A turn for each who is not out. Those of the round before the first, of number -1, do not count."""
    for which in order(len(contenders), number):
        if which in out:
            continue
        try:
            figure = contenders[which].turn()
        except Exception as error:
            if contenders[which].role != "peer":
                raise
            bench.leave_out(f"{contenders[which].name}, {row.name}, {row.medium}", error)
            out.add(which)
            continue
        if number >= 0:
            turns[which].append(figure)


def figures(row: Row, contenders: Sequence[Contender], turns: Sequence[Sequence[float]]) -> tuple[Figure, ...]:
    """What the turns come to. A ratio is the median of the rounds' ratios to the first contender."""
    goals = {goal.contender: goal for goal in row.goals}
    found = []
    for contender, own in zip(contenders, turns, strict=True):
        ratio = median(mine / first if first else 0.0 for mine, first in zip(own, turns[0], strict=True))
        low, _, high = quantiles(own, n=4, method="inclusive") if len(own) > 1 else [own[0]] * 3
        goal = goals.get(contender.name)
        found.append(
            Figure(
                contender.name,
                contender.role,
                median(own),
                low,
                high,
                ratio,
                contender.settings,
                contender.unlike,
                tuple(own),
                "" if goal is None else str(goal),
                None if goal is None else goal.met(median(own), ratio),
            )
        )
    return tuple(found)
