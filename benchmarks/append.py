"""What the file log costs, measured against the least any durable log could cost.

The floor is a bare write and sync of the same bytes to a file beside the log. Log and floor take turns in small
blocks, so that both see the same disk; the figures are medians over the blocks. Sixty-four threads are compared with
the floor of one thread, which has to sync every commit by itself.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from statistics import median

import click
import msgspec

from eventstore.disk import Disk, write_whole
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, NewEvent
from eventstore.segments import FOLDER

THREADS = 64
BATCH = 1_000
BLOCKS = 15
STREAMS = 100
DATA = b'{"task":"transform","attempt":1,"output":{"rows":1024,"checksum":"8c7dd922ad47494fc02c388e12c00eac"},"ms":187}'


class Figure(msgspec.Struct, frozen=True):
    """One result; `ratio` is what it is of the floor, or of the figure it is compared with."""

    name: str
    value: float
    unit: str
    ratio: float | None = None


class Load(msgspec.Struct, frozen=True):
    """What is appended in one block, and how many commits of the floor it takes turns with."""

    name: str
    threads: int
    commits: int
    events: int
    floor_commits: int

    def append_to(self, log: JsonlLog, pool: ThreadPoolExecutor) -> None:
        if self.threads == 1:
            append(log, self.events, self.commits)
        else:
            list(pool.map(partial(append, log, self.events), [self.commits // self.threads] * self.threads))


LOADS = [
    Load("append, 1 thread", 1, 200, 1, 200),
    Load(f"append, {THREADS} threads", THREADS, THREADS * 50, 1, 200),
    Load(f"append, batches of {BATCH:,}", 1, 5, BATCH, 5),
]


class Floor:
    """A file that gets the log's bytes by the shortest way."""

    def __init__(self, folder: Path) -> None:
        self._disk = Disk(folder)
        self._file = self._disk.open("floor", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def commit(self, data: bytes, times: int) -> None:
        """Write and sync these bytes so many times."""
        for _ in range(times):
            write_whole(self._disk, self._file, data)
            self._disk.sync(self._file)

    def close(self) -> None:
        self._disk.close(self._file)
        self._disk.release()


def append(log: JsonlLog, events: int, times: int) -> None:
    """Make so many commits of so many events, each to one of the streams."""
    for number in range(times):
        new = [NewEvent(type="taskRunCompleted", data=DATA) for _ in range(events)]
        log.append([Append(f"run-{number % STREAMS}", new)])


def last_line(root: Path) -> bytes:
    """The bytes of the last commit."""
    segment = max((root / FOLDER).glob("*.jsonl"))
    return segment.read_bytes().splitlines(keepends=True)[-1]


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def appending(folder: Path) -> Iterator[Figure]:
    """Durable appends, each beside its floor."""
    with ThreadPoolExecutor(THREADS) as pool, closing(Floor(folder)) as floor:
        for load in LOADS:
            rates, floors = [], []
            with closing(JsonlLog(folder / load.name)) as log:
                append(log, load.events, 5)
                line = last_line(log.root)
                for _ in range(BLOCKS):
                    floors.append(load.floor_commits / timed(partial(floor.commit, line, load.floor_commits)))
                    rates.append(load.commits / timed(partial(load.append_to, log, pool)))
            ratio = median(rate / floor for rate, floor in zip(rates, floors, strict=True))
            yield Figure(load.name, load.events * median(rates), "events/s", ratio)
            yield Figure(f"  floor: {len(line):,} bytes, written and synced", median(floors), "commits/s")


def fill(root: Path, events: int) -> None:
    with closing(JsonlLog(root, durability="none")) as log:
        append(log, 1, events)


def reading(root: Path) -> Iterator[Figure]:
    """Whole reads of a store in which every event is a commit of its own."""
    with closing(JsonlLog(root)) as log:
        reads: list[tuple[str, Callable[[], Iterable[object]]]] = [
            ("read_all", log.read_all),
            ("read_all, backward", partial(log.read_all, backward=True)),
            ("read of one stream", partial(log.read, "run-0")),
        ]
        for name, read in reads:
            start = time.perf_counter()
            events = sum(1 for _ in read())
            yield Figure(name, events / (time.perf_counter() - start), "events/s")


def opening(root: Path) -> Iterator[Figure]:
    def reopen() -> None:
        JsonlLog(root).close()

    yield Figure("open and close, with index", 1_000 * median(timed(reopen) for _ in range(9)), "ms")
    for file in (root / FOLDER).glob("index.db*"):
        file.unlink()
    yield Figure("open and close, without index", 1_000 * timed(reopen), "ms")


def flatness(stores: dict[int, Path]) -> Iterator[Figure]:
    """Appending to stores of different sizes, in turns; each compared with the smallest."""
    costs: dict[int, list[float]] = {size: [] for size in stores}
    with ExitStack() as stack:
        logs = {size: stack.enter_context(closing(JsonlLog(root))) for size, root in stores.items()}
        for _ in range(BLOCKS):
            for size, log in logs.items():
                costs[size].append(timed(partial(append, log, 1, 200)) / 200)
    smallest = costs[min(costs)]
    for size, cost in costs.items():
        ratio = median(one / least for one, least in zip(cost, smallest, strict=True))
        yield Figure(f"append to {size:,} events", 1e6 * median(cost), "µs", ratio)


def measure(folder: Path, events: int) -> Iterator[Figure]:
    yield from appending(folder)
    fill(folder / "small", 1_000)
    fill(folder / "large", events)
    yield from reading(folder / "large")
    yield from opening(folder / "large")
    yield from flatness({1_000: folder / "small", events: folder / "large"})


@click.command(help=__doc__)
@click.option("--events", default=100_000, show_default=True, help="How large a store to read, to open, to append to.")
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="Where to put it: the disk to measure."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per figure.")
def main(events: int, folder: Path | None, as_json: bool) -> None:
    here = Path(tempfile.mkdtemp(prefix="eventstore-bench-", dir=folder))
    try:
        for figure in measure(here, events):
            ratio = "" if figure.ratio is None else f"{figure.ratio:8.2f} ×"
            text = f"{figure.name:<46}{figure.value:>12,.0f} {figure.unit:<10}{ratio}".rstrip()
            click.echo(json.dumps(msgspec.to_builtins(figure)) if as_json else text)
    finally:
        shutil.rmtree(here)


if __name__ == "__main__":
    main()
