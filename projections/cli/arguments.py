"""What is written on the command line, as what it means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


def parse_time(option: str, text: str | None) -> datetime | None:
    """The time that an option gives. Raises `InvalidInput` if it could be any, for want of a zone."""
    from datetime import datetime

    from eventstore.errors import InvalidInput

    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.utcoffset() is None:
        hint = "Write 2026-01-31T12:00Z, which is UTC, or 2026-01-31T14:00+02:00."
        raise InvalidInput(f"{option} {text!r} is not a time with its zone", hint)
    return time


def parse_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """Metadata that are given as KEY=JSON. Raises `InvalidInput` for anything else."""
    from eventstore.errors import InvalidInput, InvalidValue
    from eventstore.values import decode_value

    metadata = {}
    for pair in pairs:
        key, _, text = pair.partition("=")
        try:
            metadata[key] = decode_value(text.encode(errors="surrogateescape"))
        except InvalidValue as error:
            hint = """Texts are in quotes, as in --metadata 'customer="acme"'."""
            raise InvalidInput(f"--metadata {pair!r} is not KEY=JSON", hint) from error
    return metadata
