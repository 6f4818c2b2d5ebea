"""Whole steps of runs: started, and completed with an output, each durable, with views kept. And what they take up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from uuid import uuid4

from benchmarks import peers
from benchmarks.appends import FOLDERS, LOG, VIEWS, Appending, append_all, floors, settled
from benchmarks.bench import Bench, settings_of
from benchmarks.harness import timed
from benchmarks.payload import DATA, OUTPUT, Commits, beginnings
from benchmarks.peers import Peer, Work
from benchmarks.rows import MEDIA, Contender, Goal, Medium, Row
from projections import Store, Task

Measure = Callable[[Work, int], float]
"""What a work of so many steps comes to."""


def steps_per_second(work: Work, steps: int) -> float:
    return steps / timed(work)


def cpu_per_step(work: Work, steps: int) -> float:
    """Milliseconds of this process's time on processors, in all its threads."""
    start = time.process_time()
    work()
    return 1_000 * (time.process_time() - start) / steps


def begin(store: Store, steps: int) -> str:
    """A new run of tasks of which each needs the one before."""
    run_id = uuid4().hex
    store.create_run("chain", run_id=run_id)
    tasks = [Task(f"task-{n}", depends_on=[f"task-{n - 1}"] if n else []) for n in range(steps)]
    store.schedule_tasks(run_id, tasks)
    store.start_run(run_id, worker="worker")
    return run_id


def take(store: Store, run_id: str, steps: int) -> None:
    """Its steps, one after the other."""
    for number in range(steps):
        attempt = store.start_task(run_id, f"task-{number}", worker="worker", epoch=1)
        store.complete_task(run_id, f"task-{number}", OUTPUT, attempt=attempt.attempt, epoch=1)


def whole_run(store: Store, steps: int) -> None:
    """From its creation to its end."""
    run_id = begin(store, steps)
    take(store, run_id, steps)
    store.complete_run(run_id, epoch=1)


def with_folder(store: Store, steps: int) -> None:
    """The same, until its folder has it all."""
    whole_run(store, steps)
    store.write_folders()


@contextmanager
def whole_runs(medium: Medium, measure: Measure, bench: Bench) -> Iterator[list[Contender]]:
    """Two bare commits for each step, ours, and other engines."""
    steps = bench.scale.steps
    with ExitStack() as stack:
        bare = next(floors(medium, bench, Appending(2 * steps, 1, lambda work, _: measure(work, steps)), stack))
        store = stack.enter_context(bench.store(medium))
        ways = {VIEWS: whole_run} | ({FOLDERS: with_folder} if medium == "files" else {})
        yield [
            bare._replace(name=f"2 × {bare.name}"),
            *(
                Contender(
                    name,
                    settled(partial(_turn, partial(partial, way, store), measure, steps), store),
                    settings=settings_of(store.log),
                )
                for name, way in ways.items()
            ),
            *peers.stepping(
                medium,
                bench,
                stack,
                lambda peer: {"": partial(_turn, peer.steps, measure, steps)} if peer.steps is not None else {},
            ),
        ]


def _turn(prepare: Callable[[int], Work], measure: Measure, steps: int) -> float:
    return measure(prepare(steps), steps)


@contextmanager
def bytes_per_step(medium: Medium, bench: Bench) -> Iterator[list[Contender]]:
    """What the steps of short and of long runs add to a store, ours and others'. As many steps in all."""
    lengths = bench.scale.lengths
    with ExitStack() as stack:
        yield [
            *(Contender(runs_of(length), partial(_growth, medium, length, bench)) for length in lengths),
            *peers.stepping(medium, bench, stack, partial(_peers_growth, lengths)),
        ]


def runs_of(length: int) -> str:
    """A contender's name, or its end."""
    return f"runs of {length:,}"


def runs_in(lengths: Sequence[int], length: int) -> int:
    """How many runs of this length are measured: as many as have twice the steps of the longest, to fill the pages that
    are counted. Each table and index of a database has one that is not full.
    """
    return 2 * max(lengths) // length


def _growth(medium: Medium, length: int, bench: Bench) -> float:
    """Only the steps: what a run has besides does not grow with them. Nothing is flushed, since nothing is timed."""
    address, runs = bench.address(medium), runs_in(bench.scale.lengths, length)
    with bench.opened(address, durability="none") as store:
        begun = [begin(store, length) for _ in range(runs)]
    before = bench.size(address)
    with bench.opened(address, durability="none") as store:
        for run_id in begun:
            take(store, run_id, length)
    return (bench.size(address) - before) / (runs * length)


def _peers_growth(lengths: Sequence[int], peer: Peer) -> dict[str, Callable[[], float]]:
    if peer.size is None or peer.steps is None:
        return {}
    size, steps = peer.size, peer.steps

    def turn(length: int) -> float:
        before, runs = size(), runs_in(lengths, length)
        for _ in range(runs):
            steps(length)()
        return (size() - before) / (runs * length)

    return {f", {runs_of(length)}": partial(turn, length) for length in lengths}


@contextmanager
def bytes_per_event(medium: Medium, bench: Bench) -> Iterator[list[Contender]]:
    """What events of commits of ten add to a store."""
    number = max(1, bench.scale.reads // 10)

    def grown(views: bool) -> float:
        address = bench.address(medium)
        with bench.opened(address, durability="none") as store:
            store.log.append(beginnings())
        before = bench.size(address)
        with bench.opened(address, durability="none") if views else bench.log_at(address) as opened:
            append_all(opened.log if isinstance(opened, Store) else opened, Commits().some(number, of=10))
        return (bench.size(address) - before) / (10 * number)

    yield [
        Contender("their data alone", lambda: float(len(DATA)), "floor"),
        Contender(LOG, partial(grown, False)),
        Contender(VIEWS, partial(grown, True)),
    ]


ROWS: Sequence[Row] = (
    *(
        Row(
            name="whole steps, durable, views kept",
            medium=medium,
            unit="steps/s",
            contenders=partial(whole_runs, medium, steps_per_second),
            about="A run of 20 steps, its beginning and end included.",
        )
        for medium in MEDIA
    ),
    *(
        Row(
            name="client CPU per step",
            medium=medium,
            unit="ms",
            contenders=partial(whole_runs, medium, cpu_per_step),
            about="A run of 20 steps, its beginning and end included. Other engines' own work is in theirs.",
        )
        for medium in MEDIA
    ),
    *(
        Row(
            name="bytes on disk per step",
            medium=medium,
            unit="bytes",
            contenders=partial(bytes_per_step, medium),
            goals=tuple(Goal(runs_of(length), at_least=0.95, at_most=1.05) for length in (100, 1_000)),
            rounds=1,
            about="Each step needs the one before it. Views and indexes included.",
        )
        for medium in MEDIA
    ),
    *(
        Row(
            name="bytes on disk per event",
            medium=medium,
            unit="bytes",
            contenders=partial(bytes_per_event, medium),
            rounds=1,
            about="Completions of new tasks, ten to a commit. Indexes included.",
        )
        for medium in MEDIA
    ),
)
