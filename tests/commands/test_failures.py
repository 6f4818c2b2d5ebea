"""What went wrong is kept with every detail there was, and stays when it goes well later."""

from __future__ import annotations

import pytest

from eventstore.errors import BlobMissing
from eventstore.failure import Cause, Failure
from eventstore.payload import Values
from projections import Store
from tests.stores import completed, run_of


class RateLimited(Exception):
    """An error of a user's own."""


def caught(error: Exception, cause: Exception | None = None) -> Exception:
    """The error as it is after it was raised, with a traceback."""
    try:
        try:
            if cause is not None:
                raise cause
        except Exception as first:
            raise error from first
        raise error
    except type(error) as raised:
        return raised


def test_an_exception_is_kept_with_its_type_message_traceback_and_causes(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.fail_task("run", "a", caught(RateLimited("slow down"), KeyError("token")), retryable=True)
    failure = store.get_failure("run", "a")
    assert failure is not None
    assert failure.type == f"{__name__}.RateLimited"
    assert failure.message == "slow down"
    assert failure.causes == (Cause("KeyError", "'token'"),)
    assert failure.retryable is True
    assert failure.traceback is not None
    assert "raise error from first" in failure.traceback
    assert "KeyError: 'token'" in failure.traceback


@pytest.mark.parametrize("error", [ValueError(), ValueError(""), "", RateLimited("\udc80"), RateLimited("a\0b\u2028")])
def test_any_error_is_an_error_even_without_a_message(store: Store, error: Exception | str) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    task = store.fail_task("run", "a", error)
    failure = store.get_failure("run", "a")
    assert task.status == "failed"
    assert failure is not None
    assert failure.type


@pytest.mark.parametrize(
    "failure",
    [
        Failure(type="Killed", kind="signal", signal=9),
        Failure(type="Exit", kind="exit", exit_code=137, message="out of memory"),
        Failure(type="Timeout", kind="timeout", code="E_TIMEOUT", retryable=False),
        Failure(type="Lost", kind="lease-lost"),
    ],
)
def test_a_crash_without_a_traceback_is_kept_as_it_was_reported(store: Store, failure: Failure) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.fail_task("run", "a", failure)
    assert store.get_failure("run", "a") == failure
    assert store.fail_run("run", failure).failure == failure


def test_errors_stay_with_their_attempts_after_a_later_success(store: Store) -> None:
    run_of(store, "a")
    for number in (1, 2):
        store.start_task("run", "a")
        store.fail_task("run", "a", f"error {number}")
        store.retry_task("run", "a", reason=f"retry {number}")
    completed(store, "run", "a", "at last")
    attempts = store.list_attempts("run", "a")
    assert [attempt.status for attempt in attempts] == ["failed", "failed", "completed"]
    assert [a.failure and a.failure.message for a in attempts] == ["error 1", "error 2", None]
    failure = store.get_failure("run", "a")
    assert failure is not None
    assert failure.message == "error 2"
    task = store.get_task_run("run", "a")
    assert task is not None
    assert (task.status, task.reason, task.due) == ("completed", None, None)


def test_a_task_that_never_failed_has_no_failure(store: Store) -> None:
    run_of(store, "a", "b")
    completed(store, "run", "a")
    assert store.get_failure("run", "a") is None
    assert store.get_failure("run", "b") is None
    assert store.get_failure("unknown", "b") is None


def test_a_huge_error_goes_to_a_blob_and_comes_back_whole(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    message = "ä" * 500_000
    store.fail_task("run", "a", caught(RateLimited(message), KeyError("k" * 300_000)))
    (attempt,) = store.list_attempts("run", "a")
    assert attempt.failure is not None
    assert attempt.failure.message == message[:1000]
    assert attempt.failure.full is not None
    whole = store.get_failure("run", "a")
    assert whole is not None
    assert whole.message == message
    assert whole.causes[0].message == repr("k" * 300_000)
    assert whole.traceback is not None
    assert whole.traceback.endswith(f"RateLimited: {message}\n")
    assert sum(len(event.data) for event in store.log.read("run")) < 10_000


def test_the_whole_of_an_error_that_is_gone_is_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.fail_task("run", "a", "x" * 100_000)

    def missing(digest: str) -> bytes:
        raise BlobMissing(digest)

    monkeypatch.setattr(store.values.blobs, "get", missing)
    with pytest.raises(BlobMissing):
        store.get_failure("run", "a")


def test_an_error_beyond_every_limit_is_kept_cut(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    monkeypatch.setattr(store, "_values", Values(store.values.blobs, max_bytes=5_000))
    store.fail_task("run", "a", "x" * 100_000)
    failure = store.get_failure("run", "a")
    assert failure is not None
    assert (failure.message, failure.full) == ("x" * 1000, None)
    assert store.fail_run("run", "y" * 100_000).status == "failed"


def test_the_error_of_a_run_is_cleared_when_it_is_resumed_and_stays_in_its_history(store: Store) -> None:
    run_of(store, "a")
    store.fail_run("run", caught(RateLimited("slow down")))
    failed = store.get_run("run")
    assert failed is not None
    assert failed.failure is not None
    store.resume("run")
    resumed = store.get_run("run")
    assert resumed is not None
    assert (resumed.status, resumed.failure, resumed.finished_at) == ("running", None, None)
    assert [event.type for event in store.log.read("run")].count("runFailed") == 1


def test_usage_of_failed_and_completed_attempts_is_kept_with_each(store: Store) -> None:
    run_of(store, "a")
    store.start_task("run", "a")
    store.fail_task("run", "a", "no", usage={"tokens": 10})
    store.retry_task("run", "a")
    store.start_task("run", "a")
    store.complete_task("run", "a", usage={"tokens": 5, "cost": 0.25})
    assert [attempt.usage for attempt in store.list_attempts("run")] == [{"tokens": 10}, {"tokens": 5, "cost": 0.25}]
