"""File names for ids of any kind, by a reversible encoding.

Lower-case ASCII letters, digits, `-` and (not first) `.` and `_` stand for themselves; every other byte of the
UTF-8 form becomes `%` and two hex digits. So names that differ only in case stay apart on file systems that fold it,
`..` and `/` cannot leave the folder, and a leading `_` stays free for the store's own files. A long id becomes a path:
every part but the last ends in `%`, which no complete name does.
"""

from __future__ import annotations

import re

_PART_BYTES = 200
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-._")
_ESCAPE = re.compile(r"%([0-9a-f]{2})")


def encode_name(id: str) -> str:
    """The relative path that stands for this id: one file name, or several joined by `/` if the id is long."""
    raw = id.encode()
    escaped = [chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in raw]
    if raw[:1] in (b".", b"_"):
        escaped[0] = f"%{raw[0]:02x}"
    parts, length = [[]], 0  # type: list[list[str]], int
    for piece in escaped:
        if length + len(piece) > _PART_BYTES:
            parts.append([])
            length = 0
        parts[-1].append(piece)
        length += len(piece)
    return "%/".join("".join(part) for part in parts)


def decode_name(path: str) -> str:
    """The id a path made by `encode_name` stands for."""
    joined = path.replace("%/", "")
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), joined).encode("latin-1").decode()
