"""Every call the file log makes to the operating system, in one small seam.

Tests put a disk behind it that tears writes, fills up and loses power. Paths are relative to the root and are walked
part by part without following links, so nothing planted inside the root can lead outside it. Files are private to
their owner.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from eventstore.errors import Unavailable
from eventstore.log import new_id

_NO_LINKS = os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | _NO_LINKS

READ = os.O_RDONLY
APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT
REPLACE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

_HINTS = {
    errno.ENOSPC: "Free some space and try again; everything acknowledged before is safe.",
    errno.EDQUOT: "Free some of your quota and try again; everything acknowledged before is safe.",
    errno.EEXIST: "A file stands where the store's folder should be; give another path.",
    errno.EACCES: "Check the owner and the permissions of the store's folder.",
    errno.EROFS: "The file system is mounted read-only.",
    errno.ELOOP: "A symbolic link stands where the store keeps a file of its own; remove it.",
    errno.ENOTDIR: "A file or a link stands where the store keeps a folder of its own; remove it.",
}


class Disk:
    """A folder, and the few things a log does in it. Every method raises OSError as the system does."""

    def __init__(self, root: Path, *, create: bool = True) -> None:
        self.root = root
        if create:
            _make_root(root)
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._kept: dict[str, int] = {}

    def open(self, path: str, flags: int) -> int:
        """A descriptor for the file; created private (0600) if the flags say create."""
        with self._parent(path) as (directory, name):
            return os.open(name, flags | _NO_LINKS, 0o600, dir_fd=directory)

    def close(self, file: int) -> None:
        os.close(file)

    def write(self, file: int, data: bytes | memoryview) -> int:
        """Write some of the bytes and return how many, which may be fewer than given."""
        return os.write(file, data)

    def read(self, file: int, size: int, offset: int) -> bytes:
        return os.pread(file, size, offset)

    def size(self, file: int) -> int:
        return os.fstat(file).st_size

    def truncate(self, file: int, size: int) -> None:
        os.ftruncate(file, size)

    def sync(self, file: int) -> None:
        """Return once the file's bytes and size are durable. After an error, never call it again for this file."""
        if sys.platform == "darwin":
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(file)

    def forget(self, file: int) -> None:
        """Drop cached pages, so that the next read shows what the device really holds."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync_directory(self, path: str) -> None:
        """Return once names created, renamed or removed in this folder are durable."""
        directory = self._open_directory(path)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def make_directory(self, path: str) -> None:
        """Create a private folder (0700); one that exists already is left as it is."""
        with self._parent(path) as (directory, name), contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=directory)

    def keep(self, path: str) -> None:
        """Keep a folder open until `release`; it must stay where it is. Repeated calls do nothing.

        What is in it is then found in one system call instead of five, 2.5 µs instead of 6. Each append looks there.
        """
        if path not in self._kept:
            self._kept[path] = self._open_directory(path)

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted; none if there is no such folder."""
        return [name for name, _ in self.entries(path)]

    def entries(self, path: str) -> list[tuple[str, bool]]:
        """The names in a folder, sorted, each with whether it is a folder itself; none if there is no such folder."""
        try:
            directory = self._open_directory(path)
        except FileNotFoundError:
            return []
        try:
            with os.scandir(directory) as entries:
                return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        finally:
            os.close(directory)

    @contextlib.contextmanager
    def inside(self, path: str) -> Iterator[Disk]:
        """A folder as a disk of its own, for many files of one place: each is opened without a walk to it."""
        inner = copy.copy(self)
        inner.root, inner._root, inner._kept = self.root / path, self._open_directory(path), {}
        try:
            yield inner
        finally:
            inner.release()

    def exists(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        try:
            if folder in self._kept:  # each look at a log's end asks this: 1.5 µs instead of 2.4
                os.stat(name, dir_fd=self._kept[folder], follow_symlinks=False)
            else:
                self.status(path)
        except FileNotFoundError:
            return False
        return True

    def status(self, path: str) -> tuple[int, float]:
        """A file's size in bytes, and its time in seconds since 1970."""
        with self._parent(path) as (directory, name):
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        return found.st_size, found.st_mtime

    def set_time(self, path: str, time: float) -> None:
        """Set a file's time. It may be lost when the power goes."""
        with self._parent(path) as (directory, name):
            os.utime(name, (time, time), dir_fd=directory, follow_symlinks=False)

    def rename(self, old: str, new: str) -> None:
        """Give the file a new name in one step, replacing what had it."""
        with self._parent(old) as (old_directory, old_name), self._parent(new) as (new_directory, new_name):
            os.rename(old_name, new_name, src_dir_fd=old_directory, dst_dir_fd=new_directory)

    def remove(self, path: str) -> None:
        with self._parent(path) as (directory, name):
            os.unlink(name, dir_fd=directory)

    def remove_directory(self, path: str) -> None:
        with self._parent(path) as (directory, name):
            os.rmdir(name, dir_fd=directory)

    def lock(self, file: int) -> None:
        """Wait until no other descriptor holds the file's lock, then hold it. A killed process lets go."""
        fcntl.flock(file, fcntl.LOCK_EX)

    def try_lock(self, file: int, *, shared: bool = False) -> bool:
        """Hold the file's lock if it can be had at once, alone or beside others who share it; say whether."""
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self, file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)

    def database(self, path: str) -> str:
        """Where SQLite is to keep a disposable database: a private file, and no link, for SQLite would follow that."""
        try:
            self.close(self.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            with self._parent(path) as (directory, name):
                # To open the file and close it again would drop the locks that this process's SQLite holds on it.
                if stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
        return str(self.root / path)

    def release(self) -> None:
        """Let go of the root. Whatever is called afterwards fails, and cannot reach another folder by its number."""
        folders, self._root, self._kept = [self._root, *self._kept.values()], -1, {}
        for folder in folders:
            os.close(folder)

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        folder, _, name = path.rpartition("/")
        kept = self._kept.get(folder) if folder else self._root
        if kept is not None:
            yield kept, name
            return
        directory = self._open_directory(folder)
        try:
            yield directory, name
        finally:
            os.close(directory)

    def _open_directory(self, path: str) -> int:
        directory = os.dup(self._root)
        for part in path.split("/"):
            if part in ("", "."):
                continue
            try:
                inner = os.open(part, _DIRECTORY, dir_fd=directory)
            finally:
                os.close(directory)
            directory = inner
        return directory


def _make_root(root: Path) -> None:
    """Create the folder, and those above it that are missing, each with a durable name."""
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in missing:
        parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


def write_whole(disk: Disk, file: int, data: bytes) -> None:
    """Write all of it, however often the system stops short."""
    rest = memoryview(data)
    while rest:
        rest = rest[disk.write(file, rest) :]


def replace(disk: Disk, path: str, data: bytes, *, durable: bool) -> None:
    """Put a file in place in one step: no reader ever sees half of it. If durable, it is so when this returns."""
    folder = path.rpartition("/")[0]
    disk.rename(write_draft(disk, folder, data, durable=durable), path)
    if durable:
        disk.sync_directory(folder)


def write_draft(disk: Disk, folder: str, data: bytes, *, durable: bool) -> str:
    """Write a file that is still to get its name, and return the path it has meanwhile. A failure leaves nothing."""
    draft = f"{folder}/_{new_id().hex}.new" if folder else f"_{new_id().hex}.new"
    file = disk.open(draft, REPLACE)
    try:
        write_whole(disk, file, data)
        if durable:
            disk.sync(file)
    except OSError:
        with contextlib.suppress(OSError):
            disk.remove(draft)
        raise
    finally:
        disk.close(file)
    return draft


def read_whole(disk: Disk, path: str) -> bytes:
    """All bytes of a file."""
    file = disk.open(path, READ)
    try:
        return disk.read(file, disk.size(file), 0)
    finally:
        disk.close(file)


def unavailable(error: OSError, doing: str) -> Unavailable:
    """The project's error for one of the operating system's."""
    return Unavailable(f"{doing}: {error.strerror or error}", _HINTS.get(error.errno or 0, ""))
