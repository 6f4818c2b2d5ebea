"""Durable appends by one writer: one event, and batches; and whether they cost more in a larger store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from benchmarks import peers
from benchmarks.bench import Bench, settings_of
from benchmarks.floors import SqlFloor, encoded, file_floor, line_of, postgres_floor, rows, sqlite_floor
from benchmarks.harness import timed
from benchmarks.payload import Commits, beginnings
from benchmarks.peers import Work
from benchmarks.rows import MEDIA, Contender, Goal, Medium, Row
from benchmarks.stocks import stock
from eventstore.log import Append, Log
from projections import Store

LOG, VIEWS, FOLDERS = "log alone", "views kept", "run folders too"
BATCHES = (10, 100, 1_000)
GOALS: dict[Medium, tuple[float, float]] = {"files": (0.7, 0.5), "SQLite": (0.6, 0.4), "Postgres": (0.6, 0.5)}
"""Of one append, and of batches of 1,000."""

Commit = Sequence[Append]


def append_all(log: Log, commits: Sequence[Commit]) -> None:
    """Append them one after the other."""
    for commit in commits:
        log.append(commit)


def append_and_ask(store: Store, commits: Sequence[Commit]) -> None:
    """Append them, and ask the views, which then show all of them: some follow the log, and nobody waits for these."""
    append_all(store.log, commits)
    ask(store)


def ask(store: Store) -> None:
    """Ask the views something short."""
    store.get_run("run-0")


def settled(turn: Callable[[], float], store: Store) -> Callable[[], float]:
    """The turn, and after it what the store writes behind appends, which would be done in the others' turns."""

    def settling() -> float:
        figure = turn()
        store.write_folders()
        return figure

    return settling


def each(do: Callable[[Any], object], things: Sequence[Any]) -> None:
    """Do it with each."""
    for thing in things:
        do(thing)


def events_per_second(work: Work, events: int) -> float:
    """What is measured of appends."""
    return events / timed(work)


class Appending:
    """Turns of so many commits of so many events. `figure` is what a work on so many events comes to."""

    def __init__(self, number: int, of: int, figure: Callable[[Work, int], float] = events_per_second) -> None:
        self.number, self.of, self._figure, self._commits = number, of, figure, Commits()

    def to(self, log: Log) -> Callable[[], float]:
        """By a log."""
        return lambda: self._rate(partial(append_all, log, self._some()))

    def kept_by(self, store: Store) -> Callable[[], float]:
        """By a store, until its views show all of them."""
        return settled(lambda: self._rate(partial(append_and_ask, store, self._some())), store)

    def with_folders(self, store: Store) -> Callable[[], float]:
        """By a store, until its views show all of them, and the run folders have them."""

        def work(commits: Sequence[Commit]) -> None:
            append_and_ask(store, commits)
            store.write_folders()

        return lambda: self._rate(partial(work, self._some()))

    def by(self, do: Callable[[Any], object], form: Callable[[Sequence[Commit]], Sequence[Any]]) -> Callable[[], float]:
        """By something that takes a commit in a form of its own."""
        return lambda: self._rate(partial(each, do, form(self._some())))

    def _some(self) -> Sequence[Commit]:
        return self._commits.some(self.number, of=self.of)

    def _rate(self, work: Work) -> float:
        return self._figure(work, self.number * self.of)


def appending(bench: Bench, of: int) -> Appending:
    """What a turn is, for commits of so many events, or of as many as a turn has."""
    if of == 1:
        return Appending(bench.scale.singles, 1)
    of = min(of, bench.scale.batched)
    return Appending(min(bench.scale.singles, bench.scale.batched // of), of)


@contextmanager
def contenders(medium: Medium, of: int, bench: Bench) -> Iterator[list[Contender]]:
    """The floors, the log alone, and a store that keeps its views."""
    work = appending(bench, of)
    with ExitStack() as stack:
        found = list(floors(medium, bench, work, stack))
        log = stack.enter_context(bench.log(medium))
        store = stack.enter_context(bench.store(medium))
        store.log.append(beginnings())
        found.append(Contender(LOG, work.to(log), settings=settings_of(log)))
        found.append(Contender(VIEWS, work.kept_by(store), settings=settings_of(store.log)))
        if medium == "files":
            found.append(Contender(FOLDERS, work.with_folders(store), settings=settings_of(store.log)))
        found.extend(peers.appending(medium, work.of, work.number, bench, stack))
        yield found


def floors(medium: Medium, bench: Bench, work: Appending, stack: ExitStack) -> Iterator[Contender]:
    """The bare ways to the same."""
    if medium == "files":
        line = line_of(Commits().some(1, of=work.of)[0], bench.path())
        commit = stack.enter_context(file_floor(bench.path()))
        settings = "fdatasync after each os.write"
        turn = work.by(commit, lambda commits: [line] * len(commits))
        yield Contender("os.write + fdatasync", turn, "floor", settings)
        turn = work.by(lambda made: commit(encoded(made)), lambda commits: commits)
        yield Contender("msgspec + os.write + fdatasync", turn, "floor", settings)
        return
    opened: AbstractContextManager[SqlFloor]
    opened = sqlite_floor(bench.path()) if medium == "SQLite" else postgres_floor(bench)
    floor = stack.enter_context(opened)
    if work.of == 1:
        yield Contender("prepared INSERT", work.by(floor.one, rows), "floor", floor.settings)
        return
    yield Contender("executemany", work.by(floor.many, rows), "floor", floor.settings)
    if floor.copy is not None:
        yield Contender("COPY", work.by(floor.copy, rows), "floor", floor.settings)


def row(medium: Medium, of: int) -> Row:
    """One append of so many events, on this medium."""
    one, thousand = GOALS[medium]
    goal = one if of == 1 else thousand if of == 1_000 else None
    return Row(
        name="one durable append" if of == 1 else f"durable batches of {of:,}",
        medium=medium,
        unit="events/s",
        contenders=partial(contenders, medium, of),
        goals=() if goal is None else (Goal(VIEWS, at_least=goal),),
    )


@contextmanager
def by_size(medium: Medium, bench: Bench) -> Iterator[list[Contender]]:
    """The same append into a small store and into a large one."""
    work = appending(bench, 1)
    with ExitStack() as stack:
        found = []
        for name, events in (("small", bench.scale.small), ("large", bench.scale.large)):
            store = stack.enter_context(bench.opened(stock(bench, medium, events)))
            found.append(Contender(f"{name} store", work.kept_by(store), settings=settings_of(store.log)))
        yield found


ROWS: Sequence[Row] = tuple(row(medium, of) for of in (1, *BATCHES) for medium in MEDIA)
BY_SIZE: Sequence[Row] = tuple(
    Row(
        name="one durable append, by size of the store",
        medium=medium,
        unit="events/s",
        contenders=partial(by_size, medium),
        goals=(Goal("large store", at_least=0.9),),
        about="Views kept. The stores hold 10,000 and 1,000,000 events in a full run.",
    )
    for medium in MEDIA
)
