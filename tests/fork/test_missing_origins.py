"""A fork whose origin somebody has removed with the log alone says so, rather than to tell less than there was."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable

import pytest

from eventstore.errors import LogCorrupt
from projections import Store
from projections.inheritance import OriginMissing
from projections.transfer import check_run, export_run, import_run
from tests.fork.origins import known, origin_of, rows_of
from tests.stores import completed, verify_at

QUESTIONS: tuple[Callable[[Store, str], object], ...] = (
    lambda store, fork: store.get_completed_node_outputs(fork),
    lambda store, fork: store.resume_plan(fork),
    lambda store, fork: store.resume(fork),
    lambda store, fork: store.as_of(fork),
    lambda store, fork: store.explain(fork, "a"),
    lambda store, fork: store.fork_run(fork),
    lambda store, fork: store.list_origins(fork),
    lambda store, fork: list(export_run(store, fork)),
)


def forked(store: Store) -> None:
    """A fork and a fork of it, and a run that has nothing to do with them."""
    origin_of(store)
    store.fork_run("origin", fork_id="fork")
    store.fork_run("fork", fork_id="fork of it")
    completed(store, origin_of(store, "other"), "d")


@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_fork_without_its_origin_is_refused(store: Store, rebuilt: bool) -> None:
    forked(store)
    before = rows_of(store, "other")
    store.log.purge("origin")
    if rebuilt:
        store.rebuild()
    head = store.log.head()
    for fork in ("fork", "fork of it"):
        for ask in QUESTIONS:
            with pytest.raises(OriginMissing) as refused:
                ask(store, fork)
            assert "'origin'" in str(refused.value)
            assert "'origin'" in refused.value.hint
        assert known(store.get_run(fork)).forked_from is not None
    assert store.log.head() == head
    assert rows_of(store, "other") == before
    assert list(store.get_completed_node_outputs("other")) == ["a", "b", "d"]
    assert [run.id for run in store.list_runs_as_of()] == ["fork", "fork of it", "other"]


def test_verification_reports_what_is_missing(lasting_store: Store, lasting: str) -> None:
    forked(lasting_store)
    assert verify_at(lasting).clean
    lasting_store.log.purge("origin")
    lasting_store.rebuild()
    found = [finding for finding in verify_at(lasting).findings if finding.code == "origin-missing"]
    assert [(finding.severity, "'origin'" in finding.message) for finding in found] == [("error", True)] * 2


def test_another_run_in_the_place_of_the_origin_is_not_the_origin(store: Store) -> None:
    forked(store)
    store.log.purge("origin")
    origin_of(store)
    store.rebuild()
    with pytest.raises(OriginMissing):
        store.get_completed_node_outputs("fork")
    assert "origin-missing" in {finding.code for finding in store.verify().findings}


def test_an_origin_that_is_brought_back_is_there_again(store: Store) -> None:
    forked(store)
    before = store.get_completed_node_outputs("fork of it")
    file = b"".join(export_run(store, "origin"))
    store.log.purge("origin")
    store.rebuild()
    import_run(store, check_run(io.BytesIO(file), "origin.jsonl", store.codec))
    with pytest.raises(OriginMissing):
        store.get_completed_node_outputs("fork of it")
    store.rebuild()
    assert store.get_completed_node_outputs("fork of it") == before
    assert store.verify().clean


def test_recovery_reports_a_fork_without_its_origin_and_goes_on(store: Store) -> None:
    forked(store)
    store.start_run("fork", lease=1)
    store.log.purge("origin")
    recovery = store.recover("rescuer", 60, limit=None, include_unleased=True)
    assert [broken.run_id for broken in recovery.broken] == ["fork"]
    assert [broken.code for broken in recovery.broken] == ["origin-missing"]


def test_the_error_says_what_it_is_about_and_pickles() -> None:
    error: OriginMissing = pickle.loads(pickle.dumps(OriginMissing("fork", "origin")))
    assert issubclass(OriginMissing, LogCorrupt)
    assert (error.run_id, error.origin, error.retriable) == ("fork", "origin", False)
