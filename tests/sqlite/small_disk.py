"""A program that fills a small file system of its own, makes room again, and goes on with the same log.

It is started in namespaces of its own: nobody else sees what it mounts, and it is gone when the program ends.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from itertools import count
from pathlib import Path
from uuid import UUID

from eventstore.errors import Unavailable
from eventstore.log import Append, NewEvent
from eventstore.sqlite import SqliteLog

IN_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def available() -> bool:
    """Whether this system lets its users have namespaces of their own."""
    try:
        mount = (*IN_A_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt")
        return subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def commit(number: int) -> list[Append]:
    """A commit to two streams, on a page or several."""
    return [
        Append("a", [NewEvent(type="written", data=b"%d " % number * 2_000)]),
        Append("b", [NewEvent(type="written", data=b"{}")]),
    ]


def fill(log: SqliteLog, acknowledged: list[UUID]) -> list[Append]:
    """Append until the disk is full; gives the commit that was refused."""
    for number in count():
        wanted = commit(number)
        try:
            log.append(wanted)
        except Unavailable as error:
            full = error
            break
        acknowledged.append(wanted[0].events[0].id)
    assert full.retriable
    assert full.hint
    return wanted


def check(log: SqliteLog, acknowledged: list[UUID]) -> None:
    """What was acknowledged is there, and nothing else."""
    assert [event.id for event in log.read("a")] == acknowledged
    assert [event.id for event in log.read_all() if event.stream == "a"] == acknowledged
    assert [event.version for event in log.read("a")] == list(range(1, len(acknowledged) + 1))
    assert log.version("b") == len(acknowledged)
    assert log.database.rows("PRAGMA integrity_check") == [("ok",)]


def run(folder: Path) -> int:
    """Fill the disk in `folder` twice, and give the number of commits that were acknowledged."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=True)
    acknowledged: list[UUID] = []
    with closing(SqliteLog(folder / "store.db")) as log:
        for number in range(2):
            ballast = folder / f"ballast-{number}"
            ballast.write_bytes(bytes(200_000 * (2 - number)))
            refused = fill(log, acknowledged)
            check(log, acknowledged)
            ballast.unlink()
            assert log.append(refused).versions == {"a": len(acknowledged) + 1, "b": len(acknowledged) + 1}
            acknowledged.append(refused[0].events[0].id)
            check(log, acknowledged)
    with closing(SqliteLog(folder / "store.db")) as log:
        check(log, acknowledged)
    return len(acknowledged)


if __name__ == "__main__":
    print(run(Path(sys.argv[1])))  # noqa: T201 - the test that starts this program reads it
