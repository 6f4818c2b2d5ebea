"""Any exception becomes a failure that can be kept, with its traceback and the chain of its causes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import Codec
from eventstore.events import RunFailed
from eventstore.failure import Cause, Failure, failure_from
from eventstore.values import encode_value

from .vocabulary import instances


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Wrong(Exception):
    """Says what it is in something that is no text."""

    def __str__(self) -> Any:
        return 5


class Falsy(Exception):
    """Is as good as nothing in a condition."""

    def __bool__(self) -> bool:
        return False


class Incomparable(Exception):
    """Cannot be compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparing")


def kept(failure: Failure) -> Failure:
    """The failure after it has been in an event."""
    codec = Codec()
    event = codec.decode(codec.encode(RunFailed(failure)))
    assert isinstance(event, RunFailed)
    return event.failure


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """The exception as it is after it was raised, from a cause if there is one."""
    try:
        raise error from cause
    except Exception as caught:
        return caught


def causes_of(error: BaseException) -> list[str]:
    return [cause.message for cause in failure_from(error).causes]


def test_an_exception_is_kept_with_its_type_its_text_and_its_traceback() -> None:
    failure = failure_from(raised(KeyError("node")))

    assert (failure.type, failure.message, failure.kind, failure.causes) == ("KeyError", "'node'", "exception", ())
    assert failure.traceback is not None
    assert failure.traceback.startswith("Traceback (most recent call last):\n")
    assert "in raised\n    raise error from cause\n" in failure.traceback
    assert failure.traceback.endswith("KeyError: 'node'\n")
    assert kept(failure) == failure


def test_the_type_is_named_with_its_module_unless_it_is_built_in() -> None:
    assert failure_from(ValueError()).type == "ValueError"
    assert failure_from(Mute()).type == f"{__name__}.Mute"
    assert failure_from(KeyboardInterrupt()).type == "KeyboardInterrupt"


def test_an_exception_that_was_never_raised_has_a_traceback_of_one_line() -> None:
    assert failure_from(ValueError("x")).traceback == "ValueError: x\n"


def test_causes_are_kept_from_the_nearest_to_the_first() -> None:
    error = raised(ValueError("c"), raised(KeyError("b"), raised(OSError("a"))))

    assert failure_from(error).causes == (Cause("KeyError", "'b'"), Cause("OSError", "a"))


def test_what_was_being_handled_is_a_cause_unless_it_was_suppressed() -> None:
    def fail_again(**suppress: bool) -> BaseException:
        try:
            try:
                raise KeyError("first")
            except KeyError:
                error = ValueError("second")
                if suppress:
                    raise error from None
                raise error  # noqa: B904 - the chain that Python makes by itself
        except ValueError as caught:
            return caught

    assert causes_of(fail_again()) == ["'first'"]
    assert causes_of(fail_again(suppress=True)) == []
    assert "first" not in str(failure_from(fail_again(suppress=True)).traceback)


def test_a_cause_comes_before_what_was_being_handled() -> None:
    error = ValueError("x")
    error.__context__ = KeyError("handled")
    error.__cause__ = OSError("cause")

    assert causes_of(error) == ["cause"]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_chain_that_ends_in_itself_is_kept_once(length: int) -> None:
    errors = [ValueError(str(number)) for number in range(length)]
    for number, error in enumerate(errors):
        error.__cause__ = errors[(number + 1) % length]

    assert causes_of(errors[0]) == [str(number) for number in range(1, length)]


def test_a_chain_that_runs_into_a_cycle_is_kept_once() -> None:
    first, second, third = ValueError("1"), ValueError("2"), ValueError("3")
    first.__cause__, second.__context__, third.__context__ = second, third, second

    assert causes_of(first) == ["2", "3"]


def test_a_very_long_chain_is_kept_whole() -> None:
    error = ValueError("0")
    for number in range(1, 2_000):
        outer = ValueError(str(number))
        outer.__context__, error = error, outer

    assert causes_of(error) == [str(number) for number in range(1998, -1, -1)]


def test_causes_are_told_apart_by_what_they_are_and_not_by_what_they_say_they_equal() -> None:
    assert causes_of(raised(Incomparable("a"), raised(Incomparable("b"), Falsy("c")))) == ["b", "c"]


def test_a_group_keeps_its_members_in_the_traceback() -> None:
    members = [raised(ValueError("one")), ExceptionGroup("inner", [raised(KeyError("two"))])]
    failure = failure_from(raised(ExceptionGroup("several", members), OSError("cause")))

    assert (failure.type, failure.message) == ("ExceptionGroup", "several (2 sub-exceptions)")
    assert [cause.message for cause in failure.causes] == ["cause"]
    assert all(text in str(failure.traceback) for text in ("ValueError: one", "KeyError: 'two'", "OSError: cause"))


def test_notes_are_kept_in_the_traceback() -> None:
    error = ValueError("x")
    error.add_note("while reading row 7")

    assert str(failure_from(error).traceback).endswith("ValueError: x\nwhile reading row 7\n")


@pytest.mark.parametrize("kind", [Mute, Wrong])
def test_an_exception_that_cannot_say_what_it_is_is_kept_all_the_same(kind: type[Exception]) -> None:
    failure = failure_from(raised(ValueError("x"), raised(kind("y"))))
    unsayable = failure_from(raised(kind("y")))

    assert unsayable.type == f"{__name__}.{kind.__name__}"
    assert unsayable.message.startswith("<its text could not be made: ")
    assert "in raised" in str(unsayable.traceback)
    assert failure.causes == (Cause(unsayable.type, unsayable.message),)
    assert kept(unsayable) == unsayable


def test_an_exception_whose_traceback_cannot_be_formatted_is_kept_all_the_same() -> None:
    error = SyntaxError("bad")
    error.text, error.lineno = 7, "seven"  # type: ignore[assignment]  # as a careless program may do

    failure = failure_from(raised(error))

    assert (failure.type, "bad" in failure.message) == ("SyntaxError", True)
    assert "in raised" in str(failure.traceback)


@given(st.text(st.characters()))
def test_any_text_can_be_kept_and_lone_surrogates_are_spelt_out(text: str) -> None:
    spelt = "".join(f"\\u{ord(each):04x}" if "\ud800" <= each <= "\udfff" else each for each in text)

    for failure in (failure_from(text), failure_from(raised(ValueError(text), KeyError(text)))):
        assert (failure.message, kept(failure)) == (spelt, failure)
        assert encode_value(msgspec.to_builtins(failure))


def test_lone_surrogates_in_the_name_of_a_type_are_spelt_out() -> None:
    kind = type("Odd", (Exception,), {})
    kind.__qualname__ = "\udc80"

    assert ascii(failure_from(kind()).type) == ascii(f"{__name__}.\\udc80")


def test_very_long_texts_are_kept_whole() -> None:
    message = "é" * 3_000_000

    failure = kept(failure_from(raised(ValueError(message))))

    assert failure.message == message
    assert message in str(failure.traceback)


def test_a_text_is_an_error_without_a_traceback() -> None:
    assert failure_from("out of memory") == Failure(type="Error", message="out of memory")
    assert failure_from("").type == "Error"


@pytest.mark.parametrize("retryable", [None, True, False])
def test_whether_a_retry_may_help_is_as_the_caller_says(retryable: bool | None) -> None:
    assert failure_from("x", retryable=retryable).retryable is retryable
    assert failure_from(ValueError(), retryable=retryable).retryable is retryable


@given(instances(Failure), st.none() | st.booleans())
def test_a_failure_passes_through(failure: Failure, retryable: bool | None) -> None:
    passed = failure_from(failure, retryable=retryable)

    assert msgspec.structs.replace(passed, retryable=failure.retryable) == failure
    assert passed.retryable is (failure.retryable if retryable is None else retryable)
    assert kept(passed) == passed


def test_what_is_meant_for_the_interpreter_is_not_held_back() -> None:
    class Interrupting(Exception):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failure_from(Interrupting())
