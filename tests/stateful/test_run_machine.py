"""Whatever is done to runs, in whatever order, and whoever dies of it, comes to the same as in memory."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import rule

from projections import Store
from projections.rows import ROWS
from tests.postgres import SERVERS, address, schema_for
from tests.sql_stores import in_schema
from tests.stores import examples

from .outcomes import Call, outcome
from .run_machine import RunMachine


class MachineOnFiles(RunMachine):
    def opened(self) -> Store:
        return self.open(f"jsonl:{self.root}")

    def lose_views(self) -> None:
        for store in self.stores:
            store.close()
        for path in self.root.iterdir():
            if path.name.startswith("_views.db"):
                path.unlink()
            elif not path.name.startswith("_"):
                shutil.rmtree(path)
        self.stores = [self.opened(), self.opened()]

    def kill(self) -> None:
        be_killed(self)

    @rule(share=st.floats(0, 1, exclude_max=True))
    def let_the_next_be_torn(self, share: float) -> None:
        self.dying, self.torn = False, share

    def die(self, place: int, call: Call, *, after: bool) -> None:
        """If it is torn, the views and blobs may have more than the log; the model has nothing of it."""
        if self.torn is None:
            super().die(place, call, after=after)
            return
        before = self.segment().stat().st_size
        found = outcome(self.stores[place], call)
        whole = self.segment().stat().st_size - before
        be_killed(self, lambda: os.truncate(self.segment(), before + int(whole * (self.torn or 0))))
        self.torn = None
        assert whole or found == outcome(self.model, call)

    def segment(self) -> Path:
        return max((self.root / "_log").glob("*.jsonl"))


class MachineOnSqlite(RunMachine):
    def opened(self) -> Store:
        return self.open(f"sqlite:{self.root / 'store.db'}")

    def lose_views(self) -> None:
        with closing(sqlite3.connect(self.root / "store.db")) as other:
            for kind in ROWS:
                other.execute(f"DELETE FROM {kind.TABLE}")
            other.commit()
        self.stores[0].rebuild()

    def kill(self) -> None:
        be_killed(self)


class MachineOnPostgres(RunMachine):
    def opened(self) -> Store:
        return self.open(self.address)

    @property
    def address(self) -> str:
        return address(SERVERS[0], schema_for(self.root))

    def lose_views(self) -> None:
        with in_schema(self.address) as other:
            for kind in ROWS:
                other.execute(f"DELETE FROM {kind.TABLE}".encode())
            other.commit()
        self.stores[0].rebuild()


def be_killed(machine: RunMachine, then: Callable[[], object] = lambda: None) -> None:
    """What killed processes have not written yet is what is not in their files now. Then something befalls these."""
    killed, machine.root = machine.root, machine.root.with_name(str(int(machine.root.name) + 1))
    shutil.copytree(killed, machine.root)
    then()
    for store in machine.stores:
        store.close()
    machine.stores = [machine.opened(), machine.opened()]


TestRunsInFiles = MachineOnFiles.TestCase
TestRunsInSqlite = MachineOnSqlite.TestCase
TestRunsInPostgres = MachineOnPostgres.TestCase
TestRunsInFiles.settings = examples(0.04)
TestRunsInSqlite.settings = examples(0.06)
TestRunsInPostgres.settings = examples(0.02)
