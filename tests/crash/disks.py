"""Real disks that count, hang, are full, or kill their process."""

from __future__ import annotations

import errno
import os
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from eventstore.disk import Disk


class CountingDisk(Disk):
    """Counts its syncs, and tells of each."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.syncs = 0
        self._synced = threading.Condition()

    def sync(self, file: int) -> None:
        super().sync(file)
        with self._synced:
            self.syncs += 1
            self._synced.notify_all()

    def wait_for_sync(self, since: int, timeout: float) -> bool:
        """Whether there is a sync more than so many before the time is up."""
        with self._synced:
            return self._synced.wait_for(lambda: self.syncs > since, timeout)


class StuckDisk(Disk):
    """Hangs in every sync once it has a test to tell of it."""

    test: Connection | None = None

    def sync(self, file: int) -> None:
        if self.test is not None:
            self.test.send("syncing")
            self.test.recv()
        super().sync(file)


class FullDisk(Disk):
    """Has no room for the drafts of files while it is full."""

    full = False

    def open(self, path: str, flags: int) -> int:
        if self.full and path.endswith(".new"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().open(path, flags)


class FatalDisk(Disk):
    """Kills its process at the last of so many calls, before it is made; in a write, after some of the bytes."""

    def __init__(self, root: Path, calls: int, written: float) -> None:
        super().__init__(root)
        self._calls, self._written = calls, written

    def _step(self) -> None:
        self._calls -= 1
        if self._calls == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self, file: int, data: bytes | memoryview) -> int:
        if self._calls == 1:
            super().write(file, data[: int(len(data) * self._written)])
        self._step()
        return super().write(file, data)

    def open(self, path: str, flags: int) -> int:
        self._step()
        return super().open(path, flags)

    def truncate(self, file: int, size: int) -> None:
        self._step()
        super().truncate(file, size)

    def sync(self, file: int) -> None:
        self._step()
        super().sync(file)

    def sync_directory(self, path: str) -> None:
        self._step()
        super().sync_directory(path)

    def make_directory(self, path: str) -> None:
        self._step()
        super().make_directory(path)

    def set_time(self, path: str, time: float) -> None:
        self._step()
        super().set_time(path, time)

    def rename(self, old: str, new: str) -> None:
        self._step()
        super().rename(old, new)

    def remove(self, path: str) -> None:
        self._step()
        super().remove(path)

    def lock(self, file: int) -> None:
        super().lock(file)
        self._step()

    def unlock(self, file: int) -> None:
        self._step()
        super().unlock(file)
