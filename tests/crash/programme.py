"""The crash programme: stories told to a log on a simulated disk, and the one oracle every outcome is held to.

Acknowledged ⊆ survivors, and survivors are a prefix of what was attempted: no hole, phantom, duplicate or reordering.
The memory log says what each prefix looks like. Every process of a story does the same: it opens the log, finds one
of the states it may find, repeats the step that state leaves off in, goes on to the end, and opens the log again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from random import Random
from uuid import UUID

import msgspec
from msgspec import json

from eventstore.blobs import FileBlobs
from eventstore.group import Ticket
from eventstore.jsonl import JsonlLog, _Request
from eventstore.line import decode_line
from eventstore.log import PURGES, Append, Appended, Checkpoint, Durability, Log, RecordedEvent
from eventstore.memory import MemoryLog

from .oracle import check_streams
from .simulated_disk import NEVER, PowerOff, SimulatedDisk

KEPT = "kept"
"""The type of an event whose data is the digest of a blob."""
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def clock() -> datetime:
    """The same time whenever it is asked, so that a story writes the same bytes each time it is told."""
    return NOON


class Commit(msgspec.Struct, frozen=True):
    """What one thread appends, after it has put the blob that its events refer to."""

    appends: tuple[Append, ...]
    checkpoint: Checkpoint | None = None
    blob: bytes = b""


class Write(msgspec.Struct, frozen=True):
    """Commits of as many threads, in one write."""

    commits: tuple[Commit, ...]


class Purge(msgspec.Struct, frozen=True):
    """The physical removal of a stream."""

    stream: str


class Reopen(msgspec.Struct, frozen=True):
    """The log is closed, and the next process opens it."""


class Sync(msgspec.Struct, frozen=True):
    """What the background thread of a batched log does now and then."""


Step = Write | Purge | Reopen | Sync


class State(msgspec.Struct, frozen=True):
    """All that can be read from a log."""

    events: tuple[RecordedEvent, ...] = ()
    checkpoints: Mapping[str, int] = {}


class Story:
    """Steps, and the states a log goes through while they are taken: one more with each commit and purge."""

    def __init__(self, *steps: Step, segment_bytes: int = 900) -> None:
        self.steps, self.segment_bytes = steps, segment_bytes
        self.ends: list[int] = []
        model = MemoryLog(clock=clock)
        names = {c.checkpoint.name for s in steps if isinstance(s, Write) for c in s.commits if c.checkpoint}
        self.states = [State()]
        for step in steps:
            if isinstance(step, Write):
                for commit in step.commits:
                    model.append(commit.appends, checkpoint=commit.checkpoint)
                    self.states.append(state_of(model, names))
            elif isinstance(step, Purge):
                model.purge(step.stream)
                self.states.append(state_of(model, names))
            self.ends.append(len(self.states) - 1)
        self.checkpoints = names


def state_of(log: Log, checkpoints: set[str]) -> State:
    """All there is in the log."""
    positions = {name: log.checkpoint(name) for name in checkpoints}
    known = {name: position for name, position in positions.items() if position is not None}
    return State(tuple(map(_comparable, log.read_all())), known)


def _comparable(event: RecordedEvent) -> RecordedEvent:
    """The event, without what a log makes up itself when it records a purge."""
    if event.stream != PURGES:
        return event
    return msgspec.structs.replace(event, id=UUID(int=0), time=NOON, hash="")


class SteadyLog(JsonlLog):
    """A log whose background syncs happen when the story says so."""

    def _sync_if_behind(self) -> None:
        pass

    def sync_now(self) -> None:
        with self._at_the_end():
            self._tail.sync()

    def append_together(self, commits: Sequence[Commit]) -> list[Appended]:
        """Append these in one write, as happens when threads wait for the same turn."""
        tickets = [Ticket[_Request, Appended](_Request(commit.appends, commit.checkpoint)) for commit in commits]
        with self._group.turn():
            self._serve(tickets)
        for ticket in tickets:
            if ticket.error is not None:
                raise ticket.error
        return [ticket.result for ticket in tickets if ticket.result is not None]


class Violation(AssertionError):
    """The log broke a promise."""


class Life:
    """One process that tells a story on a disk.

    Of the story's states, it may find any from the last that was acknowledged to the last that was tried; after a
    power cut, any from the last that was durable. And it finds the copies of what its predecessors cut off.
    """

    def __init__(
        self,
        story: Story,
        disk: SimulatedDisk,
        durability: Durability,
        acknowledged: int = 0,
        tried: int = 0,
        copies: Set[str] = frozenset(),
    ) -> None:
        self.story, self.disk, self.durability = story, disk, durability
        self.durable = self.acknowledged = acknowledged
        self.tried, self.copies = tried, copies
        self.calls_to_open = 0
        self.log: SteadyLog | None = None
        self.step: Step | None = None
        self.found: int | None = None

    def run(self) -> None:
        """Live to the end of the story, or until the power goes."""
        with contextlib.suppress(PowerOff):
            try:
                self._tell()
            finally:
                if self.log is not None:
                    self.log.close()

    def _tell(self) -> None:
        if self.log is None:
            self._reopen()
        for step, end in zip(self.story.steps, self.story.ends, strict=True):
            if end >= self.acknowledged:
                self.take(step, end)
        self._reopen()
        if self.log is not None and self.disk.fails_at == self.disk.room == NEVER:
            assert kept_in_segments(self.disk) == list(self.log.read_all())
            assert not [path for path in self.disk.files() if path.startswith("_log/_")], "a draft was left"
        self._close()
        assert self.durable == len(self.story.states) - 1

    def take(self, step: Step, end: int) -> None:
        """Take a step of which all, part or nothing was found done already."""
        assert self.log is not None
        self.step = step
        match step:
            case Write(commits):
                for blob in filter(None, (commit.blob for commit in commits)):
                    FileBlobs(self.disk).put(blob)
                self.tried = end
                for number, result in enumerate(self.log.append_together(commits), end - len(commits) + 1):
                    assert result.repeated == bool(result.events and number <= self.acknowledged)
            case Purge(stream):
                self.tried = end
                self.log.purge(stream)
                assert kept_in_segments(self.disk) == list(self.log.read_all())
            case Reopen():
                self._reopen()
            case Sync():
                self.log.sync_now()
        self.acknowledged = end
        if self.durability == "full" or not isinstance(step, Write):
            self.durable = end

    def _close(self) -> None:
        log, self.log = self.log, None
        if log is not None:
            log.close()
            self.durable = self.acknowledged

    def _reopen(self) -> None:
        """Close the log if it is open, and open it as the next process does."""
        if self.log is not None:
            self._close()
            self.disk = self.disk.next_process()
        self.log = SteadyLog(
            "", durability=self.durability, clock=clock, segment_bytes=self.story.segment_bytes, disk=self.disk
        )
        self.calls_to_open = self.calls_to_open or self.disk.calls
        self.copies |= {repair.copy for repair in self.log.repairs}
        assert self.copies <= set(self.disk.files()), "a copy of what was cut off is gone"
        self.survey()
        self.durable = self.tried = self.acknowledged

    def survey(self) -> None:
        """See in which of the possible states the log is and, the first time, that all ways to read it say the same."""
        assert self.log is not None
        state = state_of(self.log, self.story.checkpoints)
        possible = range(self.acknowledged, self.tried + 1)
        found = next((number for number in possible if self.story.states[number] == state), None)
        if found is None:
            raise Violation(f"not one of the states {possible}: {_outline(state)}")
        if self.found is None:
            events = list(self.log.read_all())
            check_streams(self.log, events)
            assert list(self.log.read_all(backward=True)) == events[::-1]
        for event in state.events:
            if event.type == KEPT:
                FileBlobs(self.disk).get(json.decode(event.data, type=str))
        self.acknowledged = self.found = found


def kept_in_segments(disk: SimulatedDisk) -> list[RecordedEvent]:
    """What the segment files hold, whether it can be read or not."""
    segments = [data for path, data in disk.files().items() if path.endswith(".jsonl")]
    lines = [decode_line(line) for segment in segments for line in segment.splitlines(keepends=True)]
    return [event for line in lines for event in line.recorded()]


def _outline(state: State) -> str:
    return " ".join(f"{event.stream}@{event.version}" for event in state.events) or "nothing"


class Programme:
    """A story with the power cut before every call, and what may be found then, up to three cuts in a row.

    `start` is the disk it begins on, and `acknowledged` and `tried` the states that may be found there.
    """

    def __init__(
        self,
        story: Story,
        start: SimulatedDisk,
        acknowledged: int,
        tried: int,
        *,
        durability: Durability,
        seed: int,
        limit: int,
    ) -> None:
        self.story, self.durability = story, durability
        self.start, self.acknowledged, self.tried = start, acknowledged, tried
        self.seed, self.limit = seed, limit
        self.states = self.calls = 0
        self._random = Random(seed)
        self._seen: set[object] = set()

    def run(self) -> None:
        """Examine about so many different states, or as many as there are.

        Raises `Violation`, which says how to see it again.
        """
        self.calls = self._first_life(NEVER).disk.calls
        for call in self._random.sample(range(1, self.calls + 1), self.calls):
            life = self._first_life(call)
            same_cache = life.disk.next_process()
            share = max(8, min(self.limit // 4, self.limit - self.states))
            self._crash(life, (f"power off before call {call}",), share)
            self._kill(life, same_cache, f"killed before call {call}")

    def _first_life(self, call: float) -> Life:
        life = Life(self.story, self.start.copy(), self.durability, self.acknowledged, self.tried)
        return self._live(life, call, ())

    def _live(self, life: Life, call: float, before: tuple[str, ...]) -> Life:
        """Live to the end of the story, or until this call."""
        life.disk.power_off_at = call
        try:
            life.run()
        except Exception as error:
            history = "; ".join((*before, f"now running to call {call}"))
            raise Violation(f"durability {self.durability}, seed {self.seed}: {history}: {error!r}") from error
        return life

    def _crash(self, life: Life, before: tuple[str, ...], share: int) -> None:
        """Go on from what may be found after this life, and now and then cut that short too."""
        for disk in life.disk.crash_states(self._random, 2 * share):
            found = (disk.fingerprint(), life.durable, life.tried)
            if found in self._seen:
                continue
            if share == 0:
                return
            share -= 1
            self._seen.add(found)
            self.states += 1
            twin = disk.copy()
            after = self._live(
                Life(self.story, disk, self.durability, life.durable, life.tried, life.copies), NEVER, before
            )
            if len(before) < 3 and self._random.random() < (0.2 if after.copies else 0.05):
                call = self._random.randint(1, after.calls_to_open if after.copies else after.disk.calls)
                short = Life(self.story, twin, self.durability, life.durable, life.tried, life.copies)
                self._crash(self._live(short, call, before), (*before, f"power off before call {call}"), 4)

    def _kill(self, life: Life, disk: SimulatedDisk, what: str) -> None:
        """Go on as if only the process had ended, and cut that short."""
        disk.calls = 0
        after = Life(self.story, disk, self.durability, life.acknowledged, life.tried)
        after.durable = life.durable
        call = self._random.randint(1, self.calls)
        self._crash(self._live(after, call, (what,)), (what, f"power off before call {call}"), 4)
