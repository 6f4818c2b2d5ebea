"""A writer on a real file system in a file, from under which the power is taken.

It is mounted in a namespace of its own, which needs root. Nothing of it is left when the program ends.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from eventstore.sqlite import SqliteLog
from tests.crash.oracle import Attempts, survivors_of
from tests.crash.writer_process import attempts_of, first_attempts

IN_A_NAMESPACE = ("unshare", "--mount")
SHUT_DOWN = 0x8004587D
"""The request that takes a file system away (FS_IOC_SHUTDOWN) and its argument: what is in memory is lost."""
NO_LOG_FLUSH = (2).to_bytes(4, sys.byteorder)


def mount(image: Path, folder: Path) -> None:
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)


def available(folder: Path) -> bool:
    """Whether such a file system can be made and mounted here."""
    try:
        make(folder / "image")
        command = [*IN_A_NAMESPACE, "mount", "-o", "loop", str(folder / "image"), "/mnt"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except (OSError, subprocess.CalledProcessError):
        return False


def make(image: Path) -> None:
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, capture_output=True)


def append_for_ever(path: Path, writer: str, told: int) -> None:
    """Append, and tell of every acknowledged commit, until the power goes."""
    with closing(SqliteLog(path)) as log:
        for commit in attempts_of(writer):
            log.append(commit)
            os.write(told, b".")


def run(image: Path, folder: Path, cuts: int) -> int:
    """Take the power away so many times, and give the number of commits that survived it."""
    make(image)
    known: list[Attempts] = []
    for cut in range(cuts):
        mount(image, folder)
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            append_for_ever(folder / "store.db", str(cut), tell)
        acknowledged = len(os.read(told, 1))
        while acknowledged < 5 + cut % 7:
            acknowledged += len(os.read(told, 1))
        os.kill(child, signal.SIGSTOP)
        os.waitpid(child, os.WUNTRACED)
        acknowledged += len(os.read(told, 10_000)) if _waits(told) else 0
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.ioctl(descriptor, SHUT_DOWN, NO_LOG_FLUSH)
        os.close(descriptor)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)
        subprocess.run(["umount", str(folder)], check=True)
        mount(image, folder)
        with closing(SqliteLog(folder / "store.db")) as log:
            new = Attempts(first_attempts(str(cut), acknowledged + 1), acknowledged)
            survived = survivors_of(log, [*known, new])[-1]
            known.append(Attempts(new.commits[:survived], survived))
            assert log.database.rows("PRAGMA integrity_check") == [("ok",)]
        subprocess.run(["umount", str(folder)], check=True)
    return sum(attempts.acknowledged for attempts in known)


def _waits(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


if __name__ == "__main__":
    print(run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))  # noqa: T201 - the test that starts this reads it
