"""What is measured, as data: rows, who takes part in each, what is hoped for, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from benchmarks.bench import Bench

Medium = Literal["files", "SQLite", "Postgres"]
MEDIA: tuple[Medium, ...] = ("files", "SQLite", "Postgres")
Role = Literal["floor", "ours", "peer"]
ROLES: tuple[Role, ...] = ("floor", "ours", "peer")


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """How much is done in a run. A turn is one measurement of one contender; each has one in every round."""

    name: str
    rounds: int
    singles: int
    """Commits of one event in a turn."""
    batched: int
    """Events in a turn, where a commit has many; fewer if that were more commits than `singles`."""
    threads: tuple[int, ...]
    processes: tuple[int, ...]
    clients: int
    """Processes that append to Postgres at once, where its order of events is what matters."""
    seconds: float
    """How long processes work in a turn."""
    steps: int
    """Steps of a run."""
    lengths: tuple[int, ...]
    """Steps of runs, where what a step takes may depend on how many there are."""
    reads: int
    """Events that are read in a turn."""
    waits: int
    """Events in a turn that a follower waits for, one by one."""
    small: int
    large: int
    """Events in stores of which the size matters, ten for each run."""
    nodes: tuple[int, ...]
    """Completed tasks of runs."""


TINY = Scale(
    name="tiny",
    rounds=1,
    singles=2,
    batched=10,
    threads=(1, 2),
    processes=(1,),
    clients=1,
    seconds=0.01,
    steps=2,
    lengths=(1, 2),
    reads=10,
    waits=2,
    small=20,
    large=50,
    nodes=(2, 3),
)
QUICK = Scale(
    name="quick",
    rounds=3,
    singles=30,
    batched=1_000,
    threads=(1, 8, 64),
    processes=(1, 8),
    clients=16,
    seconds=0.1,
    steps=20,
    lengths=(20, 100),
    reads=1_000,
    waits=20,
    small=1_000,
    large=10_000,
    nodes=(10, 1_000),
)
FULL = Scale(
    name="full",
    rounds=4,
    singles=200,
    batched=3_000,
    threads=(1, 8, 64),
    processes=(1, 8, 64),
    clients=16,
    seconds=0.5,
    steps=20,
    lengths=(20, 100, 1_000),
    reads=10_000,
    waits=100,
    small=10_000,
    large=1_000_000,
    nodes=(10, 1_000, 20_000),
)


class Contender(NamedTuple):
    """Who takes part in a row. `turn` does the row's work once and says what it came to, in the row's unit.

    `settings` is how durable it is, as read back from what does the work. `unlike` says why the figure cannot be held
    against the others', or only with care; empty if it can.
    """

    name: str
    turn: Callable[[], float]
    role: Role = "ours"
    settings: str = ""
    unlike: str = ""


class Goal(msgspec.Struct, frozen=True):
    """What is hoped of a contender, as the ratio of its figure to the first contender's; or of the figure itself."""

    contender: str
    at_least: float | None = None
    at_most: float | None = None
    or_figure_at_least: float | None = None

    def __str__(self) -> str:
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:g}–{self.at_most:g} ×"
        text = f"≥ {self.at_least:g} ×" if self.at_most is None else f"≤ {self.at_most:g} ×"
        return text if self.or_figure_at_least is None else f"{text} or ≥ {self.or_figure_at_least:,.0f}"

    def met(self, figure: float, ratio: float) -> bool:
        """Whether a contender of this figure and ratio is as good as that."""
        if self.or_figure_at_least is not None and figure >= self.or_figure_at_least:
            return True
        return (self.at_least is None or ratio >= self.at_least) and (self.at_most is None or ratio <= self.at_most)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of work on one medium. The first contender is what the others' ratios are to: most often the floor.

    `contenders` prepares them all, and cleans up after the last turn. `about` is what a reader of the figures has to
    know of the work.
    """

    name: str
    medium: Medium
    unit: str
    contenders: Callable[[Bench], AbstractContextManager[Sequence[Contender]]]
    goals: tuple[Goal, ...] = ()
    about: str = ""
    rounds: int | None = None


class Figure(msgspec.Struct, frozen=True):
    """What came out for one contender: medians over the rounds, the quartiles, and every turn's figure."""

    contender: str
    role: Role
    median: float
    low: float
    high: float
    ratio: float
    settings: str
    unlike: str
    turns: tuple[float, ...]
    goal: str = ""
    met: bool | None = None


class Result(msgspec.Struct, frozen=True):
    """What came out for one row, and how long it took to make everything ready and to measure it. `error` says why
    there is nothing, or not everything.
    """

    name: str
    medium: Medium
    unit: str
    about: str
    figures: tuple[Figure, ...]
    error: str = ""
    seconds: float = 0.0


class Report(msgspec.Struct, frozen=True):
    """A whole run of the benchmarks."""

    date: str
    seconds: float
    scale: Scale
    machine: dict[str, str]
    versions: dict[str, str]
    missing: dict[str, str]
    """Peers that could not take part, and why."""
    results: tuple[Result, ...]
