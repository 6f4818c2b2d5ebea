"""Reading: one stream and the whole log, typed, beside the bare reading and decoding of the same bytes; and memory."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import peers
from benchmarks.appends import append_all
from benchmarks.bench import Bench, settings_of
from benchmarks.clients import processes
from benchmarks.floors import Line, selecting
from benchmarks.harness import timed
from benchmarks.payload import STREAMS, Commits
from benchmarks.rows import MEDIA, Contender, Goal, Medium, Row
from benchmarks.stocks import stock
from eventstore.codec import Codec
from eventstore.events import TaskRunCompleted
from eventstore.log import RecordedEvent
from eventstore.segments import FOLDER
from eventstore.sql_events import COLUMNS
from projections import open_store

EVENTS, TYPED = "events", "typed events"
OF_COMMIT = 10

ALL = f"SELECT {COLUMNS} FROM workflow_events ORDER BY position"
PAYLOAD = 5


_line, _data = msgspec.json.Decoder(Line), msgspec.json.Decoder(TaskRunCompleted)
_codec = Codec()


def rate(read: Callable[[], Iterable[object]]) -> float:
    """Things read per second."""
    found: list[object] = []
    seconds = timed(lambda: found.extend(read()))
    return len(found) / seconds


@contextmanager
def reading(medium: Medium, everything: bool, bench: Bench) -> Iterator[list[Contender]]:
    """The same events: bare, ours as they are, ours typed, and others'."""
    runs = STREAMS if everything else 1
    with ExitStack() as stack:
        address = bench.address(medium)
        log = stack.enter_context(bench.log_at(address))
        append_all(log, Commits(runs).some(max(1, bench.scale.reads // OF_COMMIT), of=OF_COMMIT))
        read: Callable[[], Iterator[RecordedEvent]]
        read = log.read_all if everything else partial(log.read, "run-0")
        bare = stack.enter_context(bare_reading(medium, address, bench))
        yield [
            Contender("bare, decoded with msgspec", partial(rate, bare), "floor"),
            Contender(EVENTS, partial(rate, read), settings=settings_of(log)),
            Contender(TYPED, partial(rate, lambda: map(_codec.decode, read())), settings=settings_of(log)),
            *peers.reading(medium, bench.scale.reads, everything, bench, stack),
        ]


@contextmanager
def bare_reading(medium: Medium, address: str, bench: Bench) -> Iterator[Callable[[], Iterator[object]]]:
    """Lines of segments, or rows of the table, with their data decoded into typed structs. Nothing is checked."""
    if medium == "files":
        folder = Path(address.removeprefix("jsonl:")) / FOLDER
        yield lambda: _decoded(folder)
        return
    with selecting(medium, address, bench) as select:
        yield lambda: (_data.decode(row[PAYLOAD]) for row in select(ALL, ()))


def _decoded(folder: Path) -> Iterator[object]:
    for segment in sorted(folder.glob("*.jsonl")):
        for line in segment.read_bytes().splitlines():
            for event in _line.decode(line).events:
                yield _data.decode(event.data)


@contextmanager
def memory(medium: Medium, bench: Bench) -> Iterator[list[Contender]]:
    """The most memory that another process has needed when it has read a tenth of a large store, and all of it."""
    address, events = stock(bench, medium, bench.scale.large), bench.scale.large
    yield [
        Contender("a tenth of it", partial(_peak, address, events // 10)),
        Contender("all of it", partial(_peak, address, events)),
    ]


def _peak(address: str, events: int) -> float:
    ours, theirs = processes.Pipe()
    process = processes.Process(target=_read, args=(address, events, theirs))
    process.start()
    peak = float(ours.recv())
    process.join()
    return peak


def _read(address: str, events: int, told: Connection[Any, Any]) -> None:
    with open_store(address) as store:
        for event in islice(store.log.read_all(), events):
            store.codec.decode(event)
    told.send(_peak_mebibytes())


def _peak_mebibytes() -> float:
    """Of this process; what it was forked from does not count, where that can be told apart."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10


ROWS: Sequence[Row] = tuple(
    Row(
        name="read the whole log" if everything else "read one stream",
        medium=medium,
        unit="events/s",
        contenders=partial(reading, medium, everything),
        goals=(Goal(TYPED, at_least=0.7),),
        about="Of commits of ten events. The floor checks neither checksums nor order.",
    )
    for everything in (False, True)
    for medium in MEDIA
)
MEMORY: Sequence[Row] = tuple(
    Row(
        name="memory of a process that reads a large store",
        medium=medium,
        unit="MiB",
        contenders=partial(memory, medium),
        goals=(Goal("all of it", at_most=1.1),),
        rounds=1,
        about="The most it ever had. The store holds 1,000,000 events in a full run.",
    )
    for medium in MEDIA
)
