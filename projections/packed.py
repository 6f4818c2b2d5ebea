"""Reading JSON files that may be packed, and that nobody vouches for."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from eventstore.errors import InvalidInput

FETCH_AGAIN = "Fetch the file again."

_T = TypeVar("_T")
_GZIP = b"\x1f\x8b"
_CHUNK = 1024 * 1024


def read_packed(path: Path, most: int) -> bytes:
    """The file's content, decompressed if gzip has packed it, whatever its name says.

    Raises `InvalidInput`, without the file's name, for one that cannot be read, is damaged, or holds more than so many
    bytes.
    """
    try:
        with open(path, "rb") as file:
            if not file.peek(len(_GZIP)).startswith(_GZIP):
                return _limited(file, most)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _limited(unpacked, most)
    except EOFError:
        raise InvalidInput("cut short: its gzip stream has no end", FETCH_AGAIN) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InvalidInput(f"damaged: {error}", FETCH_AGAIN) from None
    except OSError as error:
        raise InvalidInput(str(error.strerror), "Name a file that exists and can be read.") from None


def decode_json(data: bytes | msgspec.Raw, kind: type[_T], what: str, hint: str) -> _T:
    """What such a file holds, or a part of it. Raises `InvalidInput` if it is not `what` it should be, or no JSON."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"not {what}: {error}", hint) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if not bytes(data).rstrip().endswith((b"}", b"]")):
            raise InvalidInput("cut short, or not JSON at all", FETCH_AGAIN) from None
        raise InvalidInput(f"not JSON: {error}", "JSON has no NaN, no Infinity and no comments.") from None


def _limited(file: BinaryIO | gzip.GzipFile, most: int) -> bytes:
    """All of it, or a refusal as soon as it proves too large: a small gzip file can hold terabytes."""
    content = bytearray()
    while chunk := file.read(_CHUNK):
        content += chunk
        if len(content) > most:
            raise InvalidInput(f"larger than {most:,} bytes, decompressed", "Import a smaller file.")
    return bytes(content)
