"""Questions to small and large stores: outputs, plans, pages, and how a run was; beside bare SELECTs of those rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

import msgspec

from benchmarks.bench import Bench
from benchmarks.floors import Select, selecting
from benchmarks.harness import milliseconds
from benchmarks.rows import MEDIA, Contender, Goal, Medium, Row, Scale
from benchmarks.stocks import name_of, stock
from eventstore.payload import Value
from projections import Store
from projections.snapshot import Replay

OUTPUTS = "SELECT * FROM node_outputs WHERE run_id = $1 ORDER BY version"
PLAN = (
    "SELECT * FROM workflow_runs WHERE id = $1",
    "SELECT * FROM task_runs WHERE run_id = $1 ORDER BY position, task_id",
    "SELECT * FROM node_outputs WHERE run_id = $1 ORDER BY version",
    "SELECT * FROM attempts WHERE run_id = $1 ORDER BY task_id, attempt",
)
CHOSEN = "FROM workflow_runs WHERE status = $1 AND workflow_name = $2 AND deleted_at IS NULL"
PAGE = f"SELECT * {CHOSEN} AND position > 0 ORDER BY position LIMIT 51"
TOTAL = f"SELECT count(*) {CHOSEN}"
OUTPUT_COLUMN = 3
ASKED = 20
"""How often a page is asked for in a turn."""
NODES = 5_000
"""How many nodes all answers of a turn are about, each of a run's."""

_value = msgspec.json.Decoder(Value)


def times_for(nodes: int) -> int:
    """How often to ask in a turn: less often for long answers. A turn of a few milliseconds would be all noise."""
    return max(1, min(100, NODES // nodes))


@contextmanager
def outputs(medium: Medium, nodes: int, bench: Bench) -> Iterator[list[Contender]]:
    """All outputs of a run of so many completed tasks, in a small and in a large store."""
    run, times = name_of(nodes), times_for(nodes)
    with ExitStack() as stack:
        small = stock(bench, medium, bench.scale.small)
        select = stack.enter_context(selecting(medium, small, bench))

        def decoded() -> list[object]:
            values = (_value.decode(row[OUTPUT_COLUMN]) for row in select(OUTPUTS, (run,)))
            return [msgspec.json.decode(value.json) for value in values if value.json is not msgspec.UNSET]

        ours = {
            name: partial(stack.enter_context(bench.opened(address)).get_completed_node_outputs, run)
            for name, address in (("small store", small), ("large store", stock(bench, medium, bench.scale.large)))
        }
        yield [
            Contender("SELECT", partial(milliseconds, partial(select, OUTPUTS, (run,)), times), "floor"),
            Contender("SELECT, decoded with msgspec", partial(milliseconds, decoded, times), "floor"),
            *(Contender(name, partial(milliseconds, ask, times)) for name, ask in ours.items()),
        ]


@contextmanager
def outputs_by_size(medium: Medium, nodes: int, bench: Bench) -> Iterator[list[Contender]]:
    """The same question to a small and to a large store."""
    with outputs(medium, nodes, bench) as contenders:
        yield [contender for contender in contenders if contender.role == "ours"]


def resume_plan(medium: Medium, nodes: int, bench: Bench) -> AbstractContextManager[list[Contender]]:
    """The plan of a run of so many completed tasks, in a large store."""
    return _asking(
        medium,
        bench,
        lambda select: [select(text, (name_of(nodes),)) for text in PLAN],
        lambda store: store.resume_plan(name_of(nodes)),
        times_for(nodes),
    )


def page(medium: Medium, bench: Bench) -> AbstractContextManager[list[Contender]]:
    """The first fifty runs of one status and workflow, and how many there are of them."""
    wanted = ("completed", "nightly-3")
    return _asking(
        medium,
        bench,
        lambda select: (select(PAGE, wanted), select(TOTAL, wanted)),
        lambda store: store.page_runs(status=wanted[0], workflow=wanted[1]),
        ASKED,
    )


@contextmanager
def _asking(
    medium: Medium, bench: Bench, bare: Callable[[Select], object], ours: Callable[[Store], object], times: int
) -> Iterator[list[Contender]]:
    address = stock(bench, medium, bench.scale.large)
    with selecting(medium, address, bench) as select, bench.opened(address) as store:
        yield [
            Contender("SELECT", partial(milliseconds, lambda: bare(select), times), "floor"),
            Contender("ours", partial(milliseconds, lambda: ours(store), times)),
        ]


@contextmanager
def travel(medium: Medium, nodes: int, bench: Bench) -> Iterator[list[Contender]]:
    """A run as it was in the middle of its history."""
    run, until, times = name_of(nodes), 2 * nodes, times_for(nodes)
    with bench.opened(stock(bench, medium, bench.scale.large)) as store:

        def read() -> list[object]:
            return [store.codec.decode(event) for event in store.log.read(run, until=until)]

        yield [
            Contender("its events, typed", partial(milliseconds, read, times)),
            Contender("its views", partial(milliseconds, partial(store.as_of, run, version=until), times)),
        ]


@contextmanager
def whole_past(medium: Medium, nodes: int, bench: Bench) -> Iterator[list[Contender]]:
    """A long run as it was at its end: folded from its events, and by the snapshot that this has left."""
    run = name_of(nodes)
    with bench.opened(stock(bench, medium, bench.scale.large)) as store:

        def folded() -> Replay:
            replay = Replay()
            replay.take(store.log.read(run), store.codec)
            return replay

        store.views.keep(folded().snapshot())
        yield [
            Contender("from its events", partial(milliseconds, folded, 1)),
            Contender("by a snapshot", partial(milliseconds, partial(store.as_of, run), 1)),
        ]


def rows(scale: Scale) -> Iterator[Row]:
    """One row for each length of run, where that matters."""
    for medium in MEDIA:
        for nodes in scale.nodes:
            yield Row(
                name=f"completed outputs of {nodes:,} tasks",
                medium=medium,
                unit="ms",
                contenders=partial(outputs, medium, nodes),
                goals=(Goal("small store", at_most=1.3), Goal("large store", at_most=1.3)),
                about="Ours decodes each output, which the bare SELECT does not.",
            )
            yield Row(
                name=f"completed outputs of {nodes:,} tasks, by size of the store",
                medium=medium,
                unit="ms",
                contenders=partial(outputs_by_size, medium, nodes),
                goals=(Goal("large store", at_least=0.9, at_most=1.1),),
            )
        for nodes in scale.nodes:
            yield Row(
                name=f"resume plan of {nodes:,} tasks",
                medium=medium,
                unit="ms",
                contenders=partial(resume_plan, medium, nodes),
                about="In the large store; all tasks are completed, each made from the one before.",
            )
        yield Row(
            name="page of filtered runs",
            medium=medium,
            unit="ms",
            contenders=partial(page, medium),
            goals=(Goal("ours", at_most=2.0),),
            about="50 runs by status and workflow, with their total, of a large store: 100,000 runs in a full run.",
        )
        nodes = scale.nodes[1]
        yield Row(
            name=f"time travel in a run of {nodes:,} tasks",
            medium=medium,
            unit="ms",
            contenders=partial(travel, medium, nodes),
            about="The run as it was after two thirds of its events, beside reading those.",
        )
        nodes = scale.nodes[-1]
        yield Row(
            name=f"the whole past of a run of {nodes:,} tasks",
            medium=medium,
            unit="ms",
            contenders=partial(whole_past, medium, nodes),
            about="The run as it was at its end, by a snapshot that somebody has left there, and without one.",
        )
