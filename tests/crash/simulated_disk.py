"""A disk in memory that does to a log what real ones do, on purpose and repeatably.

It can stop before any call, refuse any call, write short, fill up, and fail a sync as Linux does: what was unsynced is
dropped, reads go on showing it until `forget`, and the next sync succeeds. `crash_states` are the disks that may be
found when the power comes back.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path
from random import Random

from eventstore.disk import Disk

from .device import File, Folder, Node, contents, copy, crash_states

NEVER = math.inf

CERTAIN = frozenset({"close", "unlock"})
"""Calls that do not fail on a local file system (Linux lets go of a descriptor even when it reports an error), and
before which it makes no difference whether the power goes, as they change nothing on the device."""


class PowerOff(BaseException):
    """The machine stops before this call. Not an Exception: no program handles a power cut."""


class Descriptor:
    """An open file, and where the next write goes unless it appends."""

    def __init__(self, file: File, flags: int) -> None:
        self.file, self.flags, self.position = file, flags, 0


class SimulatedDisk(Disk):
    """What one process sees of such a disk. Faults are attributes: the number of the call, or write, they befall.

    `bugs` are lies the disk tells, to prove that the programme notices them. The index is lost with the process that
    made it; but if there is an `index_folder`, it stands there and stays as SQLite would keep it.
    """

    def __init__(self, top: Folder | None = None, *, index_folder: Path | None = None, seed: int = 0) -> None:
        self.root = Path("simulated")
        self.top = top or Folder()
        self.calls = self.writes = 0
        self.power_off_at = self.fails_at = self.short_write_at = self.room = NEVER
        self.fails_with, self.keeps_failing = 0, False
        self.bugs: frozenset[str] = frozenset()
        self._random = Random(seed)
        self._failed_syncs: set[File] = set()
        self._open: dict[int, Descriptor] = {}
        self._index_folder = index_folder
        self._index_kept: dict[str, bytes] = {}
        self._index_seen: list[tuple[str, int, int]] | None = None
        self._index_states: list[dict[str, bytes]] = []

    def __repr__(self) -> str:
        return f"<SimulatedDisk calls={self.calls} open={len(self._open)}>"

    def open(self, path: str, flags: int) -> int:
        self._begin("open")
        folder, name = self._parent_of(path)
        file = folder.entries.get(name)
        if file is None:
            if not flags & os.O_CREAT:
                raise FileNotFoundError(path)
            file = File()
            folder.change({name: file})
        elif isinstance(file, Folder):
            raise IsADirectoryError(path)
        elif flags & os.O_EXCL:
            raise FileExistsError(path)
        elif flags & os.O_TRUNC and file.content:
            file.truncate(0)
        number = max(self._open, default=2) + 1
        self._open[number] = Descriptor(file, flags)
        return number

    def close(self, file: int) -> None:
        self._begin("close")
        del self._open[file]

    def write(self, file: int, data: bytes | memoryview) -> int:
        self._begin("write")
        into = self._open[file]
        offset = len(into.file.content) if into.flags & os.O_APPEND else into.position
        self.writes += 1
        if self._due(self.writes, self.short_write_at):
            data = data[: max(1, len(data) // 2)]
        data = data[: int(min(self.room, len(data)))]
        if not data:
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        self.room -= len(data)
        into.position = offset + len(data)
        into.file.write(offset, data)
        return len(data)

    def read(self, file: int, size: int, offset: int) -> bytes:
        self._begin("read")
        return bytes(self._open[file].file.content[offset : offset + size])

    def size(self, file: int) -> int:
        self._begin("size")
        return len(self._open[file].file.content)

    def truncate(self, file: int, size: int) -> None:
        self._begin("truncate")
        if "does not truncate" not in self.bugs:
            inside = self._open[file].file
            self.room += len(inside.content) - size
            inside.truncate(size)

    def sync(self, file: int) -> None:
        inside = self._open[file].file
        self._sync(inside, "sync", ignored=inside.was_cut and "does not sync a cut" in self.bugs)

    def sync_directory(self, path: str) -> None:
        self._sync(self._folder(path), "sync_directory")

    def _sync(self, node: Node, call: str, *, ignored: bool = False) -> None:
        assert node not in self._failed_syncs, "a failed sync was tried again"
        try:
            self._begin(call)
        except OSError:
            if isinstance(node, File):
                node.lose(self._random)
                if "repeats a failed sync" in self.bugs:
                    return
                self._failed_syncs.add(node)
            raise
        if not ignored and f"does not {call}" not in self.bugs:
            node.sync()

    def forget(self, file: int) -> None:
        self._begin("forget")
        if "does not forget" not in self.bugs:
            self._open[file].file.forget()

    def make_directory(self, path: str) -> None:
        self._begin("make_directory")
        folder, name = self._parent_of(path)
        if name not in folder.entries:
            folder.change({name: Folder()})

    def keep(self, path: str) -> None:
        self._begin("keep")

    def names(self, path: str) -> list[str]:
        self._begin("names")
        try:
            return sorted(self._folder(path).entries)
        except FileNotFoundError:
            return []

    def exists(self, path: str) -> bool:
        self._begin("exists")
        try:
            folder, name = self._parent_of(path)
        except FileNotFoundError:
            return False
        return name in folder.entries

    def status(self, path: str) -> tuple[int, float]:
        self._begin("status")
        file = self._file(path)
        return len(file.content), file.time

    def set_time(self, path: str, time: float) -> None:
        self._begin("set_time")
        self._file(path).time = time

    def rename(self, old: str, new: str) -> None:
        self._begin("rename")
        (source, old_name), (target, new_name) = self._parent_of(old), self._parent_of(new)
        if old_name not in source.entries:
            raise FileNotFoundError(old)
        node = source.entries[old_name]
        if source is target:
            source.change({old_name: None, new_name: node})
        else:
            target.change({new_name: node})
            source.change({old_name: None})

    def remove(self, path: str) -> None:
        self._begin("remove")
        folder, name = self._parent_of(path)
        if name not in folder.entries:
            raise FileNotFoundError(path)
        folder.change({name: None})

    def remove_directory(self, path: str) -> None:
        self.remove(path)

    def lock(self, file: int) -> None:
        self._begin("lock")

    def unlock(self, file: int) -> None:
        self._begin("unlock")

    def database(self, path: str) -> str:
        self._begin("database")
        if self._index_folder is None:
            return ":memory:"
        for file in self._index_folder.iterdir():
            file.unlink()
        for name, data in self._index_kept.items():
            (self._index_folder / name).write_bytes(data)
        self._index_seen = []
        return str(self._index_folder / path.rpartition("/")[2])

    def release(self) -> None:
        self._open.clear()

    def next_process(self) -> SimulatedDisk:
        """The same disk, cache and all, for the process after this one; calls count on, and faults stay due."""
        disk = self._like(self.top, self._index_kept if self._index_seen is None else self._index_files())
        disk.calls, disk.writes, disk.power_off_at = self.calls, self.writes, self.power_off_at
        disk.fails_at, disk.fails_with, disk.keeps_failing = self.fails_at, self.fails_with, self.keeps_failing
        disk.short_write_at, disk.room, disk._index_states = self.short_write_at, self.room, self._index_states
        return disk

    def copy(self) -> SimulatedDisk:
        """Another disk with the same on it, to do something else to. This one must not have been used yet."""
        assert self.calls == 0
        return self._like(copy(self.top), self._index_kept)

    def crash_states(self, random: Random, limit: int) -> Iterator[SimulatedDisk]:
        """Different disks as they may be found after the power went now: all of them, or a sample of about `limit`."""
        indexes = [{}, *self._index_states]
        for top in crash_states(self.top, random, limit):
            yield self._like(top, random.choice(indexes))

    def _like(self, top: Folder, index: dict[str, bytes]) -> SimulatedDisk:
        disk = SimulatedDisk(top, index_folder=self._index_folder)
        disk.bugs, disk._random, disk._index_kept = self.bugs, self._random, index
        disk._index_states = [index] if index else []
        return disk

    def put(self, path: str, data: bytes) -> File:
        """Have a file on the device as if it had always been there."""
        folder = self.top
        *parts, name = path.split("/")
        for part in parts:
            inner = folder.entries.setdefault(part, Folder())
            assert isinstance(inner, Folder)
            folder.durable[part] = folder = inner
        file = folder.entries[name] = folder.durable[name] = File(data)
        return file

    def files(self) -> dict[str, bytes]:
        """All files by their paths, as reads see them."""
        return {path: data for path, data in contents(self.top) if not path.endswith("/")}

    def fingerprint(self) -> object:
        """Equal for disks that hold the same."""
        return tuple(contents(self.top)), tuple(self._index_kept.items())

    def _begin(self, call: str) -> None:
        self.calls += 1
        if call in CERTAIN:
            return
        if self._index_seen is not None and self.calls <= self.power_off_at:
            self._watch_index()
        if self.calls >= self.power_off_at:
            raise PowerOff
        if self._due(self.calls, self.fails_at):
            raise OSError(self.fails_with, os.strerror(self.fails_with))

    def _due(self, count: int, at: float) -> bool:
        return count >= at if self.keeps_failing else count == at

    def _watch_index(self) -> None:
        """Keep every state the index was in since SQLite last made one durable, which an emptied WAL tells."""
        files = [entry for entry in os.scandir(self._index_folder) if not entry.name.endswith("-shm")]
        seen = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        if seen != self._index_seen:
            self._index_seen = seen
            if not any(size for name, size, _ in seen if name.endswith("-wal")):
                self._index_states.clear()
            self._index_states.append(self._index_files())

    def _index_files(self) -> dict[str, bytes]:
        files = self._index_folder.iterdir() if self._index_folder is not None else ()
        return {file.name: file.read_bytes() for file in files if not file.name.endswith("-shm")}

    def _parent_of(self, path: str) -> tuple[Folder, str]:
        folder, _, name = path.rpartition("/")
        return self._folder(folder), name

    def _file(self, path: str) -> File:
        folder, name = self._parent_of(path)
        file = folder.entries.get(name)
        if not isinstance(file, File):
            raise FileNotFoundError(path)
        return file

    def _folder(self, path: str) -> Folder:
        folder: Node | None = self.top
        for part in filter(None, path.split("/")):
            folder = folder.entries.get(part) if isinstance(folder, Folder) else None
        if not isinstance(folder, Folder):
            raise FileNotFoundError(path)
        return folder
