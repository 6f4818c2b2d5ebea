"""Whatever is done to a log, in whatever order, it comes to the same as with the memory log.

Two logs have the same place open and are used in turn, as two processes would; each of them learns what the other did
when it is used next. In files, segments are small, so that they roll every few commits. Postgres gives positions that
it does not take back when an append is refused: there they are compared by their order.
"""

from __future__ import annotations

import shutil
from itertools import product
from typing import get_args
from unittest.mock import patch

from hypothesis.stateful import rule

from eventstore import index
from eventstore.jsonl import JsonlLog
from eventstore.log import Log
from eventstore.postgres import Ordering, PostgresLog
from eventstore.sqlite import SqliteLog
from tests.postgres import SERVERS, dsn, schema_for
from tests.stores import examples

from .log_machine import LogMachine, Places, UnsyncedDisk

SEGMENT_BYTES = 2_000


class MachineOnFiles(LogMachine):
    flush_after = index.FLUSH_AFTER

    def __init__(self) -> None:
        self.patched = patch.object(index, "FLUSH_AFTER", self.flush_after)
        self.patched.start()
        super().__init__()

    def opened(self) -> Log:
        return JsonlLog(self.root, clock=self.clock, segment_bytes=SEGMENT_BYTES, disk=UnsyncedDisk(self.root))

    def teardown(self) -> None:
        super().teardown()
        self.patched.stop()

    @rule()
    def reopen_without_the_index(self) -> None:
        for log in self.logs:
            log.close()
        for file in self.root.glob("_log/index.db*"):
            file.unlink()
        self.logs = [self.opened(), self.opened()]

    @rule()
    def reopen_as_if_both_processes_had_been_killed(self) -> None:
        self.logs = after_a_kill(self)


class MachineWithAnEagerIndex(MachineOnFiles):
    """Writes its index every few events, so that both logs keep finding the other's news in it."""

    flush_after = 3


class MachineOnSqlite(LogMachine):
    def opened(self) -> Log:
        return SqliteLog(self.root / "store.db", clock=self.clock, durability="none")

    @rule()
    def reopen_as_if_both_processes_had_been_killed(self) -> None:
        self.logs = after_a_kill(self)


class MachineOnPostgres(LogMachine):
    server: str
    ordering: Ordering

    def opened(self) -> Log:
        schema = schema_for(self.root)
        return PostgresLog(
            dsn(self.server), schema=schema, ordering=self.ordering, clock=self.clock, durability="none", connections=2
        )

    def places(self, log: int) -> Places:
        here, there = self.logs[log].read_all(), self.model.read_all()
        return Places({event.position: same.position for event, same in zip(here, there, strict=True)})


def after_a_kill(machine: LogMachine) -> list[Log]:
    """What a killed process has not written yet is what is not in its files now."""
    killed, machine.root = machine.root, machine.root.with_name(str(int(machine.root.name) + 1))
    shutil.copytree(killed, machine.root)
    for log in machine.logs:
        log.close()
    return [machine.opened(), machine.opened()]


TestLogOnFiles = MachineOnFiles.TestCase
TestLogWithAnEagerIndex = MachineWithAnEagerIndex.TestCase
TestLogOnSqlite = MachineOnSqlite.TestCase
TestLogOnFiles.settings = examples(0.65)
TestLogWithAnEagerIndex.settings = examples(0.65)
TestLogOnSqlite.settings = examples(0.65)

for tested, order in product(SERVERS, get_args(Ordering)):
    name = f"LogOn{tested.title()}In{order.title()}Order"
    machine: type[MachineOnPostgres] = type(name, (MachineOnPostgres,), {"server": tested, "ordering": order})
    machine.TestCase.settings = examples(0.1)
    globals()[f"Test{name}"] = machine.TestCase
