"""The Postgres log keeps the contract, in both orderings, on every server there is."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from eventstore.log import Hook, Log
from eventstore.postgres import Ordering, PostgresLog
from eventstore.testing import PersistentLogContract
from tests.postgres import SERVERS, dsn, schema_for


class OnPostgres(PersistentLogContract):
    server: str
    ordering: Ordering

    def open_log(self, place: Path, *, hook: Hook | None = None) -> Log:
        return PostgresLog(dsn(self.server), schema=schema_for(place), ordering=self.ordering, hook=hook, connections=8)


def suite(server: str, ordering: Ordering) -> type[OnPostgres]:
    return type(
        f"Test{server.title()}LogIn{ordering.title()}Order", (OnPostgres,), {"server": server, "ordering": ordering}
    )


for tested in SERVERS:
    for order in get_args(Ordering):
        made = suite(tested, order)
        globals()[made.__name__] = made
