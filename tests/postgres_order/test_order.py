"""No reader skips, doubles or tears anything, whatever the writers do and whatever becomes of their connections.

EVENTSTORE_ORDER_EVENTS sets how many events are written in each mode.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence

import pytest

from eventstore.postgres import Ordering
from tests.crash.children import Children

from .held import Place
from .trial import run_trial

EVENTS = int(os.environ.get("EVENTSTORE_ORDER_EVENTS", "2000"))
MODES: dict[str, Sequence[Ordering]] = {
    "concurrent": ["concurrent"] * 4,
    "strict": ["strict"] * 4,
    "both at once": ["concurrent", "strict"] * 2,
}


@pytest.mark.parametrize("mode", MODES)
def test_readers_see_every_event_once_and_in_order(
    children: Children, place: Place, record_property: Callable[[str, object], None], mode: str
) -> None:
    seed = str(random.randrange(2**32))
    try:
        figures = run_trial(children, *place, MODES[mode], EVENTS, seed=seed)
    except BaseException as error:
        error.add_note(f"with {seed=}")
        raise
    assert figures.events >= EVENTS
    record_property("ordered events", figures.events)
    record_property("ended connections", figures.backends_ended)
