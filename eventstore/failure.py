"""What went wrong: an exception with its causes, or a crash that left none."""

from __future__ import annotations

import traceback
from typing import Literal

import msgspec

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
    return Failure(
        type=_type_name(error),
        message=_storable(str(error)),
        traceback=_storable("".join(traceback.format_exception(error))),
        causes=tuple(Cause(_type_name(cause), _storable(str(cause))) for cause in _chain(error)),
        retryable=retryable,
    )


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    while cause is not None and cause is not error and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return chain


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _storable(text: str) -> str:
    """An error must always be storable, so what UTF-8 cannot carry is spelt out."""
    return text.encode(errors="backslashreplace").decode()
