"""Errors are facts: fields that survive pickling, a code that never changes, a text and a hint for people."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

import eventstore
import projections
from eventstore import board_errors, errors
from eventstore.disk import Disk, unavailable
from eventstore.errors import EventStoreError

EXAMPLES: dict[str, EventStoreError] = {
    "error": errors.EventStoreError("anything"),
    "not-found": errors.NotFound("run", "run-\u2028", "It was deleted."),
    "conflict": errors.Conflict("run 'a' was deleted", "Use another id."),
    "wrong-expected-version": errors.WrongExpectedVersion(("a", 1, 2), ("b", "an existing stream", 0)),
    "duplicate-event-id": errors.DuplicateEventId("0197", 2**40),
    "checkpoint-conflict": errors.CheckpointConflict("views", None, 7),
    "name-held": errors.NameHeld("views", "a:1"),
    "invalid-transition": errors.InvalidTransition("run 'a'", "failed", "completed", ("running",)),
    "claim-held": errors.ClaimHeld("a", "worker-1", "2026-01-31T12:00:00Z"),
    "fenced": errors.Fenced("a", 1, 2),
    "cycle": board_errors.CycleError(("a", "b", "a")),
    "task-active": board_errors.TaskActive("a", "review"),
    "has-dependents": board_errors.HasDependents("a", tuple("bcdefgh")),
    "invalid-value": errors.InvalidValue("$.rows[3]", "nan is not a JSON number", "Use None."),
    "too-large": errors.TooLarge("$", "17 bytes; the limit is 16", "Split it."),
    "invalid-input": errors.InvalidInput("an address without a path", "Use jsonl:PATH."),
    "unsupported-schema": errors.UnsupportedSchema("billing.charged", 3, 2),
    "log-corrupt": errors.LogCorrupt("_log/1.jsonl", 10, 20, "the checksum does not match"),
    "row-corrupt": errors.RowCorrupt("runs.db", "version 3 of stream 'a'", "it is missing"),
    "unsupported-store": errors.UnsupportedStore("log", 2, 1),
    "blob-missing": errors.BlobMissing("ab" * 32),
    "blob-corrupt": errors.BlobCorrupt("ab" * 32),
    "unavailable": errors.Unavailable("the disk is full", "Free some space."),
    "outcome-unknown": errors.OutcomeUnknown("a sync failed"),
    "closed": errors.Closed("the log in a", "a sync failed"),
}
"""One of each, under its code: programs decide by it, so a code may be added here, never changed or taken away."""


def all_errors() -> Iterator[type[EventStoreError]]:
    """Every error class of both packages."""
    for package in (eventstore, projections):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    waiting = [EventStoreError]
    while waiting:
        kind = waiting.pop()
        if kind.__module__.partition(".")[0] in ("eventstore", "projections"):
            yield kind
        waiting += kind.__subclasses__()


def test_no_code_of_the_write_side_is_gone_and_none_is_new() -> None:
    ours = {errors.__name__, board_errors.__name__}
    core = {kind.code: kind for kind in all_errors() if kind.__module__ in ours}

    assert core == {code: type(error) for code, error in EXAMPLES.items()}


def test_no_two_errors_have_the_same_code() -> None:
    codes = [kind.code for kind in all_errors()]

    assert len(set(codes)) == len(codes)


def facts(error: EventStoreError) -> tuple[object, ...]:
    return (type(error), str(error), repr(error), error.args, vars(error), error.code, error.hint, error.retriable)


@pytest.mark.parametrize("code", EXAMPLES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling_with_all_its_facts(code: str, protocol: int) -> None:
    error = EXAMPLES[code]

    assert facts(pickle.loads(pickle.dumps(error, protocol))) == facts(error)


@pytest.mark.parametrize("code", EXAMPLES)
def test_every_error_survives_copying_with_all_its_facts(code: str) -> None:
    error = EXAMPLES[code]

    assert facts(copy.copy(error)) == facts(copy.deepcopy(error)) == facts(error)


@pytest.mark.parametrize("code", EXAMPLES)
def test_every_error_says_what_is_wrong_in_one_line_and_what_to_do_in_a_sentence(code: str) -> None:
    error = EXAMPLES[code]

    assert str(error)
    assert len(str(error).splitlines()) == 1
    if code != "error":
        assert error.hint[0].isupper()
        assert error.hint.endswith(".")


def test_some_errors_are_also_what_python_calls_them() -> None:
    builtins = {
        code: next((kind for kind in type(error).__mro__ if kind.__module__ == "builtins"), None)
        for code, error in EXAMPLES.items()
    }

    assert {code: kind for code, kind in builtins.items() if kind is not Exception} == {
        "not-found": LookupError,
        "invalid-value": ValueError,
        "too-large": ValueError,
        "invalid-input": ValueError,
        "blob-missing": LookupError,
        "unavailable": OSError,
        "outcome-unknown": OSError,
        "closed": ValueError,
    }


def test_the_same_call_may_succeed_later_only_after_these() -> None:
    assert {code for code, error in EXAMPLES.items() if error.retriable} == {
        "wrong-expected-version",
        "claim-held",
        "name-held",
        "unavailable",
        "outcome-unknown",
    }


def test_all_violations_of_a_commit_are_in_the_text_and_the_first_is_in_the_fields() -> None:
    error = errors.WrongExpectedVersion(("a", 1, 2), ("b", "an existing stream", 0))

    assert (error.stream, error.expected, error.actual) == ("a", 1, 2)
    assert str(error) == (
        "stream 'a' is at version 2, expected 1; stream 'b' is at version 0, expected an existing stream"
    )


def test_a_final_state_is_called_final() -> None:
    error = errors.InvalidTransition("run 'a'", "completed", "failed", ())

    assert error.hint == "completed is final."


def test_a_foreign_error_stands_behind_ours_and_not_in_its_text(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    try:
        disk.read(-1, 1, 0)
    except OSError as foreign:
        error = unavailable(foreign, "cannot read")
        error.__cause__ = foreign
    disk.release()

    assert str(error) == "cannot read: Bad file descriptor"
    assert "Traceback" not in str(error) + error.hint
    assert "OSError: [Errno 9]" in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("code", EXAMPLES)
def test_any_error_of_ours_is_caught_by_the_root(code: str) -> None:
    with pytest.raises(EventStoreError):
        raise EXAMPLES[code]
