"""The power goes: a commit that was synced is there, and of the one under way all or nothing, whatever part arrived."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from eventstore.sqlite import SqliteLog
from tests.crash.oracle import Attempts, survivors_of
from tests.crash.writer_process import first_attempts

from .real_disk import IN_A_NAMESPACE, available

SECTOR = 512
COMMITS = 12
CUTS = max(10, int(os.environ.get("EVENTSTORE_KILLS", "0")) // 20)


def test_whatever_arrives_of_the_end_of_the_write_ahead_log_leaves_a_beginning_of_the_commits(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """What was synced is there; of what was written since, sectors may be missing, and the size may be the old one."""
    seed = random.randrange(2**32)
    choices = random.Random(seed)
    path, wal = tmp_path / "store.db", tmp_path / "store.db-wal"
    states: list[tuple[bytes, bytes]] = []
    commits = first_attempts("writer", COMMITS)
    with closing(SqliteLog(path)) as log:
        states.append((path.read_bytes(), wal.read_bytes()))
        for commit in commits:
            log.append(commit)
            states.append((path.read_bytes(), wal.read_bytes()))
    cuts = 0
    for number in range(COMMITS):
        (file, synced), (_, later) = states[number : number + 2]
        for _ in range(12):
            arrived = bytearray(later[: choices.choice([len(later), choices.randint(len(synced), len(later))])])
            for sector in range(len(synced) // SECTOR + 1, len(arrived) // SECTOR + 1):
                if choices.random() < 0.1:
                    arrived[sector * SECTOR : (sector + 1) * SECTOR] = bytes(SECTOR)
            crashed = tmp_path / "crashed" / "store.db"
            shutil.rmtree(crashed.parent, ignore_errors=True)
            crashed.parent.mkdir()
            crashed.write_bytes(file)
            crashed.with_name("store.db-wal").write_bytes(arrived)
            with closing(SqliteLog(crashed)) as log:
                (survived,) = survivors_of(log, [Attempts(commits[: number + 1], number)])
                assert log.append(commits[number]).repeated == (survived > number), f"seed {seed}"
                assert survivors_of(log, [Attempts(commits[: number + 1], number + 1)]) == [number + 1]
            cuts += 1
    record_property("power cuts of SQLite files", cuts)


def test_when_the_power_goes_under_a_real_file_system_nothing_acknowledged_is_lost(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    if not available(tmp_path):
        pytest.skip("this system does not let the tests mount a file system of their own")
    folder = tmp_path / "mounted"
    folder.mkdir()
    command = [*IN_A_NAMESPACE, sys.executable, "-m", "tests.sqlite.real_disk"]
    command += [str(tmp_path / "image"), str(folder), str(CUTS)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) >= 5 * CUTS
    record_property("real power cuts under SQLite", CUTS)
