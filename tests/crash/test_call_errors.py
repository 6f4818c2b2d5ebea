"""The system refuses any call of any story, once or until it is mended; writes stop short; the disk fills up.

Only typed errors come out. After `Unavailable` the same log goes on as soon as it is let; after `OutcomeUnknown` it
refuses everything, and the next one finds all of the commit or nothing. No sync that failed is tried again: the
simulated disk fails the test if one is. Calls that cannot fail on a local file system (`CERTAIN`) are left out.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import count, product
from random import Random

import pytest

from eventstore.errors import Closed, OutcomeUnknown, Unavailable
from eventstore.jsonl import JsonlLog
from eventstore.log import Append, Durability, Log

from .programme import Life, Step, Story, Violation, Write, clock, kept_in_segments, state_of
from .simulated_disk import NEVER, SimulatedDisk
from .stories import STORIES, TEARS, begin, commit, purges_without_room

ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EINTR)

EVERY_ERROR = "EVENTSTORE_CRASH_STATES" in os.environ
"""Whether every call meets every error, as in a release, or one of them at random."""

Errors = Callable[[], list[tuple[int, bool]]]
Record = Callable[[str, object], None]


class Refused(Life):
    """A life in which the system refuses something, once or until that was noticed."""

    refused = power_was_lost = False

    def _tell(self) -> None:
        try:
            super()._tell()
        except Unavailable as error:
            self._mend()
            if isinstance(error, OutcomeUnknown):
                self.acknowledged = self.durable
                self._give_up()
            elif isinstance(self.step, Write) and self.log is not None:
                self.tried = self.acknowledged
            if self.log is None:
                self.disk = self.disk.next_process()
            else:
                self.survey()
            super()._tell()

    def take(self, step: Step, end: int) -> None:
        news = end > self.acknowledged
        super().take(step, end)
        if self.refused and news and not self.power_was_lost:
            self.power_was_lost = True
            for disk in self.disk.crash_states(Random(self.disk.calls), 2):
                Life(self.story, disk, self.durability, self.durable, self.tried).run()

    def _mend(self) -> None:
        assert not self.refused, "what was mended failed again"
        self.refused = True
        self.disk.fails_at = self.disk.room = NEVER

    def _give_up(self) -> None:
        log, self.log = self.log, None
        if log is not None:
            for call in calls_of(log):
                with pytest.raises(Closed):
                    call()
            log.close()


def calls_of(log: Log) -> list[Callable[[], object]]:
    """Everything that can be asked of a log."""
    return [
        lambda: log.append([Append("a")]),
        lambda: list(log.read("a")),
        lambda: list(log.read_all()),
        lambda: log.version("a"),
        lambda: log.head(),
        lambda: log.checkpoint("reader"),
        lambda: log.purge("a"),
    ]


def live_through(story: Story, disk: SimulatedDisk, durability: Durability, acknowledged: int, tried: int) -> Refused:
    error = errno.errorcode.get(disk.fails_with)
    faults = f"{error} at call {disk.fails_at}, short write {disk.short_write_at}, room {disk.room}"
    life = Refused(story, disk, durability, acknowledged, tried)
    try:
        life.run()
    except Exception as failure:
        raise Violation(f"{durability}, {faults}, again and again: {disk.keeps_failing}: {failure!r}") from failure
    return life


def refuse_any_call(name: str, durability: Durability, errors: Errors, *bugs: str) -> int:
    """Tell a story once for every call and each of the errors it is to meet, and return how often that was."""
    story, start, *bounds = begin(name)
    start.bugs = frozenset(bugs)
    told = 0
    for call in count(1):
        for error, again in errors():
            disk = start.copy()
            disk.fails_at, disk.fails_with, disk.keeps_failing = call, error, again
            life = live_through(story, disk, durability, *bounds)
            told += 1
        if life.disk.calls < call:
            break
    return told


def stop_any_write_short(name: str, *, again: bool) -> int:
    """Tell a story once for every write, and return how many there are."""
    story, start, *bounds = begin(name)
    for write in count(1):
        disk = start.copy()
        disk.short_write_at, disk.keeps_failing = write, again
        life = live_through(story, disk, "full", *bounds)
        assert not life.refused
        if life.disk.writes < write:
            break
    return write - 1


@pytest.mark.parametrize("durability", ["full", "none"])
@pytest.mark.parametrize("name", [*STORIES, *TEARS])
def test_an_error_at_any_call_is_typed_and_costs_nothing_acknowledged(
    name: str, durability: Durability, record_property: Record
) -> None:
    every = list(product(ERRORS, (False, True)))
    errors = (lambda: every) if EVERY_ERROR else (lambda: [random.choice(every)])
    record_property("errors", refuse_any_call(name, durability, errors))


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("name", ["group commits", "purges", "blobs", "half"])
def test_a_short_write_is_finished(name: str, again: bool, record_property: Record) -> None:
    record_property("short writes", stop_any_write_short(name, again=again))


@pytest.mark.parametrize(
    ("story", "step"),
    [
        (Story(Write((commit("a", size=1),)), Write((commit("b", size=1), commit("a", size=1)))), 1),
        (STORIES["purges"](), 1 if EVERY_ERROR else 32),
    ],
    ids=["appends", "purges"],
)
def test_the_log_goes_on_after_the_disk_was_full_at_any_byte(story: Story, step: int, record_property: Record) -> None:
    for room in count(random.randrange(step), step):
        disk = SimulatedDisk()
        disk.room = room
        if not live_through(story, disk, "full", 0, 0).refused:
            record_property("full disks", room // step)
            return


def test_a_disk_too_full_for_a_purge_to_be_finished_can_be_read() -> None:
    story, full, _, end = purges_without_room()
    full.room = 0
    roomy = full.next_process()
    roomy.room = NEVER
    for disk, finished in ((full, False), (roomy, True)):
        with closing(JsonlLog("", disk=disk, clock=clock)) as log:
            assert state_of(log, set()) == story.states[end]
            assert (kept_in_segments(disk) == list(log.read_all())) == finished


@pytest.mark.parametrize("error", ERRORS)
def test_nobody_reads_what_a_failed_sync_may_have_lost(error: int) -> None:
    for call in range(1, 12):
        disk = SimulatedDisk(seed=call)
        with closing(JsonlLog("", disk=disk)) as log, closing(JsonlLog("", disk=disk.next_process())) as bystander:
            log.append(commit("a").appends)
            disk.fails_at, disk.fails_with = disk.calls + call, error
            with suppress(Unavailable):
                log.append(commit("a", "b", size=900).appends)
            disk.fails_at = NEVER
            seen = list(bystander.read_all())
            for state in disk.crash_states(Random(call), 8):
                with closing(JsonlLog("", disk=state)) as survivor:
                    assert list(survivor.read_all())[: len(seen)] == seen
