"""Bugs that others have shipped, planted one at a time: the trial finds every one of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eventstore.postgres import Ordering
from tests.crash.children import Children
from tests.postgres import SERVERS, dsn, fresh_schema

from .plants import PLANTS
from .trial import run_trial

SYMPTOMS = {
    "no_floor": "skipped by a reader",
    "floor_after_the_position": "skipped by a reader",
    "floors_before_the_last_position": "skipped by a reader",
    "one_snapshot": "skipped by a reader",
    "commits_in_parts": "seen in parts",
    "positions_not_in_a_row": "in parts|has holes|ascend|skipped",
    "no_guard_on_the_hash": "brief/",
    "nobody_kept_out": "skipped by a reader|Retry|CheckpointConflict|brief/|own/",
}
CONCURRENT: Sequence[Ordering] = ["concurrent"] * 4
MIXED: Sequence[Ordering] = ["concurrent", "strict"] * 2


TRIALS = 4
"""In so many at most. Most bugs need one."""


def run_trials(children: Children, bug: str) -> None:
    for trial in range(TRIALS):
        with fresh_schema(SERVERS[0]) as schema:
            orderings = MIXED if bug == "nobody_kept_out" else CONCURRENT
            run_trial(children, dsn(SERVERS[0]), schema, orderings, 1_000, seed=f"{bug} {trial}", bug=bug)


@pytest.mark.parametrize("bug", PLANTS)
def test_a_trial_finds_out(children: Children, bug: str) -> None:
    with pytest.raises(AssertionError, match=SYMPTOMS[bug]):
        run_trials(children, bug)
