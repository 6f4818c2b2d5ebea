"""What the figures were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
import subprocess
from pathlib import Path

import psycopg

PACKAGES = ("flowledger", "msgspec", "psycopg")


def machine(folder: Path) -> dict[str, str]:
    """The processor, its cores, the memory, the system and the file system."""
    found = {"processor": _processor(), "cores": str(os.cpu_count()), "system": platform.platform(terse=True)}
    if hasattr(os, "sysconf"):
        found["memory"] = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    kind = _first_line("stat", "-f", "-c", "%T", str(folder))
    return found | ({"file system": kind} if kind else {})


def versions(dsn: str) -> dict[str, str]:
    """What took part, in which version."""
    with psycopg.connect(dsn) as connection:
        server = connection.info.server_version
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "Postgres": f"{server // 10_000}.{server % 10_000}",
        **packages,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.partition("\n")[0] if done.returncode == 0 else ""
