"""Files and folders as a cache shows them and as a device may hold them, and what a power cut makes of them.

Between two syncs, a write or a truncation may arrive in parts: sector by sector, with or without the new size; and a
created, renamed or removed name may arrive or not. Nothing orders these, as no system call promises an order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import TypeAlias

SECTOR = 512


class File:
    """A file's bytes, cached and durable, and what each sector and the size were meant to be since the last sync."""

    def __init__(self, durable: bytes = b"") -> None:
        self.content = bytearray(durable)
        self.durable = bytearray(durable)
        self.durable_size = len(durable)
        self.sectors: dict[int, list[bytes]] = {}
        self.sizes: list[int] = []
        self.lost: set[int] = set()
        self.was_cut = False
        self.time = 0.0

    def write(self, offset: int, data: bytes | memoryview) -> None:
        self.content[offset : offset + len(data)] = data
        self._changed(offset, offset + len(data))
        self.was_cut = False

    def truncate(self, size: int) -> None:
        end = max(size, len(self.content))
        self.content[size:] = bytes(max(0, size - len(self.content)))
        self._changed(size, end)
        self.was_cut = True

    def _changed(self, start: int, end: int) -> None:
        for sector in range(start // SECTOR, -(-end // SECTOR)):
            self.sectors.setdefault(sector, []).append(_sector(self.content, sector))
            self.lost.discard(sector)
        self.sizes.append(len(self.content))

    def sync(self) -> None:
        for sector in self.sectors:
            _put_sector(self.durable, sector, _sector(self.content, sector))
        del self.durable[len(self.content) :]
        self.durable_size = len(self.content)
        self.sectors, self.sizes = {}, []

    def lose(self, random: Random) -> None:
        """A sync has failed: some sectors arrived, the others never will, and the cache still shows all of them."""
        for sector in self.sectors:
            if random.random() < 0.3:
                _put_sector(self.durable, sector, _sector(self.content, sector))
            else:
                self.lost.add(sector)
        self.sectors = {}

    def forget(self) -> None:
        """Show what the device holds, except where something newer waits to be written."""
        size = len(self.content)
        for sector in self.lost:
            _put_sector(self.content, sector, _sector(self.durable, sector))
        del self.content[size:]
        self.lost = set()

    def outcomes(self, random: Random) -> list[list[int | bytes]]:
        """What a crash may make of the size, and then of each unsynced sector.

        First in each list is what the last sync left and last what was meant now. Between them is what was meant
        meanwhile, and one torn sector: the beginning of what was meant, then what was there before, or zeros.
        """
        outcomes: list[list[int | bytes]] = [list(dict.fromkeys([self.durable_size, *self.sizes]))]
        for number, versions in self.sectors.items():
            old, *newer = dict.fromkeys([_sector(self.durable, number), *versions])
            written = [sector for sector in newer if any(sector)]
            torn = [_torn(old, random.choice(written), random)] if written else []
            outcomes.append([old, *torn, *newer])
        return outcomes

    def after_crash(self, outcome: Sequence[int | bytes]) -> File:
        content = bytearray(self.durable)
        size, *sectors = outcome
        assert isinstance(size, int)
        for number, sector in zip(self.sectors, sectors, strict=True):
            assert isinstance(sector, bytes)
            _put_sector(content, number, sector)
        return File(bytes(content[:size]).ljust(size, b"\0"))


class Folder:
    """Names, cached and durable, and the changes since the last sync: each may arrive without the others."""

    def __init__(self, entries: Mapping[str, Node] | None = None) -> None:
        self.entries: dict[str, Node] = dict(entries or {})
        self.durable = dict(self.entries)
        self.changes: list[dict[str, Node | None]] = []

    def change(self, change: dict[str, Node | None]) -> None:
        """Set and, with None, remove names, in one step."""
        self.entries = _with(self.entries, change)
        self.changes.append(change)

    def sync(self) -> None:
        self.durable, self.changes = dict(self.entries), []

    def outcomes(self, random: Random) -> list[list[int | bytes]]:
        """For each change: it is lost, or it arrives."""
        return [[False, True] for _ in self.changes]

    def after_crash(self, outcome: Sequence[int | bytes]) -> Folder:
        entries = self.durable
        for change, arrived in zip(self.changes, outcome, strict=True):
            entries = _with(entries, change) if arrived else entries
        return Folder(entries)


Node: TypeAlias = File | Folder


def crash_states(top: Folder, random: Random, limit: int) -> Iterator[Folder]:
    """Different trees as they may be found after the power went now: all of them, or a sample of about `limit`."""
    nodes = list(dict.fromkeys(_nodes(top)))
    outcomes = [node.outcomes(random) for node in nodes]
    seen = set()
    for choice in _choices([outcome for of_node in outcomes for outcome in of_node], random, limit):
        arrived = iter(choice)
        found: dict[Node, Node] = {
            node: node.after_crash([next(arrived) for _ in of_node])
            for node, of_node in zip(nodes, outcomes, strict=True)
        }
        for folder in found.values():
            if isinstance(folder, Folder):
                folder.entries = folder.durable = {name: found[node] for name, node in folder.entries.items()}
        tree = found[top]
        assert isinstance(tree, Folder)
        state = tuple(contents(tree))
        if state not in seen:
            seen.add(state)
            yield tree


def copy(folder: Folder) -> Folder:
    """The same files and folders, apart from these. Only for what is durable throughout."""
    return Folder(
        {
            name: copy(node) if isinstance(node, Folder) else File(bytes(node.durable))
            for name, node in folder.entries.items()
        }
    )


def contents(folder: Folder, path: str = "") -> Iterator[tuple[str, bytes]]:
    """Every file's path and bytes as reads see them; a folder's path ends in `/`."""
    for name, node in sorted(folder.entries.items()):
        if isinstance(node, Folder):
            yield f"{path}{name}/", b""
            yield from contents(node, f"{path}{name}/")
        else:
            yield f"{path}{name}", bytes(node.content)


def _choices(outcomes: Sequence[Sequence[int | bytes]], random: Random, limit: int) -> Iterator[Sequence[int | bytes]]:
    """Ways to pick one outcome of each: all of them; or first the telling ones, then a sample.

    Telling are: nothing arrived, all arrived, all but one thing, nothing but one thing.
    """
    if math.prod(map(len, outcomes)) <= limit:
        yield from itertools.product(*outcomes)
        return
    first, last = [each[0] for each in outcomes], [each[-1] for each in outcomes]
    yield first
    yield last
    alone = [(place, one) for place, each in enumerate(outcomes) for one in each]
    for place, one in random.sample(alone, min(len(alone), limit // 4)):
        yield [*last[:place], one, *last[place + 1 :]]
        yield [*first[:place], one, *first[place + 1 :]]
    for _ in range(limit // 2):
        likely = random.random()
        yield [each[-1] if random.random() < likely else random.choice(each) for each in outcomes]


def _nodes(folder: Folder) -> Iterator[Node]:
    """Every file and folder that a crash may leave reachable."""
    yield folder
    changed = [node for change in folder.changes for node in change.values() if node is not None]
    for node in (*folder.entries.values(), *folder.durable.values(), *changed):
        if isinstance(node, Folder):
            yield from _nodes(node)
        else:
            yield node


def _with(entries: dict[str, Node], change: Mapping[str, Node | None]) -> dict[str, Node]:
    return {name: node for name, node in {**entries, **change}.items() if node is not None}


def _sector(content: bytearray, number: int) -> bytes:
    return bytes(content[number * SECTOR : (number + 1) * SECTOR]).ljust(SECTOR, b"\0")


def _put_sector(content: bytearray, number: int, sector: bytes) -> None:
    start = number * SECTOR
    content.extend(bytes(max(0, start + SECTOR - len(content))))
    content[start : start + SECTOR] = sector


def _torn(older: bytes, newer: bytes, random: Random) -> bytes:
    """A sector that was written up to a byte inside the part that differs. What was to stay the same is safe."""
    different = [at for at in range(SECTOR) if newer[at] != older[at]]
    end = random.randint(different[0], different[-1])
    return newer[:end] + random.choice((older, bytes(SECTOR)))[end:]
