"""What workflows and activities of Temporal were given, put out and failed with: its payloads and failures as ours."""

from __future__ import annotations

import base64
import binascii

import msgspec

from eventstore.errors import InvalidValue
from eventstore.failure import Cause, Failure
from eventstore.values import encode_value


def values_of(payloads: object) -> list[object]:
    """The values in a list of payloads, whole (`{"payloads": […]}`) or shortened to the values themselves."""
    found = payloads.get("payloads") if isinstance(payloads, dict) else payloads
    return [value_of(payload) for payload in found] if isinstance(found, list) else []


def value_of(payload: object) -> object:
    """The value a payload holds, if it is JSON; else its encoding, and its data as they are, in base64."""
    if not isinstance(payload, dict) or not isinstance(metadata := payload.get("metadata"), dict):
        return payload
    encoding = (_unpacked(metadata.get("encoding")) or b"").decode(errors="replace")
    if encoding == "binary/null":
        return None
    if encoding.startswith("json/"):
        try:
            value = msgspec.json.decode(_unpacked(payload.get("data")) or b"")
            encode_value([value])  # which refuses what could only be kept changed
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidValue):
            pass
        else:
            return value
    return {"encoding": encoding, "data": payload.get("data", "")}


def _unpacked(text: object) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        return None


def failure_of(failure: dict[str, object] | None) -> Failure | None:
    """A failure as Temporal tells it, with its chain of causes; None for none."""
    if not failure:
        return None
    causes: list[Cause] = []
    inner = failure.get("cause")
    while isinstance(inner, dict) and inner:
        causes.append(Cause(_failure_type(inner), _text(inner.get("message"))))
        inner = inner.get("cause")
    application = failure.get("applicationFailureInfo") or failure.get("serverFailureInfo")
    timeout = failure.get("timeoutFailureInfo")
    return Failure(
        type=_failure_type(failure),
        message=_text(failure.get("message")),
        kind="exception" if timeout is None else "timeout",
        traceback=_text(failure.get("stackTrace")) or None,
        causes=tuple(causes),
        retryable=not application.get("nonRetryable") if isinstance(application, dict) else None,
        code=(_text(timeout.get("timeoutType")) or None) if isinstance(timeout, dict) else None,
    )


def _failure_type(failure: dict[str, object]) -> str:
    """What the application calls it; else which of Temporal's own kinds it is, by the name of its details."""
    application = failure.get("applicationFailureInfo")
    if isinstance(application, dict) and (given := _text(application.get("type"))):
        return given
    details = next((name for name in failure if name.endswith("FailureInfo")), "failureInfo")
    return details[0].upper() + details[1:].removesuffix("Info")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
