"""The power goes at any call while commits are restored: the first so many are found, and restoring again goes on."""

from __future__ import annotations

import contextlib
import os
import random
from contextlib import closing
from datetime import UTC, datetime
from errno import ENOSPC

import pytest

from eventstore.errors import OutcomeUnknown, Unavailable
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, Checkpoint, Durability, Log, NewEvent, RecordedEvent
from eventstore.memory import MemoryLog
from eventstore.testing.restoring import Commits, commits_of, told
from tests.crash.programme import kept_in_segments
from tests.crash.simulated_disk import NEVER, PowerOff, SimulatedDisk

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
State = tuple[list[RecordedEvent], dict[str, int]]

AT_ONCE = 7
"""So many commits are restored in one call."""


def events(count: int, size: int = 40) -> list[NewEvent]:
    return [NewEvent(type="noted", data=bytes(size), time=NOON) for _ in range(count)]


@pytest.fixture(scope="module")
def source() -> MemoryLog:
    """The log that is restored."""
    return MemoryLog(clock=lambda: NOON)


@pytest.fixture(scope="module")
def commits(source: MemoryLog) -> Commits:
    """What is restored at first: also what the source had before its purges."""
    source.append([Append("a", events(2)), Append("gone", events(2))])
    source.append([Append("gone", events(1, 600))])
    source.append([Append("b", events(1, 600))])
    before = commits_of(source)
    after = source.head()
    source.purge("gone")
    source.append([Append("gone", events(2)), Append("a", events(1))])
    source.append([Append("b", events(1, 300))])
    source.append([Append("c", events(3))])
    source.purge("b")
    source.append([Append("b", events(1, 300)), Append("gone", events(1))])
    return before + commits_of(source, after=after)


def opened(disk: SimulatedDisk, durability: Durability = "full") -> JsonlLog:
    return JsonlLog("", durability=durability, clock=lambda: NOON, segment_bytes=900, disk=disk)


def state_of(log: Log) -> State:
    return list(log.read_all()), log.checkpoints()


def restore_all(log: Log, commits: Commits) -> None:
    """As a copy does it."""
    for first in range(0, len(commits), AT_ONCE):
        log.restore(commits[first : first + AT_ONCE], checkpoint=Checkpoint("copy", min(first + AT_ONCE, len(commits))))


def states_of(commits: Commits) -> list[State]:
    """What may be found: each commit is whole or absent, and those before it are there."""
    model = MemoryLog(clock=lambda: NOON)
    states = [state_of(model)]
    for number, commit in enumerate(commits, 1):
        ends = number % AT_ONCE == 0 or number == len(commits)
        model.restore([commit], checkpoint=Checkpoint("copy", number) if ends else None)
        states.append(state_of(model))
    return states


def go_on(disk: SimulatedDisk, log: Log, source: Log) -> None:
    """Restore what the source has now: it is there, and nothing else."""
    restore_all(log, commits_of(source))
    assert list(map(told, log.read_all())) == list(map(told, source.read_all()))
    assert list(log.read_all(backward=True)) == list(log.read_all())[::-1]
    assert kept_in_segments(disk) == list(log.read_all())


@pytest.fixture
def choices() -> random.Random:
    return random.Random(int(os.environ.get("EVENTSTORE_CRASH_SEED", "7")))


def first_life(disk: SimulatedDisk, commits: Commits, durability: Durability) -> None:
    with contextlib.suppress(PowerOff), closing(opened(disk, durability)) as log:
        restore_all(log, commits)


@pytest.mark.parametrize("durability", ["full", "batched", "none"])
def test_power_loss_before_any_call_leaves_the_first_so_many_commits(
    source: MemoryLog, commits: Commits, choices: random.Random, durability: Durability
) -> None:
    states = states_of(commits)
    whole = SimulatedDisk()
    first_life(whole, commits, durability)
    for call in range(1, whole.calls + 1):
        disk = SimulatedDisk()
        disk.power_off_at = call
        first_life(disk, commits, durability)
        for found in disk.crash_states(choices, 4):
            with closing(opened(found)) as log:
                assert state_of(log) in states
                go_on(found, log, source)
    assert whole.calls > 20


@pytest.mark.parametrize("error", ["once", "until it is mended"])
def test_whatever_call_the_system_refuses_restoring_again_ends_well(
    source: MemoryLog, commits: Commits, error: str
) -> None:
    states = states_of(commits)
    whole = SimulatedDisk()
    first_life(whole, commits, "full")
    for call in range(1, whole.calls + 1):
        disk = SimulatedDisk()
        disk.fails_at, disk.fails_with, disk.keeps_failing = call, ENOSPC, error != "once"
        with contextlib.suppress(Unavailable), closing(opened(disk)) as log:
            try:
                restore_all(log, commits)
            except OutcomeUnknown:
                raise
            except Unavailable:
                disk.fails_at = NEVER
                assert state_of(log) in states
                go_on(disk, log, source)
        disk.fails_at = NEVER
        following = disk.next_process()
        with closing(opened(following)) as log:
            go_on(following, log, source)
