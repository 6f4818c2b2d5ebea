"""What the asynchronous facade costs: one call that does nothing, and durable appends to the file log.

Sixty-four coroutines are compared with sixty-four threads and with one. All take turns in small blocks, so that they
see the same disk; the figures are medians over the blocks.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median

import click
import msgspec

from benchmarks.append import BLOCKS, DATA, STREAMS, THREADS, Figure, append, timed
from eventstore.asynchronous import Async
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, NewEvent

CALLS = 2_000
COMMITS = 50
"""Commits of each thread or coroutine in one block."""


async def calls(facade: Async[JsonlLog]) -> None:
    for _ in range(CALLS):
        await facade.call(int)


async def append_many(facade: Async[JsonlLog]) -> None:
    """Have coroutines append at once, each one commit after the other."""

    async def append_in_turn() -> None:
        for number in range(COMMITS):
            await facade.append([Append(f"run-{number % STREAMS}", [NewEvent(type="taskRunCompleted", data=DATA)])])

    await asyncio.gather(*(append_in_turn() for _ in range(THREADS)))


def measure(folder: Path) -> Iterator[Figure]:
    with (
        closing(JsonlLog(folder / "log")) as log,
        asyncio.Runner() as runner,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        facade = Async(log, threads=THREADS)
        works: dict[str, tuple[int, Callable[[], object]]] = {
            "append, 1 thread": (COMMITS, partial(append, log, 1, COMMITS)),
            f"append, {THREADS} threads": (
                COMMITS * THREADS,
                lambda: list(pool.map(partial(append, log, 1), [COMMITS] * THREADS)),
            ),
            f"append, {THREADS} coroutines": (COMMITS * THREADS, lambda: runner.run(append_many(facade))),
        }
        rates: dict[str, list[float]] = {name: [] for name in works}
        hops = []
        for _ in range(BLOCKS):
            for name, (commits, work) in works.items():
                rates[name].append(commits / timed(work))
            hops.append(timed(lambda: runner.run(calls(facade))) / CALLS)
        runner.run(facade.close())
    yield Figure("call of nothing", 1e6 * median(hops), "µs")
    (_, single), *_ = rates.items()
    for name, found in rates.items():
        yield Figure(name, median(found), "events/s", median(a / b for a, b in zip(found, single, strict=True)))


@click.command(help=__doc__)
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="Where to put it: the disk to measure."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per figure.")
def main(folder: Path | None, as_json: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="eventstore-bench-", dir=folder) as here:
        for figure in measure(Path(here)):
            ratio = "" if figure.ratio is None else f"{figure.ratio:8.2f} ×"
            text = f"{figure.name:<46}{figure.value:>12,.0f} {figure.unit:<10}{ratio}".rstrip()
            click.echo(json.dumps(msgspec.to_builtins(figure)) if as_json else text)


if __name__ == "__main__":
    main()
