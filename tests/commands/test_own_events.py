"""Events of the user's own among those of a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from eventstore.codec import UnknownEvent
from eventstore.errors import DuplicateEventId, Fenced, InvalidInput, InvalidValue, NotFound
from eventstore.events import RunCancelled
from eventstore.log import new_id
from projections import Store
from tests.stores import Clock, check_views, open_again, run_of


class Charged(msgspec.Struct, frozen=True):
    """An event type of a user's own."""

    amount: int
    currency: str = "EUR"


class Refunded(msgspec.Struct, frozen=True):
    """An event type that nobody has registered."""


VALUES: list[Any] = [None, True, 7, 2.5, "a\0\u2028é", [1, [2]], {"a": {"b": None}}]


@pytest.mark.parametrize("value", VALUES)
def test_an_event_of_ones_own_is_kept_as_it_is_in_its_runs_stream(store: Store, value: Any) -> None:
    run_of(store)
    before = store.get_run("run")
    event = store.add_event("run", "billing.noted", value)
    assert list(store.log.read("run", after=2)) == [event]
    assert (event.type, event.version, msgspec.json.decode(event.data)) == ("billing.noted", 3, value)
    assert isinstance(store.codec.decode(event), UnknownEvent)
    assert store.get_run("run") == before
    check_views(store)


def test_an_event_of_ones_own_is_there_for_whoever_opens_the_store_next(lasting_store: Store, lasting: str) -> None:
    event = lasting_store.add_event(run_of(lasting_store), "billing.noted", {"n": 1})
    with open_again(lasting) as again:
        assert list(again.log.read("run", after=2)) == [event]


def test_a_registered_type_comes_back_typed_however_it_was_given(store: Store) -> None:
    store.codec.register(Charged, "billing.charged")
    run_of(store)
    typed = store.add_event("run", "billing.charged", Charged(5))
    plain = store.add_event("run", "billing.charged", {"amount": 6})
    assert [store.codec.decode(event) for event in (typed, plain)] == [Charged(5), Charged(6)]


BAD: dict[str, tuple[Any, Any]] = {
    "no dot": ("charged", {}),
    "a type of the vocabulary": ("runCancelled", RunCancelled()),
    "no text": (7, {}),
    "an empty name": ("", {}),
    "a name that no log can keep": ("billing.\0", {}),
    "another type than it says": ("billing.refunded", Charged(1)),
    "not what the type says": ("billing.charged", {"amount": "much"}),
    "a type nobody registered": ("billing.refunded", Refunded()),
    "no JSON": ("billing.noted", {1, 2}),
    "a lone surrogate": ("billing.noted", "\udc80"),
}


@pytest.mark.parametrize(("type", "data"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_kept_or_read_again_is_refused(store: Store, type: Any, data: Any) -> None:
    store.codec.register(Charged, "billing.charged")
    run_of(store)
    with pytest.raises((InvalidInput, InvalidValue)):
        store.add_event("run", type, data)
    with pytest.raises((InvalidInput, InvalidValue)):
        store.record("run", type, data)
    assert store.log.head() == 2


def test_a_run_that_is_unknown_or_deleted_takes_no_events(store: Store) -> None:
    with pytest.raises(NotFound):
        store.add_event("run", "billing.noted", {})
    store.delete_run(run_of(store), force=True)
    head = store.log.head()
    with pytest.raises(NotFound):
        store.add_event("run", "billing.noted", {})
    assert store.log.head() == head


def test_a_run_that_has_ended_takes_notes(store: Store) -> None:
    store.complete_run(run_of(store))
    assert store.add_event("run", "review.done", {"stars": 5}).version == 4


def test_whose_claim_was_superseded_adds_no_event(store: Store) -> None:
    run_of(store)
    epoch = store.resume("run").epoch
    with pytest.raises(Fenced):
        store.add_event("run", "billing.noted", {}, epoch=epoch - 1)
    assert store.log.version("run") == 3
    store.add_event("run", "billing.noted", {}, epoch=epoch)


def test_the_same_event_again_returns_the_first(store: Store) -> None:
    run_of(store)
    event_id = new_id()
    first = store.add_event("run", "billing.noted", {"n": 1}, event_id=event_id)
    store.schedule_task("run", "a")
    assert store.add_event("run", "billing.noted", {"n": 1}, event_id=event_id) == first
    assert (first.id, store.log.version("run")) == (event_id, 4)
    with pytest.raises(DuplicateEventId):
        store.add_event("run", "billing.noted", {"n": 2}, event_id=event_id)
    assert store.log.version("run") == 4


def test_events_stand_in_the_order_they_were_added_in_whenever_they_happened(store: Store, clock: Clock) -> None:
    run_of(store)
    then = datetime(2020, 1, 1, tzinfo=UTC)
    times = [then, then - timedelta(days=1), None]
    events = [store.add_event("run", "billing.noted", n, time=time) for n, time in enumerate(times)]
    assert list(store.log.read("run", after=2)) == events
    assert [event.time for event in events[:2]] == times[:2]
    assert events[2].time > then
    with pytest.raises(InvalidInput, match="no time zone"):
        store.add_event("run", "billing.noted", {}, time=datetime(2020, 1, 1))


def test_an_event_carries_what_its_actor_notes(store: Store) -> None:
    run_of(store)
    assert store.acting(actor="me").add_event("run", "billing.noted", {}).meta == {"actor": "me"}
