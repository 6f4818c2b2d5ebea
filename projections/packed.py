"""Reading files that may be packed, and that nobody vouches for."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO

from eventstore.errors import InvalidInput

FETCH_AGAIN = "Fetch the file again."

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


def _limited(file: BinaryIO | gzip.GzipFile, most: int) -> bytes:
    """All of it, or a refusal as soon as it proves too large: a small gzip file can hold terabytes."""
    content = bytearray()
    while chunk := file.read(_CHUNK):
        content += chunk
        if len(content) > most:
            raise InvalidInput(f"larger than {most:,} bytes, decompressed", "Import a smaller file.")
    return bytes(content)
