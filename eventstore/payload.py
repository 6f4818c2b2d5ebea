"""A value inside an event: small ones inline, large ones as a blob the event refers to.

The digest is over the value's JSON bytes either way, so two outputs are equal exactly if their digests are.
"""

from __future__ import annotations

from typing import Any

import msgspec

from eventstore.blobs import Blobs, digest_of
from eventstore.values import MAX_VALUE_BYTES, decode_value, encode_value

THRESHOLD = 64 * 1024
_PREVIEW_BYTES = 200


class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """A value's digest and size in bytes of JSON, with the JSON itself or, if it is in a blob, the start of it."""

    digest: str
    size: int
    json: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    preview: str | msgspec.UnsetType = msgspec.UNSET


class Values:
    """Turns user values into `Value`s and back."""

    def __init__(self, blobs: Blobs, *, threshold: int = THRESHOLD, max_bytes: int = MAX_VALUE_BYTES) -> None:
        self.blobs, self._threshold, self._max_bytes = blobs, threshold, max_bytes

    def keep(self, value: object) -> Value:
        """Encode a value; if it is over the threshold, its blob is durable when this returns.

        Raises `InvalidValue` or `TooLarge` before anything is written.
        """
        data = encode_value(value, max_bytes=self._max_bytes)
        if len(data) <= self._threshold:
            return Value(digest_of(data), len(data), json=msgspec.Raw(data))
        return Value(self.blobs.put(data), len(data), preview=preview(data))

    def load(self, value: Value) -> Any:
        """The exact value. Raises `BlobMissing` or `BlobCorrupt`; never returns the preview."""
        data = self.blobs.get(value.digest) if isinstance(value.json, msgspec.UnsetType) else bytes(value.json)
        return decode_value(data, max_bytes=max(self._max_bytes, len(data)))


def preview(data: bytes) -> str:
    """The first bytes as text, cut where a character ends."""
    return data[:_PREVIEW_BYTES].decode(errors="ignore")
