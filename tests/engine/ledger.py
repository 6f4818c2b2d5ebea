"""What engines did, noted outside the store: the witness that the store's log is held against."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import msgspec

from .definitions import Definition, Output


class Sight(msgspec.Struct, frozen=True, tag=True):
    """What an engine was told it can go on with, by the plan and as values, in that order; and which versions the run
    had just before it looked and just after.
    """

    run_id: str
    since: int
    until: int
    reusable: list[tuple[str, str]]
    outputs: list[tuple[str, Output]]


class Claimed(msgspec.Struct, frozen=True, tag=True):
    """An engine has a claim, and goes by this definition."""

    run_id: str
    worker: str
    epoch: int
    definition: Definition


class Effect(msgspec.Struct, frozen=True, tag=True):
    """An attempt has had its effect, on account of what was seen before. `output` is None if it failed."""

    run_id: str
    task_id: str
    attempt: int
    worker: str
    epoch: int
    seen: Sight
    inputs: dict[str, Output]
    output: Output | None


class Acknowledged(msgspec.Struct, frozen=True, tag=True):
    """The store has said that the attempt is completed, or that it has failed."""

    run_id: str
    task_id: str
    attempt: int
    completed: bool


Entry = Sight | Claimed | Effect | Acknowledged


class Ledger(Protocol):
    """Where entries are noted, in the order in which they happen."""

    def note(self, entry: Entry) -> None: ...


class Memory:
    """A ledger of one process; threads may share it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def note(self, entry: Entry) -> None:
        self.entries.append(entry)


class File:
    """A ledger of several processes, which survives when they are killed: a write is whole or absent then."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, entry: Entry) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, msgspec.json.encode(entry) + b"\n")
        finally:
            os.close(file)

    @property
    def entries(self) -> list[Entry]:
        lines = self._path.read_bytes().splitlines() if self._path.exists() else []
        return [msgspec.json.decode(line, type=Entry) for line in lines]
