"""Names that one worker at a time holds, by the locks of files, which the system lets go of when a process ends."""

from __future__ import annotations

import os

from eventstore.disk import READ, Disk, unavailable
from eventstore.errors import NameHeld
from eventstore.hold import Hold, worker
from eventstore.names import encode_name

_LONGEST_WORKER = 1_000


def hold_file(disk: Disk, folder: str, name: str) -> Hold:
    """Hold a name by the lock of a file in this folder, which says who has it. Raises `NameHeld`, `Unavailable`."""
    try:
        path = _make_path(disk, folder, name)
        file = disk.open(path, os.O_RDWR | os.O_CREAT)
        try:
            while not disk.try_lock(file):
                if not disk.try_lock(file, shared=True):
                    raise NameHeld(name, _read(disk, file))
                disk.unlock(file)  # nobody has the name: somebody looks who does
            disk.truncate(file, 0)
            disk.write(file, worker().encode())
        except BaseException:
            disk.close(file)
            raise
    except OSError as error:
        raise unavailable(error, f"cannot hold the name {name!r}") from error
    return Hold(name, lambda: os.close(file), descriptor=lambda: file)


def file_holder(disk: Disk, folder: str, name: str) -> str | None:
    """Who holds a name by a file in this folder; None if nobody does. Raises `Unavailable`."""
    try:
        try:
            file = disk.open(f"{folder}/{encode_name(name)}", READ)
        except FileNotFoundError:
            return None
        try:
            return None if disk.try_lock(file, shared=True) else _read(disk, file)
        finally:
            disk.close(file)
    except OSError as error:
        raise unavailable(error, f"cannot tell who holds the name {name!r}") from error


def _make_path(disk: Disk, folder: str, name: str) -> str:
    """Where the file of a name is, with the folders that it takes."""
    parts = encode_name(name).split("/")
    for count in range(len(parts)):
        disk.make_directory("/".join([folder, *parts[:count]]))
    return "/".join([folder, *parts])


def _read(disk: Disk, file: int) -> str:
    return disk.read(file, _LONGEST_WORKER, 0).decode(errors="replace")
