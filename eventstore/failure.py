"""What went wrong: an exception with its causes, or a crash that left none."""

from __future__ import annotations

import traceback
from typing import Literal

import msgspec

from eventstore.errors import InvalidInput
from eventstore.payload import Value

FailureKind = Literal["exception", "exit", "signal", "timeout", "lease-lost"]


class Cause(msgspec.Struct, frozen=True, omit_defaults=True):
    """One link of an exception's chain."""

    type: str
    message: str


class Failure(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An error as it is kept: never without a type, and with every detail its reporter had.

    `kind` tells an exception from a crash without a traceback; `exit_code` and `signal` belong to the latter.
    `full` is set if the texts were so long that they went to a blob: it holds this same structure, uncut.
    """

    type: str
    message: str = ""
    kind: FailureKind = "exception"
    traceback: str | None = None
    causes: tuple[Cause, ...] = ()
    retryable: bool | None = None
    code: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    full: Value | None = None


def failure_from(error: BaseException | Failure | str, *, retryable: bool | None = None) -> Failure:
    """The failure an exception stands for, with its traceback and cause chain; a text becomes an unnamed error."""
    if isinstance(error, Failure):
        return error if retryable is None else msgspec.structs.replace(error, retryable=retryable)
    if isinstance(error, str):
        return Failure(type="Error", message=_storable(error), retryable=retryable)
    if not isinstance(error, BaseException):
        raise InvalidInput(f"{error!r} is no error", "Give an exception, a Failure or a text.")
    return Failure(
        type=_type_name(error),
        message=_message(error),
        traceback=_traceback(error),
        causes=tuple(Cause(_type_name(cause), _message(cause)) for cause in _chain(error)),
        retryable=retryable,
    )


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    seen = {id(error)}
    cause = _cause(error)
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        chain.append(cause)
        cause = _cause(cause)
    return chain


def _cause(error: BaseException) -> BaseException | None:
    return error.__context__ if error.__cause__ is None and not error.__suppress_context__ else error.__cause__


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return _storable(kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}")


def _message(error: BaseException) -> str:
    """An exception of the user's own may not even be able to say what it is."""
    try:
        return _storable(str(error))
    except Exception as failure:
        return f"<its text could not be made: {_type_name(failure)}>"


def _traceback(error: BaseException) -> str:
    try:
        return _storable("".join(traceback.format_exception(error)))
    except Exception:
        return _storable("".join(traceback.format_tb(error.__traceback__)))


def _storable(text: str) -> str:
    """An error must always be storable, so what UTF-8 cannot carry is spelt out."""
    return text.encode(errors="backslashreplace").decode()
