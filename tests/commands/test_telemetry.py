"""Notes that decide nothing: made as well as can be, and never in the way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from eventstore.errors import Conflict, InvalidTransition, Unavailable
from eventstore.events import TELEMETRY_STREAM, ResultRejected
from projections import Store
from tests.stores import check_views, completed, run_of, tables_of


def rejections(store: Store) -> list[ResultRejected]:
    decoded = [store.codec.decode(event) for event in store.telemetry("run")]
    return [event for event in decoded if isinstance(event, ResultRejected)]


def unavailable(*_: Any, **__: Any) -> Any:
    raise Unavailable("the disk is full")


def test_a_note_is_kept_beside_the_run_and_changes_nothing_of_it(store: Store) -> None:
    run_of(store, "a")
    completed(store, "run", "a", 1)
    before = tables_of(store), store.log.version("run"), store.resume_plan("run")
    assert store.record("run", "progress.seen", {"percent": 50})
    assert store.acting(actor="me").record("run", "progress.seen", {"percent": 60})
    assert [(event.type, event.data) for event in store.telemetry("run")] == [
        ("progress.seen", b'{"percent":50}'),
        ("progress.seen", b'{"percent":60}'),
    ]
    assert (tables_of(store), store.log.version("run"), store.resume_plan("run")) == before
    check_views(store)
    assert store.verify().findings == ()


def test_anything_can_be_noted_of_a_run_whatever_has_become_of_it(store: Store) -> None:
    assert store.telemetry("run") == []
    assert store.record("run", "progress.seen", 1)
    store.delete_run(run_of(store), force=True)
    assert store.record("run", "progress.seen", 2)
    assert len(store.telemetry("run")) == 2


def test_trouble_with_the_storage_is_logged_and_not_raised(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run_of(store)
    monkeypatch.setattr(store.log, "append", unavailable)
    with caplog.at_level(logging.WARNING):
        assert not store.record("run", "progress.seen", 1)
    assert "the disk is full" in caplog.text
    monkeypatch.undo()
    assert store.telemetry("run") == []


def test_a_store_that_is_closed_notes_nothing(store: Store) -> None:
    store.close()
    assert not store.record("run", "progress.seen", 1)


def superseded(store: Store) -> None:
    store.start_task("run", "a", epoch=1)
    store.fail_task("run", "a", "timeout", attempt=1)
    store.retry_task("run", "a")
    store.start_task("run", "a")


def fenced(store: Store) -> None:
    store.start_task("run", "a")
    store.resume("run")


LATE: dict[str, tuple[Callable[[Store], object], int | None, str]] = {
    "superseded attempt": (superseded, None, "conflict"),
    "interrupted attempt": (fenced, None, "invalid-transition"),
    "superseded claim": (fenced, 1, "fenced"),
    "timed out": (
        lambda store: (store.start_task("run", "a"), store.fail_task("run", "a", "timeout")),
        None,
        "invalid-transition",
    ),
    "cancelled run": (
        lambda store: (store.start_task("run", "a"), store.cancel_run("run")),
        1,
        "invalid-transition",
    ),
}


@pytest.mark.parametrize("end", ["complete", "fail"])
@pytest.mark.parametrize(("before", "epoch", "code"), LATE.values(), ids=LATE.keys())
def test_a_result_that_comes_too_late_is_refused_and_noted(
    store: Store, before: Callable[[Store], object], epoch: int | None, code: str, end: str
) -> None:
    run_of(store, "a")
    before(store)
    before_it = store.log.version("run"), store.get_task_run("run", "a")
    act: Callable[..., object] = store.complete_task if end == "complete" else store.fail_task
    with pytest.raises(Conflict) as caught:
        act("run", "a", "late", attempt=1, epoch=epoch)
    assert caught.value.code == code
    assert rejections(store) == [ResultRejected("a", 1, epoch or 0, code, str(caught.value))]
    assert (store.log.version("run"), store.get_task_run("run", "a")) == before_it
    check_views(store)


def test_what_is_refused_for_other_reasons_is_not_noted(store: Store) -> None:
    run_of(store, "a", "b")
    with pytest.raises(InvalidTransition):
        store.complete_task("run", "a", 1)  # was never started
    completed(store, "run", "b", 1)
    with pytest.raises(Conflict, match="with another output"):
        store.complete_task("run", "b", 2)
    assert store.log.version(TELEMETRY_STREAM + "run") == 0


def test_a_result_is_refused_though_its_coming_cannot_be_noted(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run_of(store, "a")
    fenced(store)
    monkeypatch.setattr(store.log, "append", unavailable)
    with caplog.at_level(logging.WARNING), pytest.raises(InvalidTransition):
        store.complete_task("run", "a", "late", attempt=1)
    assert "the disk is full" in caplog.text


def test_a_late_result_of_a_run_whose_name_leaves_no_room_for_a_note_is_refused_all_the_same(store: Store) -> None:
    run_id = "r" * 1024
    run_of(store, "a", run_id=run_id)
    store.start_task(run_id, "a")
    store.resume(run_id)
    with pytest.raises(InvalidTransition):
        store.complete_task(run_id, "a", "late", attempt=1)
