"""What the crash programme tells a log to do: all that writes, in segments so small that they roll now and then."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import closing, suppress
from uuid import UUID

from eventstore.blobs import digest_of
from eventstore.errors import Unavailable
from eventstore.log import ANY, Append, Checkpoint, Expect, NewEvent
from eventstore.segments import segment_path

from .device import SECTOR
from .programme import KEPT, NOON, Commit, Life, Purge, Reopen, SteadyLog, Story, Sync, Write, clock
from .simulated_disk import SimulatedDisk

FIRST_SEGMENT = segment_path(1)

_numbers = itertools.count(1)


def restart_ids() -> None:
    """Have a story write the same bytes whenever it is begun, so that a seed always means the same."""
    global _numbers
    _numbers = itertools.count(1)


def event(size: int = 60, blob: bytes = b"") -> NewEvent:
    """An event with so many bytes of data, or one that refers to a blob."""
    id = UUID(int=0x0190_0000_0000_7000_8000_0000_0000_0000 + next(_numbers))
    data = digest_of(blob).encode() if blob else b"x" * size
    return NewEvent(type=KEPT if blob else "done", data=b'"' + data + b'"', id=id, time=NOON)


def commit(
    *streams: str, size: int = 60, expected: int | Expect = ANY, checkpoint: Checkpoint | None = None, blob: bytes = b""
) -> Commit:
    """One event in each of these streams; with a blob, one that refers to it."""
    return Commit(tuple(Append(stream, [event(size, blob)], expected) for stream in streams), checkpoint, blob)


def single_appends() -> Story:
    return Story(
        Write((commit("a", expected=0),)),
        Write((commit("b", size=4000),)),
        Write((commit("a", expected=1),)),
        Write((commit("a", size=2500, expected=2),)),
        Write((commit("c"),)),
    )


def group_commits() -> Story:
    return Story(
        Write((commit("a"), commit("b", size=1500), commit("a"), commit("c", size=900), commit("a"))),
        Write((commit("b"),)),
        Write((commit("c", size=2000), commit("a", size=200), commit("b"), commit("d"))),
        Write((commit("a"), commit("a"))),
    )


def commits_over_several_streams() -> Story:
    return Story(
        Write((commit("a", "b", "c", "a", size=500),)),
        Write((commit("a", "b", size=800, checkpoint=Checkpoint("reader", 2)), commit("c", "d"))),
        Write((Commit((), Checkpoint("reader", 5)),)),
        Write((commit("d", "a", "b", checkpoint=Checkpoint("other", 8)),)),
    )


def purges() -> Story:
    return Story(
        Write((commit("a", "b"), commit("a", size=1500))),
        Write((commit("b", "a"), commit("c", size=1200))),
        Purge("a"),
        Write((commit("a", size=900, expected=0), commit("b"))),
        Purge("b"),
        Write((commit("a", size=500),)),
    )


def reopening() -> Story:
    return Story(
        Write((commit("a", size=900), commit("b", size=900))),
        Reopen(),
        Write((commit("a", "b", size=800), commit("c", size=600))),
        Reopen(),
        Write((commit("a", size=2000), commit("c"))),
        Write((commit("a"),)),
    )


def background_syncs() -> Story:
    return Story(
        Write((commit("a", size=400),)),
        Write((commit("b", size=1800),)),
        Sync(),
        Write((commit("a"), commit("a", size=700))),
        Write((commit("c"),)),
        Sync(),
        Write((commit("b", size=900),)),
        segment_bytes=4000,
    )


def blobs() -> Story:
    return Story(
        Write((commit("a", blob=b"1" * 1200),)),
        Write((commit("a", blob=b"2" * 700), commit("b", blob=b"1" * 1200))),
        Write((commit("b", blob=b"3" * 100),)),
    )


STORIES: dict[str, Callable[[], Story]] = {
    story.__name__.replace("_", " "): story
    for story in (
        single_appends,
        group_commits,
        commits_over_several_streams,
        purges,
        reopening,
        background_syncs,
        blobs,
    )
}


def half(lines: bytes, start: int) -> bytes:
    """The write stopped somewhere in its second line."""
    return lines[: lines.index(b"\n", start) + SECTOR]


def holes(lines: bytes, start: int) -> bytes:
    """Every other sector did not arrive."""
    return b"".join(lines[at : at + 1] if at < start or at // SECTOR % 2 else b"\0" for at in range(len(lines)))


def lost_beginning(lines: bytes, start: int) -> bytes:
    """The first sectors did not arrive, and intact lines stand behind them."""
    arrived = (lines.index(b"\n", start) // SECTOR) * SECTOR
    return lines[:start] + bytes(arrived - start) + lines[arrived:]


TEARS: dict[str, Callable[[bytes, int], bytes]] = {
    tear.__name__.replace("_", " "): tear for tear in (half, holes, lost_beginning)
}


def torn_tail(tear: Callable[[bytes, int], bytes]) -> tuple[Story, SimulatedDisk]:
    """A story whose second write, of three commits, was torn when it was told before, and the disk that was left."""
    begun = (Write((commit("a"),)), Write((commit("b", size=1500), commit("a", size=900), commit("c"))))
    life = Life(Story(*begun), SimulatedDisk(), "full")
    life.run()
    lines = life.disk.files()[FIRST_SEGMENT]
    disk = SimulatedDisk()
    disk.put(FIRST_SEGMENT, tear(lines, lines.index(b"\n") + 1))
    return Story(*begun, Write((commit("a"), commit("b")))), disk


def purges_without_room() -> tuple[Story, SimulatedDisk, int, int]:
    """A story with two purges that found no room for a copy of the segment, and the disk that was left."""
    write = Write((commit("a", size=900), commit("b", "c", size=700), commit("a", "c")))
    disk = SimulatedDisk()
    with closing(SteadyLog("", disk=disk, clock=clock)) as log:
        log.append_together(write.commits)
        for stream in ("a", "b"):
            disk.room = 700
            with suppress(Unavailable):
                log.purge(stream)
    left = SimulatedDisk()
    for path, data in disk.files().items():
        left.put(path, data)
    return Story(write, Purge("a"), Purge("b"), Write((commit("a"), commit("c")))), left, 5, 5


def begin(name: str) -> tuple[Story, SimulatedDisk, int, int]:
    """A story or a tear, the disk it begins on, and the first and last of the states that may be found there."""
    restart_ids()
    return (STORIES[name](), SimulatedDisk(), 0, 0) if name in STORIES else (*torn_tail(TEARS[name]), 1, 4)
