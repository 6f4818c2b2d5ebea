"""Programs that append are killed, again and again: an event and what it did to the views are there, or neither is.

EVENTSTORE_KILLS sets how many are killed, and EVENTSTORE_CRASH_SEED which moments.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from typing import get_args

import pytest

from eventstore.postgres import Ordering
from projections import open_store
from projections.inline_views import UNPROJECTED
from tests.crash.children import Children
from tests.crash.oracle import Attempts, survivors_of
from tests.sql_stores import sql_log
from tests.stores import folded, tables_of

from .writers import append_until_told, first_attempts

KILLS = int(os.environ.get("EVENTSTORE_KILLS", "40"))
TOGETHER = 2
"""How many processes append at once, with two threads each."""


@pytest.mark.parametrize("ordering", get_args(Ordering))
def test_killed_writers_leave_events_and_views_in_agreement(
    place: str, children: Children, record_property: Callable[[str, object], None], ordering: Ordering
) -> None:
    choices = random.Random(int(os.environ.get("EVENTSTORE_CRASH_SEED") or random.randrange(2**32)))
    rounds = max(1, KILLS // 4 // TOGETHER)
    known: list[Attempts] = []
    with open_store(f"{place}&ordering={ordering}") as store:
        for round in range(rounds):
            processes = [[f"{round}.{process}.{thread}" for thread in "ab"] for process in range(TOGETHER)]
            running = [children.start(append_until_told, f"{place}&ordering={ordering}", names) for names in processes]
            acknowledged = Counter[str]()
            for child in running:
                acknowledged.update(child.receive()[0] for _ in range(choices.randint(1, 12)))
                child.kill()
            for child in running:
                acknowledged.update(writer for writer, _ in child.rest())
                assert child.end() == -signal.SIGKILL
            for name in (name for names in processes for name in names):
                *_, last = commits = first_attempts(name, acknowledged[name] + 1)
                # The server may still be at it.
                assert store.log.append(last).events
                known.append(Attempts(commits, len(commits)))
        assert survivors_of(store.log, known) == [writer.acknowledged for writer in known]
        assert sql_log(store).database.rows(UNPROJECTED) == []
        assert tables_of(store) == folded(store)
    record_property("kills", rounds * TOGETHER)
